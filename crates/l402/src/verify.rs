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

/// What a request asks for, as far as a token can speak about it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The service its route belongs to.
    pub service: &'a str,
    /// The capability its route needs, if any.
    pub capability: Option<&'a str>,
    /// The HTTP method.
    pub method: &'a str,
    /// The path as it stands in the request line, without the query.
    pub path: &'a str,
    /// When it arrived.
    pub now: UnixSeconds,
    /// The client's address, if known and trusted.
    pub client_ip: Option<IpAddr>,
    /// The `Origin` header, if sent.
    pub origin: Option<&'a str>,
    /// SHA-256 fingerprint of the client's TLS handshake or certificate, if known.
    pub tls_fingerprint: Option<&'a [u8; 32]>,
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
    /// A later caveat allows more than an earlier one.
    #[error("caveat `{condition}` is loosened by a later one")]
    Loosened {
        /// The condition that was widened.
        condition: String,
    },
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
    request: &Request<'_>,
) -> Result<Grant, Denial> {
    let token = credential.macaroon();
    let root = keys.root_key(token.identifier()).ok_or(Denial::Forged)?;
    token.verify(&root).map_err(|_forged| Denial::Forged)?;
    let identifier = Identifier::parse(token.identifier()).map_err(|_unreadable| Denial::Forged)?;

    if !credential.preimage().pays(&identifier.payment_hash) {
        return Err(Denial::Unpaid);
    }

    let mut terms = Terms::new(request, credential.preimage());
    for caveat in token.unverified_caveats() {
        if caveat.is_third_party() {
            return Err(Denial::ThirdParty);
        }
        terms.narrow(caveat.condition())?;
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
