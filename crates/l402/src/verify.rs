//! Does this credential buy this request?
//!
//! Pure: the caller has already fetched the root key, read the clock and described the
//! request. Nothing here performs I/O, logs, or knows what HTTP is, so every verdict can be
//! replayed from its inputs. [`verify`] is the only maker of [`Grant`].
//!
//! The order of checks is fixed: signature, payment, caveats, revocation. A forger must not
//! be able to use us as an oracle for what a genuine token contains.
//!
//! Specification: L402 `macaroons.md`, "Macaroon Verification"; `docs/spec.md` says which
//! test pins each requirement.

mod terms;

use std::net::IpAddr;
use std::num::NonZeroU64;

use self::terms::Terms;
use crate::credential::Credential;
use crate::identifier::Identifier;
use crate::keys::RootKeys;
use crate::revocation::RevocationSet;
use crate::time::UnixSeconds;

/// The request a credential is judged for: what its route demands and what caveats can bind.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    service: &'a str,
    capability: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    now: UnixSeconds,
    client_ip: Option<IpAddr>,
    origin: Option<&'a str>,
    tls_certificate: Option<&'a [u8; 32]>,
}

impl<'a> RequestContext<'a> {
    /// Creates the context of a request without a capability from an unknown client.
    ///
    /// `service` is the one its route belongs to, `path` the path as it stands in the
    /// request line, without the query, and `now` the time of its arrival.
    #[must_use]
    pub const fn new(service: &'a str, method: &'a str, path: &'a str, now: UnixSeconds) -> Self {
        Self {
            service,
            capability: None,
            method,
            path,
            now,
            client_ip: None,
            origin: None,
            tls_certificate: None,
        }
    }

    /// Sets the capability that the route demands.
    #[must_use]
    pub fn with_capability(mut self, capability: impl Into<Option<&'a str>>) -> Self {
        self.capability = capability.into();
        self
    }

    /// Sets the client's address. It must be one that the client cannot choose freely.
    #[must_use]
    pub fn with_client_ip(mut self, address: impl Into<Option<IpAddr>>) -> Self {
        self.client_ip = address.into();
        self
    }

    /// Sets the `Origin` header.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<Option<&'a str>>) -> Self {
        self.origin = origin.into();
        self
    }

    /// Sets the SHA-256 of the client's TLS certificate, taken from the verified connection.
    #[must_use]
    pub fn with_tls_certificate(mut self, sha256: impl Into<Option<&'a [u8; 32]>>) -> Self {
        self.tls_certificate = sha256.into();
        self
    }
}

/// Proof that a credential was verified and buys the request it was verified for.
///
/// Only [`verify`] makes one, so a function that takes a `Grant` cannot be reached unpaid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    identifier: Identifier,
    expires_at: Option<UnixSeconds>,
    uses_max: Option<NonZeroU64>,
    tier: u8,
}

impl Grant {
    /// The token: its payment hash and its id.
    #[must_use]
    pub const fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// The first second at which the token is void, if it ever is.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixSeconds> {
        self.expires_at
    }

    /// How many requests the token buys in all; `None` is as many as wanted. The caller counts.
    #[must_use]
    pub const fn uses_max(&self) -> Option<NonZeroU64> {
        self.uses_max
    }

    /// The tier of the service that was bought.
    #[must_use]
    pub const fn tier(&self) -> u8 {
        self.tier
    }
}

