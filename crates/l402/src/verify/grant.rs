//! The results of verification: what a token covers, and the proof that it buys a request.
//!
//! Nothing is copied out of the token: a [`Scope`] shares its bytes and reads them again when
//! it is asked, so a verdict allocates nothing.

use std::num::NonZeroU64;

use super::terms::Bought;
use super::value;
use crate::caveat;
use crate::identifier::Identifier;
use crate::macaroon::{Macaroon, RawCaveat};
use crate::time::UnixSeconds;

/// A credential that was verified: good for the request at once, or once its use is counted.
///
/// Exhaustive on purpose: what a new kind of token costs per request must be settled wherever
/// requests are admitted, so adding one is a breaking change.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "a counted token buys nothing until its use was counted"]
pub enum Verified {
    /// The token buys any number of requests.
    Unlimited(Grant),
    /// The token buys a number of requests, and the caller counts them.
    Counted(Uncounted),
}

impl Verified {
    pub(super) fn new(token: Macaroon, identifier: Identifier, bought: &Bought) -> Self {
        Self::of(Scope {
            token,
            identifier,
            item: bought.item,
            tier: bought.tier,
            expires_at: bought.expires_at,
            uses_max: bought.uses_max,
        })
    }

    /// Creates the verdict on a credential whose token covers `scope`.
    pub(super) const fn of(scope: Scope) -> Self {
        match scope.uses_max {
            None => Self::Unlimited(Grant {
                scope,
                uses_remaining: None,
            }),
            Some(uses_max) => Self::Counted(Uncounted { scope, uses_max }),
        }
    }

    /// Returns what the token covers.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        match self {
            Self::Unlimited(grant) => &grant.scope,
            Self::Counted(uncounted) => &uncounted.scope,
        }
    }
}

/// A verified credential whose token buys a limited number of requests.
///
/// Becomes a [`Grant`] once the store of uses has taken one.
///
/// ```
/// use l402::{CountedUse, Verified};
/// # use l402::{Credential, KeyRing, MasterKey, Preimage, RequestContext, RevocationSet, Services};
/// # use l402::{UnixSeconds, caveat, mint, verify};
/// # let ring = KeyRing::new(MasterKey::new([1; 32]));
/// # let (preimage, now) = (Preimage::new([9; 32]), UnixSeconds::new(1_700_000_000));
/// # let services = Services::new("weather", 0)?;
/// # let caveats = [caveat::max_uses(3.try_into()?)];
/// # let token = mint(&ring, preimage.payment_hash(), &services, &caveats, now, [2; 20])?;
/// # let credential = Credential::new(token, preimage);
/// # let request = RequestContext::new("weather", "GET", "/", now);
/// # let mut used = std::collections::HashMap::new();
///
/// match verify(&ring, &RevocationSet::default(), &credential, &request)? {
///     Verified::Unlimited(_) => unreachable!("it was sold with `max_uses=3`"),
///     Verified::Counted(uncounted) => {
///         // A real store counts durably, and refuses a use beyond the last.
///         let uses = used.entry(uncounted.scope().identifier().token_id).or_insert(0);
///         *uses += 1;
///         let remaining = uncounted.uses_max().get().checked_sub(*uses).ok_or("exhausted")?;
///         let grant = uncounted.counted(CountedUse::new(remaining));
///         assert_eq!(grant.uses_remaining(), Some(2));
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "a counted token buys nothing until its use was counted"]
pub struct Uncounted {
    scope: Scope,
    uses_max: NonZeroU64,
}

impl Uncounted {
    /// Returns what the token covers. Uses are counted by the token id in its identifier.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns how many requests the token buys in all.
    #[must_use]
    pub const fn uses_max(&self) -> NonZeroU64 {
        self.uses_max
    }

    /// Creates the grant of one use that was taken from the store.
    pub fn counted(self, taken: CountedUse) -> Grant {
        Grant {
            scope: self.scope,
            uses_remaining: Some(taken.remaining),
        }
    }
}

/// One use of a counted token, taken from the store of uses.
///
/// Creating it asserts that the store has reserved or recorded the use, and that no more
/// than [`Uncounted::uses_max`] were ever taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CountedUse {
    remaining: u64,
}

impl CountedUse {
    /// Creates a use after which `remaining` more can be taken.
    #[must_use]
    pub const fn new(remaining: u64) -> Self {
        Self { remaining }
    }
}

