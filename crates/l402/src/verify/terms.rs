//! The terms that a token's caveats, read in order, leave of what was bought.
//!
//! Each known condition keeps its last value. A later value must be contained in the one
//! before it, or its holder tried to widen the token; then it must hold for the
//! request. Values are compared in place: nothing is copied unless the credential is denied,
//! and the number of comparisons is bounded by the limits on list items.

use std::net::IpAddr;
use std::num::NonZeroU64;

use super::value::{
    count_items, decimal, is_subset, items, service_and_tier, split, split_list, tier_of,
};
use super::{Denial, RequestContext};
use crate::caveat;
use crate::encoding;
use crate::hash::Preimage;
use crate::keys::Dialect;
use crate::path;
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

    /// An issuer names the services first. A holder can append caveats only, so a list that
    /// comes later adds services to a token that was sold for none.
    fn services(&mut self, is_first: bool, value: &'a str) -> Result<(), Denial> {
        self.count_list(caveat::SERVICES, value)?;
        if self.services.is_none() && !is_first {
            return Err(widened(caveat::SERVICES));
        }
        let mut held = None;
        for (item, text) in split_list(value).enumerate() {
            let (name, tier) =
                service_and_tier(text).ok_or_else(|| unreadable(caveat::SERVICES))?;
            let allowed = match self.services {
                None => true,
                Some(before) => tier_of(before, name).is_some_and(|held| tier <= held),
            };
            if !allowed {
                return Err(widened(caveat::SERVICES));
            }
            if self.is_requested(name) {
                held = held.or(Some(Held { item, tier }));
            }
        }
        self.services = Some(value);
        self.held = held;
        match held {
            Some(_) => Ok(()),
            None => Err(self.wrong_service()),
        }
    }

    /// True for the name of the requested service, with the path when one is demanded.
    fn is_requested(&self, name: &[u8]) -> bool {
        let service = self.request.service.as_bytes();
        match self.request.resource {
            None => name == service,
            Some(path) => name
                .strip_prefix(service)
                .is_some_and(|rest| self.is_path(path, rest)),
        }
    }

    /// True when `written` is how issuers of this dialect write `path` in `services`: tollway
    /// escapes what separates items and tiers, Aperture writes the path with its escapes undone.
    fn is_path(&self, path: &str, written: &[u8]) -> bool {
        match self.dialect {
            Dialect::Tollway => caveat::escape(path).eq(written.iter().copied()),
            Dialect::Aperture => path::unescape(path).is_ok_and(|plain| plain == written),
        }
    }

    /// Bounds the work that a paying client can cause by lists.
    fn count_list(&mut self, condition: &str, value: &str) -> Result<(), Denial> {
        let items = count_items(value);
        self.list_items = self.list_items.saturating_add(items);
        if items > caveat::MAX_ITEMS || self.list_items > MAX_ITEMS_OF_TOKEN {
            return Err(unreadable(condition));
        }
        Ok(())
    }

    /// Deployed issuers write an empty list when a service has no capabilities to name, so a
    /// first empty list restricts nothing. A later one leaves nothing.
    fn capabilities(&mut self, condition: &str, value: &'a str) -> Result<(), Denial> {
        self.count_list(condition, value)?;
        self.capabilities = Some(match self.capabilities {
            None if value.is_empty() => Capabilities::All,
            None | Some(Capabilities::All) => Capabilities::Only(value),
            Some(Capabilities::Only(before)) if is_subset(value, before) => {
                Capabilities::Only(value)
            }
            Some(Capabilities::Only(_)) => return Err(widened(condition)),
        });
        Ok(())
    }

    fn capability_held(&self) -> Result<(), Denial> {
        let (Some(requested), Some(Capabilities::Only(held))) =
            (self.request.capability, self.capabilities)
        else {
            return Ok(());
        };
        if items(held).any(|item| item == requested.as_bytes()) {
            return Ok(());
        }
        Err(Denial::MissingCapability {
            requested: requested.to_owned(),
        })
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

    fn ip(&mut self, value: &str) -> Result<(), Denial> {
        let bound: IpAddr = value
            .parse()
            .map_err(|_not_an_address| unreadable(caveat::IP))?;
        if self.ip.is_some_and(|before| before != bound) {
            return Err(widened(caveat::IP));
        }
        self.ip = Some(bound);
        match self.request.client_ip.map(|client| client.to_canonical()) {
            Some(client) if client == bound.to_canonical() => Ok(()),
            Some(_) | None => Err(Denial::WrongClient {
                condition: caveat::IP,
            }),
        }
    }

    fn origin(&mut self, value: &'a str) -> Result<(), Denial> {
        if self.origin.is_some_and(|before| before != value) {
            return Err(widened(caveat::ORIGIN));
        }
        self.origin = Some(value);
        match self.request.origin {
            Some(origin) if origin == value => Ok(()),
            Some(_) | None => Err(Denial::WrongClient {
                condition: caveat::ORIGIN,
            }),
        }
    }

    fn tls_fingerprint(&mut self, value: &str) -> Result<(), Denial> {
        let bound = encoding::hex_32(value.as_bytes())
            .map_err(|_not_hex| unreadable(caveat::TLS_FINGERPRINT))?;
        if self.tls_fingerprint.is_some_and(|before| before != bound) {
            return Err(widened(caveat::TLS_FINGERPRINT));
        }
        self.tls_fingerprint = Some(bound);
        match self.request.tls_certificate {
            Some(fingerprint) if *fingerprint == bound => Ok(()),
            Some(_) | None => Err(Denial::WrongClient {
                condition: caveat::TLS_FINGERPRINT,
            }),
        }
    }

    fn methods(&mut self, value: &'a str) -> Result<(), Denial> {
        self.count_list(caveat::METHOD, value)?;
        if self.methods.is_some_and(|before| !is_subset(value, before)) {
            return Err(widened(caveat::METHOD));
        }
        self.methods = Some(value);
        if items(value).any(|item| item == self.request.method.as_bytes()) {
            return Ok(());
        }
        Err(Denial::WrongMethod {
            requested: self.request.method.to_owned(),
        })
    }

    fn path_prefix(&mut self, value: &'a str) -> Result<(), Denial> {
        if !value.starts_with('/') {
            return Err(unreadable(caveat::PATH_PREFIX));
        }
        if self
            .path_prefix
            .is_some_and(|before| !path::is_below(value, before))
        {
            return Err(widened(caveat::PATH_PREFIX));
        }
        self.path_prefix = Some(value);
        if path::is_unambiguous(self.request.path) && path::is_below(self.request.path, value) {
            return Ok(());
        }
        Err(Denial::WrongPath {
            granted: value.to_owned(),
        })
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

    fn wrong_service(&self) -> Denial {
        Denial::WrongService {
            granted: self.services.unwrap_or_default().to_owned(),
            requested: format!(
                "{}{}",
                self.request.service,
                self.request.resource.unwrap_or_default()
            ),
        }
    }
}

/// The tier of the requested service, and which item of the list it is.
#[derive(Clone, Copy)]
struct Held {
    item: usize,
    tier: u8,
}

/// The capabilities a token leaves. An empty list is none at all.
#[derive(Clone, Copy)]
enum Capabilities<'a> {
    All,
    Only(&'a str),
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

/// Items in all lists of a token together.
const MAX_ITEMS_OF_TOKEN: usize = 256;
