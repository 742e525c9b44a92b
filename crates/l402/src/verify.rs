//! Credential verification: decides whether a credential buys a request.
//!
//! Pure: the caller has already fetched the root key, read the clock and described the
//! request. Nothing here performs I/O, logs, or knows what HTTP is, so every verdict can be
//! replayed from its inputs. [`verify`] and [`verify_with`] are the only makers of
//! [`Verified`], and a [`Grant`] of a counted token exists only after its use was counted.
//!
//! The order of checks is fixed: signature, payment, caveats, revocation. A forger must not
//! be able to use us as an oracle for what a genuine token contains.
//!
//! Specification: L402 `macaroons.md`, "Macaroon Verification"; `docs/spec.md` says which
//! test pins each requirement.

mod context;
mod denial;
mod grant;
mod terms;
mod value;

pub use self::context::RequestContext;
pub use self::denial::Denial;
pub use self::grant::{CountedUse, Grant, Scope, Uncounted, Verified};
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
pub fn verify_with<K: RootKeys + ?Sized>(
    keys: &K,
    revoked: &RevocationSet,
    credential: &Credential,
    request: &RequestContext<'_>,
    judge: &mut impl FnMut(&RawCaveat<'_>) -> Result<(), Denial>,
) -> Result<Verified, Denial> {
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
    Ok(Verified::new(token.clone(), identifier, &bought))
}