/// Proof that a credential was verified and buys the request it was verified for.
///
/// Only verification makes one, and for a counted token only [`Uncounted::counted`], so a
/// function that takes a `Grant` cannot be reached unpaid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    scope: Scope,
    uses_remaining: Option<u64>,
}

impl Grant {
    /// Returns what the token covers.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns the payment hash and the id of the token.
    #[must_use]
    pub const fn identifier(&self) -> &Identifier {
        &self.scope.identifier
    }

    /// Returns the service that was bought.
    #[must_use]
    pub fn service(&self) -> &str {
        self.scope.service()
    }

    /// Returns how many more requests a counted token buys after this one.
    #[must_use]
    pub const fn uses_remaining(&self) -> Option<u64> {
        self.uses_remaining
    }
}

/// What a verified token covers.
///
/// ```
/// use l402::verify;
/// # use l402::{Credential, KeyRing, MasterKey, Preimage, RequestContext, RevocationSet, Services};
/// # use l402::{UnixSeconds, caveat, mint};
/// # let ring = KeyRing::new(MasterKey::new([1; 32]));
/// # let (preimage, now) = (Preimage::new([9; 32]), UnixSeconds::new(1_700_000_000));
/// # let services = Services::new("weather", 0)?;
/// # let caveats = [caveat::capabilities("weather", &["forecast"])?];
/// # let token = mint(&ring, preimage.payment_hash(), &services, &caveats, now, [2; 20])?;
/// # let credential = Credential::new(token, preimage);
/// # let request = RequestContext::new("weather", "GET", "/", now);
///
/// let verified = verify(&ring, &RevocationSet::default(), &credential, &request)?;
/// let scope = verified.scope();
/// assert_eq!((scope.service(), scope.tier()), ("weather", 0));
/// let capabilities: Vec<&str> = scope.capabilities().into_iter().flatten().collect();
/// assert_eq!(capabilities, ["forecast"]);
/// assert_eq!(scope.expires_at(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope {
    token: Macaroon,
    identifier: Identifier,
    /// Which item of the last `services` caveat was asked for.
    item: usize,
    tier: u8,
    expires_at: Option<UnixSeconds>,
    uses_max: Option<NonZeroU64>,
}

impl Scope {
    /// Returns the payment hash and the id of the token.
    #[must_use]
    pub const fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// Returns the service that was asked for, without the path of a resource.
    #[must_use]
    pub fn service(&self) -> &str {
        self.name().split('/').next().unwrap_or_default()
    }

    /// Returns the path that the token is limited to, as the token has it: percent-encoded by
    /// [`Services::resource`](crate::Services::resource), decoded by Aperture.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        let name = self.name();
        name.find('/').and_then(|at| name.get(at..))
    }

    /// Returns the tier of the service.
    #[must_use]
    pub const fn tier(&self) -> u8 {
        self.tier
    }

    /// Returns the capabilities the token is limited to; `None` is all of the service.
    pub fn capabilities(&self) -> Option<impl Iterator<Item = &str>> {
        let service = self.service();
        let mut lists = self
            .values(move |condition| condition.strip_prefix(service) == Some(caveat::CAPABILITIES));
        let first = lists.next()?;
        let list = match lists.last() {
            // A first empty list restricts nothing.
            None if first.is_empty() => return None,
            last => last.unwrap_or(first),
        };
        Some(
            list.split(',')
                .map(str::trim_ascii)
                .filter(|item| !item.is_empty()),
        )
    }

    /// Returns the first second at which the token is no longer valid.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixSeconds> {
        self.expires_at
    }

    /// Returns how many requests the token buys in all; `None` is any number.
    #[must_use]
    pub const fn uses_max(&self) -> Option<NonZeroU64> {
        self.uses_max
    }

    /// Returns all caveats in order, those of unknown conditions included.
    pub fn caveats(&self) -> impl Iterator<Item = RawCaveat<'_>> {
        self.token.unverified_caveats()
    }

    /// The name of the service in the token, with the path of a resource.
    fn name(&self) -> &str {
        let services = self.values(|condition| condition == caveat::SERVICES);
        let item = services
            .last()
            .and_then(|list| list.split(',').nth(self.item));
        item.and_then(|item| item.split(':').next())
            .unwrap_or_default()
            .trim_ascii()
    }

    fn values(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
        self.token
            .unverified_caveats()
            .filter_map(|caveat| value::split(caveat.id()))
            .filter(move |(condition, _)| wanted(condition))
            .map(|(_, value)| value)
    }
}
