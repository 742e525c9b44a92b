//! Credential verification: decides whether a credential buys a request.
//!
//! Pure: the caller has already fetched the root key, read the clock and described the
//! request. Nothing here performs I/O, logs, or knows what HTTP is, so every verdict can be
//! replayed from its inputs. [`verify`], [`verify_with`] and [`Proof`] are the only makers of
//! [`Verified`], and a [`Grant`] of a counted token exists only after its use was counted.
//!
//! The order of checks is fixed: signature, payment, caveats, revocation. A forger must not
//! be able to use us as an oracle for what a genuine token contains.
//!
//! Specification: L402 `macaroons.md`, "Macaroon Verification"; `docs/spec.md` lists which
//! test pins each requirement.

mod context;
mod denial;
mod grant;
mod proof;
mod terms;
mod value;

pub use self::context::RequestContext;
pub use self::denial::Denial;
pub use self::grant::{CountedUse, Grant, Scope, Uncounted, Verified};
pub use self::proof::Proof;
use self::terms::{Judged, Terms};
use crate::credential::Credential;
use crate::identifier::Identifier;
use crate::keys::RootKeys;
use crate::macaroon::RawCaveat;
use crate::revocation::RevocationSet;

/// Decides whether `credential` buys `request`.
///
/// Unknown conditions are skipped, as the specification demands. Known ones must be
/// readable, must never allow more than an earlier caveat of the same condition, and must
/// hold for this request. A token whose first caveat names no services buys none.
///
/// # Errors
///
/// The first [`Denial`] in the order signature, payment, caveats, revocation.
///
/// # Specification
///
/// L402 `macaroons.md`, "Macaroon Verification" (rows 7, 10, 23 to 32 in `docs/spec.md`).
///
/// # Examples
///
/// ```
/// use l402::{Denial, RequestContext, RevocationSet, Verified, caveat, verify};
/// # use l402::{Credential, KeyRing, MasterKey, Preimage, Services, UnixSeconds, mint};
/// # let ring = KeyRing::new(MasterKey::new([1; 32]));
/// # let (preimage, now) = (Preimage::new([9; 32]), UnixSeconds::new(1_700_000_000));
/// # let services = Services::new("weather", 0)?;
/// # let caveats = [caveat::path_prefix("/v1")?];
/// # let token = mint(&ring, preimage.payment_hash(), &services, &caveats, now, [2; 20])?;
/// # let credential = Credential::new(token, preimage);
///
/// // A token of `weather` with `path_prefix=/v1`, and the preimage that paid for it.
/// let none = RevocationSet::default();
/// let today = RequestContext::new("weather", "GET", "/v1/today", now);
/// let verified = verify(&ring, &none, &credential, &today)?;
/// assert!(matches!(verified, Verified::Unlimited(grant) if grant.service() == "weather"));
///
/// let admin = RequestContext::new("weather", "GET", "/admin", now);
/// let denied = verify(&ring, &none, &credential, &admin);
/// assert!(matches!(denied, Err(Denial::WrongPath { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify<K: RootKeys + ?Sized>(
    keys: &K,
    revoked: &RevocationSet,
    credential: &Credential,
    request: &RequestContext<'_>,
) -> Result<Verified, Denial> {
    verify_with(keys, revoked, credential, request, &mut |_unknown| Ok(()))
}

/// Decides as [`verify`] does, and has `judge` decide on each condition this crate does not know.
///
/// `judge` is called after signature and payment were found good, in the order of the
/// caveats, and must be as strict with a repeated condition as this crate is: a later caveat
/// may be the holder's and must not allow more than an earlier one.
///
/// # Errors
///
/// As [`verify`]; also what `judge` returns, usually [`Denial::Unmet`].
///
/// # Examples
///
/// ```
/// use l402::{Denial, RawCaveat, RequestContext, RevocationSet, verify_with};
/// # use l402::{Credential, KeyRing, MasterKey, Preimage, Services, UnixSeconds, mint};
/// # let ring = KeyRing::new(MasterKey::new([1; 32]));
/// # let (preimage, now) = (Preimage::new([9; 32]), UnixSeconds::new(1_700_000_000));
/// # let services = Services::new("weather", 0)?;
/// # let caveats = ["order=4711".parse()?];
/// # let token = mint(&ring, preimage.payment_hash(), &services, &caveats, now, [2; 20])?;
/// # let credential = Credential::new(token, preimage);
///
/// /// Holds tokens with `order=…` to that order. Any number of such caveats may be there.
/// fn judge_order(caveat: &RawCaveat<'_>, requested: &str) -> Result<(), Denial> {
///     match caveat.id().strip_prefix(b"order=") {
///         Some(order) if order != requested.as_bytes() => Err(Denial::Unmet {
///             condition: "order".to_owned(),
///         }),
///         Some(_) | None => Ok(()),
///     }
/// }
///
/// let none = RevocationSet::default();
/// let request = RequestContext::new("weather", "GET", "/orders/4712", now);
/// let denied = verify_with(&ring, &none, &credential, &request, &mut |caveat| {
///     judge_order(caveat, "4712")
/// });
/// assert_eq!(denied.unwrap_err().code(), "unmet_caveat");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify_with<K: RootKeys + ?Sized>(
    keys: &K,
    revoked: &RevocationSet,
    credential: &Credential,
    request: &RequestContext<'_>,
    judge: &mut impl FnMut(&RawCaveat<'_>) -> Result<(), Denial>,
) -> Result<Verified, Denial> {
    decide(keys, revoked, credential, request, judge).map(|(verified, _terms)| verified)
}

fn decide<'a, K: RootKeys + ?Sized>(
    keys: &K,
    revoked: &RevocationSet,
    credential: &'a Credential,
    request: &'a RequestContext<'_>,
    judge: &mut impl FnMut(&RawCaveat<'_>) -> Result<(), Denial>,
) -> Result<(Verified, Terms<'a>), Denial> {
    let token = credential.macaroon();
    let root = keys.root_key(token.identifier()).ok_or(Denial::Forged)?;
    token.verify(&root).map_err(|_forged| Denial::Forged)?;
    let identifier = Identifier::parse(token.identifier()).map_err(|_unreadable| Denial::Forged)?;

    if !credential.preimage().matches(&identifier.payment_hash) {
        return Err(Denial::Unpaid);
    }

    let dialect = keys.dialect(&identifier.token_id);
    let mut terms = Terms::new(request, credential.preimage(), dialect);
    for caveat in token.unverified_caveats() {
        if caveat.is_third_party() {
            return Err(Denial::ThirdParty);
        }
        match terms.narrow(caveat.id())? {
            Judged::Known => {}
            Judged::Unknown => judge(&caveat)?,
        }
    }
    let bought = terms.finish()?;

    if revoked.is_revoked(&identifier.token_id, keys.minted_at(&identifier.token_id)) {
        return Err(Denial::Revoked);
    }
    Ok((Verified::new(token.clone(), identifier, &bought), terms))
}