/// Why a credential does not buy a request.
///
/// Every variant is the client's doing; our own failures are a different type, so that
/// "the database is down" can never be reported as "you have not paid".
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Denial {
    /// A deadline has passed.
    #[error("token expired {seconds_ago} s ago")]
    Expired {
        /// Whole seconds between the deadline and the request.
        seconds_ago: u64,
    },
    /// The signature does not chain to our root key. Says nothing more, on purpose.
    #[error("token was not issued here")]
    Forged,
    /// The token is for other parts of the service.
    #[error("token lacks capability `{requested}`")]
    MissingCapability {
        /// The capability the route needs.
        requested: String,
    },
    /// The issuer has taken the token back.
    #[error("token was revoked")]
    Revoked,
    /// The token needs a discharge from a third party, which is not supported.
    #[error("token carries a third-party caveat")]
    ThirdParty,
    /// SHA-256 of the preimage is not the payment hash in the token.
    #[error("preimage does not match the token's payment hash")]
    Unpaid,
    /// A condition we know with a value we cannot read.
    #[error("caveat `{condition}` has an unreadable value")]
    Unreadable {
        /// The condition.
        condition: String,
    },
    /// A later caveat allows more than an earlier one.
    #[error("caveat `{condition}` is widened by a later one")]
    Widened {
        /// The condition.
        condition: String,
    },
    /// The token is bound to another client.
    #[error("token is bound to another client by `{condition}`")]
    WrongClient {
        /// The condition that binds it: `ip`, `origin` or `tls_fingerprint`.
        condition: &'static str,
    },
    /// The token is for other methods.
    #[error("token is not for method `{requested}`")]
    WrongMethod {
        /// The method of the request.
        requested: String,
    },
    /// The token is for other paths.
    #[error("token is not for this path, only for `{granted}`")]
    WrongPath {
        /// The prefix in the token.
        granted: String,
    },
    /// The token is genuine and paid, for something else.
    #[error("token is for service `{granted}`, request is for `{requested}`")]
    WrongService {
        /// The services named in the token; empty when it names none.
        granted: String,
        /// The service this route belongs to.
        requested: String,
    },
}

impl Denial {
    /// Returns the denial as one word of the protocol with clients: a label for metrics and
    /// the same in every binding.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::Forged => "forged",
            Self::MissingCapability { .. } => "missing_capability",
            Self::Revoked => "revoked",
            Self::ThirdParty => "third_party",
            Self::Unpaid => "unpaid",
            Self::Unreadable { .. } => "unreadable_caveat",
            Self::Widened { .. } => "widened_caveat",
            Self::WrongClient { .. } => "wrong_client",
            Self::WrongMethod { .. } => "wrong_method",
            Self::WrongPath { .. } => "wrong_path",
            Self::WrongService { .. } => "wrong_service",
        }
    }
}

/// Decides whether `credential` buys `request`.
///
/// Unknown conditions are skipped, as the specification demands. Known ones must be
/// readable, must never allow more than an earlier caveat of the same condition, and must
/// hold for this request. A token that names no service buys none.
///
/// # Errors
///
/// The first [`Denial`] in the order signature, payment, caveats, revocation.
///
/// # Specification
///
/// L402 `macaroons.md`, "Macaroon Verification" (rows 7, 10, 23 to 32 in `docs/spec.md`).
pub fn verify<K: RootKeys + ?Sized>(
    keys: &K,
    revoked: &RevocationSet,
    credential: &Credential,
    request: &RequestContext<'_>,
) -> Result<Grant, Denial> {
    let token = credential.macaroon();
    let root = keys.root_key(token.identifier()).ok_or(Denial::Forged)?;
    token.verify(&root).map_err(|_forged| Denial::Forged)?;
    let identifier = Identifier::parse(token.identifier()).map_err(|_unreadable| Denial::Forged)?;

    if !credential.preimage().matches(&identifier.payment_hash) {
        return Err(Denial::Unpaid);
    }

    let mut terms = Terms::new(request, credential.preimage());
    for caveat in token.unverified_caveats() {
        if caveat.is_third_party() {
            return Err(Denial::ThirdParty);
        }
        terms.narrow(caveat.id())?;
    }
    let tier = terms.tier()?;

    if revoked.is_revoked(&identifier.token_id, keys.minted_at(&identifier.token_id)) {
        return Err(Denial::Revoked);
    }
    Ok(Grant {
        identifier,
        expires_at: terms.expires_at(),
        uses_max: terms.uses_max(),
        tier,
    })
}
