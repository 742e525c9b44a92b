//! Whether the refusal of a stored credential warrants another purchase.
//!
//! Pure. A seller that could have any paid token replaced with a word would be paid for each
//! request. What it states is therefore compared with what it sold. A reason that the token's own
//! text contradicts is no reason to buy: the token was paid for and refused.
//!
//! | stated | contradicted when |
//! |---|---|
//! | `exhausted` | the token counts no uses, or was bought here and less than half of its uses were taken here |
//! | `expired` | the token has no deadline, or it is more than [`CLOCK_SKEW_SECS`] ahead |
//! | nothing, or a text that is no code | the token is good for this: it counts no uses, has not expired, and was accepted for the very request it was bought for, which is this one |
//! | any other code | the token is good for this, and another one for the same was bought within a day: one token may be revoked, or its key retired, but not each that is bought |
//!
//! A contradicted refusal stops purchases, and is remembered for a moment only: a server that is
//! set right accepts the token that is there.

use l402::{Msat, UnixSeconds};

use crate::book::{Evidence, StoredCredential, TargetResource};
use crate::refusal_reason::RefusalReason;

/// What a refusal means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The token contradicts it: it was paid for and is refused.
    Contradicted,
    /// The token does not buy this, as far as it shows: another may be bought.
    Plausible,
}

/// Returns what the refusal of a stored credential means.
pub(crate) fn of(
    credential: &StoredCredential,
    resource: &TargetResource,
    reason: &RefusalReason,
    evidence: &Evidence,
    now: UnixSeconds,
) -> Verdict {
    let is_good_for_this = credential.uses_max().is_none()
        && is_valid(credential, now)
        && evidence.is_accepted
        && credential.resource == *resource;
    let is_contradicted = match reason {
        RefusalReason::Exhausted => credential.uses_max().is_none_or(|max| {
            let is_bought = credential.price > Msat::ZERO;
            is_bought && evidence.taken.saturating_mul(2) < max
        }),
        RefusalReason::Expired => is_valid(credential, now.plus_secs(CLOCK_SKEW_SECS)),
        RefusalReason::Other(_) | RefusalReason::Unstated => is_good_for_this,
        RefusalReason::Forged
        | RefusalReason::Malformed
        | RefusalReason::MissingCapability
        | RefusalReason::Revoked
        | RefusalReason::TierTooLow
        | RefusalReason::WrongClient
        | RefusalReason::WrongMethod
        | RefusalReason::WrongPath
        | RefusalReason::WrongService => is_good_for_this && evidence.is_one_of_several,
    };
    if is_contradicted {
        Verdict::Contradicted
    } else {
        Verdict::Plausible
    }
}

/// Returns true when a credential can be read, and its deadline, if it has one, is after `moment`.
fn is_valid(credential: &StoredCredential, moment: UnixSeconds) -> bool {
    let deadline = credential.token.deadline();
    credential.token.macaroon().is_some() && deadline.is_none_or(|deadline| moment < deadline)
}

/// How far the seller's clock may be ahead of ours.
const CLOCK_SKEW_SECS: u64 = 300;
