//! What do a token's caveats, read in order, leave of what was bought?
//!
//! Each known condition keeps its last value. A later value must be contained in the one
//! before it, or whoever added it tried to widen the token; then it must hold for the
//! request. Values are compared in place: nothing is copied unless the answer is no.

use std::net::IpAddr;
use std::num::NonZeroU64;

use super::{Denial, RequestContext};
use crate::caveat;
use crate::encoding;
use crate::hash::Preimage;
use crate::time::UnixSeconds;

/// The caveats read so far. Borrows the token's own text.
pub(super) struct Terms<'a> {
    request: &'a RequestContext<'a>,
    preimage: &'a Preimage,
    services: Option<&'a str>,
    tier: Option<u8>,
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

impl<'a> Terms<'a> {
    pub(super) const fn new(request: &'a RequestContext<'a>, preimage: &'a Preimage) -> Self {
        Self {
            request,
            preimage,
            services: None,
            tier: None,
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

    /// Takes one caveat in, or says why the token does not buy the request.
    pub(super) fn narrow(&mut self, caveat: &'a [u8]) -> Result<(), Denial> {
        let Some((condition, value)) = split(caveat) else {
            return Ok(());
        };
        match condition {
            caveat::SERVICES => self.services(value),
            caveat::VALID_UNTIL => self.deadline(condition, value, |terms| &mut terms.valid_until),
            caveat::EXPIRATION_MS => self.expiration(value),
            caveat::IP => self.ip(value),
            caveat::ORIGIN => self.origin(value),
            caveat::TLS_FINGERPRINT => self.tls_fingerprint(value),
            caveat::METHOD => self.methods(value),
            caveat::PATH_PREFIX => self.path_prefix(value),
            caveat::MAX_USES => self.uses(value),
            caveat::PREIMAGE => self.paid_preimage(value),
            _ => match condition.strip_prefix(self.request.service) {
                Some(caveat::CAPABILITIES) => self.capabilities(condition, value),
                Some(caveat::VALID_UNTIL_SUFFIX) => {
                    self.deadline(condition, value, |terms| &mut terms.service_valid_until)
                }
                Some(_) | None => Ok(()),
            },
        }
    }

    /// The tier bought, once all caveats are in. A token that names no service buys none.
    pub(super) fn tier(&self) -> Result<u8, Denial> {
        self.capability_held()?;
        self.tier.ok_or_else(|| self.wrong_service())
    }

    pub(super) fn expires_at(&self) -> Option<UnixSeconds> {
        let expiration = self.expiration_ms.map(|ms| ms.div_ceil(1_000));
        [self.service_valid_until, self.valid_until, expiration]
            .into_iter()
            .flatten()
            .min()
            .map(UnixSeconds::new)
    }

    pub(super) const fn uses_max(&self) -> Option<NonZeroU64> {
        self.uses_max
    }

    fn services(&mut self, value: &'a str) -> Result<(), Denial> {
        let mut bought = None;
        for item in split_list(value) {
            let (name, tier) =
                service_and_tier(item).ok_or_else(|| unreadable(caveat::SERVICES))?;
            let allowed = match self.services {
                None => true,
                Some(before) => tier_of(before, name).is_some_and(|held| tier <= held),
            };
            if !allowed {
                return Err(widened(caveat::SERVICES));
            }
            if name == self.request.service.as_bytes() {
                bought = bought.or(Some(tier));
            }
        }
        self.services = Some(value);
        self.tier = bought;
        match bought {
            Some(_) => Ok(()),
            None => Err(self.wrong_service()),
        }
    }

    /// Deployed issuers write an empty list when a service has no capabilities to name, so a
    /// first empty list restricts nothing. A later one leaves nothing.
    fn capabilities(&mut self, condition: &str, value: &'a str) -> Result<(), Denial> {
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
            .is_some_and(|before| !is_below(value, before))
        {
            return Err(widened(caveat::PATH_PREFIX));
        }
        self.path_prefix = Some(value);
        if is_unambiguous(self.request.path) && is_below(self.request.path, value) {
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
            requested: self.request.service.to_owned(),
        }
    }
}

/// The capabilities a token leaves. An empty list is none at all.
#[derive(Clone, Copy)]
enum Capabilities<'a> {
    All,
    Only(&'a str),
}

/// Splits at the first `=`. Spaces around either side are ignored for matching only; what is
/// signed is the raw text. Anything else is somebody else's condition.
fn split(caveat: &[u8]) -> Option<(&str, &str)> {
    let at = caveat.iter().position(|byte| *byte == b'=')?;
    let (condition, value) = std::str::from_utf8(caveat).ok()?.split_at_checked(at)?;
    Some((condition.trim_ascii(), value.get(1..)?.trim_ascii()))
}

fn service_and_tier(item: &[u8]) -> Option<(&[u8], u8)> {
    let item = item.trim_ascii();
    let at = item.iter().position(|byte| *byte == b':')?;
    let (name, tier) = item.split_at_checked(at)?;
    let tier = u8::try_from(decimal(tier.get(1..)?)?).ok()?;
    (!name.is_empty()).then_some((name, tier))
}

fn tier_of(services: &str, wanted: &[u8]) -> Option<u8> {
    split_list(services)
        .filter_map(service_and_tier)
        .find(|(name, _)| *name == wanted)
        .map(|(_, tier)| tier)
}

/// Digits only, no sign, no leading zero: a number has one spelling.
fn decimal(text: &[u8]) -> Option<u64> {
    let (first, others) = text.split_first()?;
    if *first == b'0' && !others.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

fn items(list: &str) -> impl Iterator<Item = &[u8]> {
    split_list(list)
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// Splits bytes and not text: a search of its own for every comma costs more than the text.
fn split_list(list: &str) -> impl Iterator<Item = &[u8]> {
    list.as_bytes().split(|byte| *byte == b',')
}

fn is_subset(list: &str, before: &str) -> bool {
    items(list).all(|item| items(before).any(|held| held == item))
}

/// True when `path` is `prefix` or lies below it, by whole segments.
fn is_below(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// False for a path that an upstream might resolve to another one: dot segments, empty
/// segments, backslashes, and encodings of dots, slashes or backslashes.
fn is_unambiguous(path: &str) -> bool {
    let mut rest = path.as_bytes();
    let mut in_segment = false;
    while let Some((byte, after)) = rest.split_first() {
        let ambiguous = match byte {
            b'/' => after.first() == Some(&b'/'),
            b'\\' => true,
            b'.' => !in_segment && is_dot_segment(rest),
            b'%' => is_encoded_separator(after),
            _ => false,
        };
        if ambiguous {
            return false;
        }
        in_segment = *byte != b'/';
        rest = after;
    }
    true
}

const fn is_dot_segment(text: &[u8]) -> bool {
    matches!(
        text,
        b"." | b".." | [b'.', b'/', ..] | [b'.', b'.', b'/', ..]
    )
}

/// True for the digits behind the `%` of an encoded `.`, `/`, `\` or `%`.
const fn is_encoded_separator(digits: &[u8]) -> bool {
    matches!(
        digits,
        [b'2', b'5' | b'e' | b'E' | b'f' | b'F', ..] | [b'5', b'c' | b'C', ..]
    )
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
