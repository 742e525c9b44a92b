//! The terms that a token's caveats, read in order, leave of what was bought.
//!
//! Each known condition keeps its last value. A later value must be contained in the one
//! before it, or its holder tried to widen the token; then it must hold for the
//! request. Values are compared in place: nothing is copied unless the credential is denied,
//! and the number of comparisons is bounded by the limits on list items.

mod bindings;
mod bounds;
mod services;

use std::net::IpAddr;
use std::num::NonZeroU64;

pub(super) use self::bounds::Bounds;
use self::services::{Capabilities, Held};
use super::value::{decimal, split};
use super::{Denial, RequestContext};
use crate::caveat;
use crate::hash::Preimage;
use crate::keys::Dialect;
use crate::time::UnixSeconds;

/// The caveats read so far. Borrows the token's own text.
pub(super) struct Terms<'a> {
    request: &'a RequestContext<'a>,
    preimage: &'a Preimage,
    dialect: Dialect,
    is_first: bool,
    list_items: usize,
    services: Option<&'a str>,
    held: Option<Held>,
    capabilities: Option<Capabilities<'a>>,
    service_valid_until: Option<u64>,
    valid_until: Option<u64>,
    expiration_ms: Option<u64>,
    ip: Option<IpAddr>,
    origin: Option<&'a str>,
    tls_fingerprint: Option<[u8; 32]>,
    methods: Option<&'a str>,
    path_prefix: Option<&'a str>,
    uses_max: Option<NonZeroU64>,
}

/// What a token buys once all of its caveats are in.
pub(super) struct Bought {
    /// Which item of the last `services` caveat was asked for.
    pub(super) item: usize,
    pub(super) tier: u8,
    pub(super) expires_at: Option<UnixSeconds>,
    pub(super) uses_max: Option<NonZeroU64>,
}

/// Whether this crate knows the condition of a caveat.
pub(super) enum Judged {
    Known,
    Unknown,
}

impl<'a> Terms<'a> {
    pub(super) const fn new(
        request: &'a RequestContext<'a>,
        preimage: &'a Preimage,
        dialect: Dialect,
    ) -> Self {
        Self {
            request,
            preimage,
            dialect,
            is_first: true,
            list_items: 0,
            services: None,
            held: None,
            capabilities: None,
            service_valid_until: None,
            valid_until: None,
            expiration_ms: None,
            ip: None,
            origin: None,
            tls_fingerprint: None,
            methods: None,
            path_prefix: None,
            uses_max: None,
        }
    }

    /// Takes one caveat in, or returns why the token does not buy the request.
    pub(super) fn narrow(&mut self, caveat: &'a [u8]) -> Result<Judged, Denial> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        let Some((condition, value)) = split(caveat) else {
            return Ok(Judged::Unknown);
        };
        if condition == caveat::SERVICES {
            return self.services(is_first, value).map(|()| Judged::Known);
        }
        match condition.strip_prefix(self.request.service) {
            Some(caveat::CAPABILITIES) => self.capabilities(condition, value),
            Some(caveat::VALID_UNTIL_SUFFIX) => {
                self.deadline(condition, value, |terms| &mut terms.service_valid_until)
            }
            Some(_) | None => return self.common(condition, value),
        }?;
        Ok(Judged::Known)
    }

    /// Takes in a condition that is about no particular service.
    fn common(&mut self, condition: &str, value: &'a str) -> Result<Judged, Denial> {
        if self.dialect == Dialect::Aperture {
            return Ok(Judged::Unknown);
        }
        match condition {
            caveat::VALID_UNTIL => self.deadline(condition, value, |terms| &mut terms.valid_until),
            caveat::EXPIRATION_MS => self.expiration(value),
            caveat::IP => self.ip(value),
            caveat::ORIGIN => self.origin(value),
            caveat::TLS_FINGERPRINT => self.tls_fingerprint(value),
            caveat::METHOD => self.methods(value),
            caveat::PATH_PREFIX => self.path_prefix(value),
            caveat::MAX_USES => self.uses(value),
            caveat::PREIMAGE => self.paid_preimage(value),
            _ => return Ok(Judged::Unknown),
        }?;
        Ok(Judged::Known)
    }

    /// Returns what was bought, once all caveats are in.
    pub(super) fn finish(&self) -> Result<Bought, Denial> {
        self.capability_held()?;
        let held = self.held.ok_or_else(|| self.wrong_service())?;
        let needed = self.request.tier;
        if held.tier < needed {
            return Err(Denial::TierTooLow {
                held: held.tier,
                needed,
            });
        }
        Ok(Bought {
            item: held.item,
            tier: held.tier,
            expires_at: self.expires_at(),
            uses_max: self.uses_max,
        })
    }

    fn expires_at(&self) -> Option<UnixSeconds> {
        let expiration = self.expiration_ms.map(|ms| ms.div_ceil(1_000));
        [self.service_valid_until, self.valid_until, expiration]
            .into_iter()
            .flatten()
            .min()
            .map(UnixSeconds::new)
    }

    fn deadline(
        &mut self,
        condition: &str,
        value: &str,
        slot: fn(&mut Self) -> &mut Option<u64>,
    ) -> Result<(), Denial> {
        let deadline = decimal(value.as_bytes()).ok_or_else(|| unreadable(condition))?;
        let held = slot(self);
        if held.is_some_and(|before| deadline > before) {
            return Err(widened(condition));
        }
        *held = Some(deadline);
        let now = self.request.now.as_secs();
        if now >= deadline {
            return Err(Denial::Expired {
                seconds_ago: now.saturating_sub(deadline),
            });
        }
        Ok(())
    }

    fn expiration(&mut self, value: &str) -> Result<(), Denial> {
        let deadline =
            decimal(value.as_bytes()).ok_or_else(|| unreadable(caveat::EXPIRATION_MS))?;
        if self.expiration_ms.is_some_and(|before| deadline > before) {
            return Err(widened(caveat::EXPIRATION_MS));
        }
        self.expiration_ms = Some(deadline);
        let now = self.request.now.as_secs().saturating_mul(1_000);
        if now >= deadline {
            return Err(Denial::Expired {
                seconds_ago: now.saturating_sub(deadline).div_euclid(1_000),
            });
        }
        Ok(())
    }

    fn uses(&mut self, value: &str) -> Result<(), Denial> {
        let uses = decimal(value.as_bytes())
            .and_then(NonZeroU64::new)
            .ok_or_else(|| unreadable(caveat::MAX_USES))?;
        if self.uses_max.is_some_and(|before| uses > before) {
            return Err(widened(caveat::MAX_USES));
        }
        self.uses_max = Some(uses);
        Ok(())
    }

    /// gRPC clients carry the preimage as a caveat. It must be the one already checked.
    fn paid_preimage(&self, value: &str) -> Result<(), Denial> {
        match Preimage::from_hex(value) {
            Ok(preimage) if preimage == *self.preimage => Ok(()),
            Ok(_) => Err(Denial::Unpaid),
            Err(_not_hex) => Err(unreadable(caveat::PREIMAGE)),
        }
    }
}

fn widened(condition: &str) -> Denial {
    Denial::Widened {
        condition: condition.to_owned(),
    }
}

fn unreadable(condition: &str) -> Denial {
    Denial::Unreadable {
        condition: condition.to_owned(),
    }
}
