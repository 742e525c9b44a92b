//! Whether the refusal of a stored credential warrants another purchase.
//!
//! Pure. A seller that could have any paid token replaced with a word would be paid for each
//! request. What it states is therefore compared with what it sold. A reason that the token's own
//! text contradicts is no reason to buy: the token was paid for and refused.
//!
//! | stated | contradicted when |
//! |---|---|
//! | `exhausted` | the token counts no uses, or was bought here, less than half of its uses were taken here, and another one for the same was bought within a day: a copy may have been used elsewhere, but not of each token that is bought |
//! | `expired` | the token has no deadline, or it is more than [`CLOCK_SKEW_SECS`] ahead |
//! | nothing, or a text that is no code | the token is good for this: it counts no uses, has not expired, and was accepted for the very request it was bought for, which is this one |
//! | `wrong_path`, `wrong_method`, `wrong_service` | the token restricts no such thing, and was accepted for the very path it was bought for, which is this one |
//! | any other code, or one of these | the token is good for this, and two others for the same were bought within a day: a seller may revoke its tokens, or retire its key, but not each time one is bought |
//! | anything but an expiry, and an exhaustion after a use | the token was bought within a day for this very path, and has brought nothing |
//!
//! A contradicted refusal stops purchases, and is remembered for a moment only: a server that is
//! set right accepts the token that is there.

use l402::UnixSeconds;

use crate::book::{BRAKE_SECS, BrakeCause, Evidence, StoredCredential, TargetResource};
use crate::fit;
use crate::refusal_reason::RefusalReason;

/// What a refusal means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It was paid for and is refused, though it is good for this: what is to be remembered.
    Contradicted(BrakeCause),
    /// The token does not buy this, as far as it shows: another may be bought.
    Plausible,
}

/// The refusal of a stored credential.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) credential: &'a StoredCredential,
    /// What was requested.
    pub(crate) resource: &'a TargetResource,
    /// What the server stated.
    pub(crate) reason: &'a RefusalReason,
    /// Whether what the server asks to be paid for is what the credential is for.
    pub(crate) is_its_service: bool,
}

/// Returns what a refusal means.
pub(crate) fn of(refusal: &Refusal<'_>, evidence: &Evidence, now: UnixSeconds) -> Verdict {
    let Refusal {
        credential, reason, ..
    } = *refusal;
    let cause = if is_contradicted(refusal, evidence, now) {
        Some(BrakeCause::Contradicted(reason.clone()))
    } else if has_brought_nothing(refusal, evidence, now) {
        Some(BrakeCause::BroughtNothing(reason.clone()))
    } else if is_early(credential, evidence) && *reason == RefusalReason::Exhausted {
        Some(BrakeCause::ExhaustedEarly)
    } else if is_refused_again(refusal, evidence, now) {
        Some(BrakeCause::RefusedAgain(reason.clone()))
    } else {
        None
    };
    cause.map_or(Verdict::Plausible, Verdict::Contradicted)
}

/// Returns true when the token's own text, or that it was accepted before, contradicts the reason.
fn is_contradicted(refusal: &Refusal<'_>, evidence: &Evidence, now: UnixSeconds) -> bool {
    let Refusal {
        credential,
        resource,
        reason,
        is_its_service,
    } = *refusal;
    let token = &credential.token;
    let was_accepted =
        is_valid(credential, now) && evidence.is_accepted && is_where_bought(refusal);
    match reason {
        RefusalReason::Exhausted => credential.uses_max().is_none(),
        RefusalReason::Expired => is_valid(credential, now.plus_secs(CLOCK_SKEW_SECS)),
        RefusalReason::Other(_) | RefusalReason::Unstated => {
            let is_the_same = credential.resource == *resource;
            was_accepted && is_the_same && credential.uses_max().is_none()
        }
        RefusalReason::WrongMethod => was_accepted && !fit::is_restricted(token, "method"),
        RefusalReason::WrongPath => was_accepted && !fit::is_restricted(token, "path_prefix"),
        RefusalReason::WrongService => was_accepted && is_its_service,
        RefusalReason::Forged
        | RefusalReason::Malformed
        | RefusalReason::MissingCapability
        | RefusalReason::Revoked
        | RefusalReason::TierTooLow
        | RefusalReason::WrongClient => false,
    }
}

/// Returns true when a token was paid for lately, for this path, and has brought nothing.
fn has_brought_nothing(refusal: &Refusal<'_>, evidence: &Evidence, now: UnixSeconds) -> bool {
    let Refusal {
        credential, reason, ..
    } = *refusal;
    let is_late = now.secs_since(credential.bought_at) >= BRAKE_SECS;
    // Its deadline may be over by the seller's clock, and a use that took one delivered nothing.
    let is_used_up = *reason == RefusalReason::Exhausted && evidence.taken > 0;
    let is_over = *reason == RefusalReason::Expired || !is_valid(credential, now);
    let is_explained = is_used_up || is_over;
    credential.is_bought()
        && !is_late
        && is_where_bought(refusal)
        && !evidence.is_accepted
        && !is_explained
}

/// Returns true when a token that is good for this is refused, which is the last of several that
/// were bought: those of one moment may be revoked, or their key retired, but not each that is
/// bought.
fn is_refused_again(refusal: &Refusal<'_>, evidence: &Evidence, now: UnixSeconds) -> bool {
    let Refusal {
        credential, reason, ..
    } = *refusal;
    let has_uses_left = credential.uses_max().is_none_or(|max| evidence.taken < max);
    let is_stated = !matches!(
        reason,
        RefusalReason::Exhausted
            | RefusalReason::Expired
            | RefusalReason::Other(_)
            | RefusalReason::Unstated
    );
    let is_good = is_valid(credential, now) && evidence.is_accepted && has_uses_left;
    is_stated && is_good && is_where_bought(refusal) && evidence.others >= REPLACED_MAX
}

/// Returns true at the path that a credential was bought for.
fn is_where_bought(refusal: &Refusal<'_>) -> bool {
    refusal.credential.resource.path == refusal.resource.path
}

/// Returns true when a counted token is too early to be exhausted. Its other uses may have been
/// taken elsewhere, with a copy of it; not those of each token that is bought.
fn is_early(credential: &StoredCredential, evidence: &Evidence) -> bool {
    let is_early = |max| evidence.taken.saturating_mul(2) < max;
    let is_one_of_several = credential.is_bought() && evidence.others > 0;
    is_one_of_several && credential.uses_max().is_some_and(is_early)
}

/// Returns true when a credential can be read, and its deadline, if it has one, is after `moment`.
fn is_valid(credential: &StoredCredential, moment: UnixSeconds) -> bool {
    let deadline = credential.token.deadline();
    credential.token.macaroon().is_some() && deadline.is_none_or(|deadline| moment < deadline)
}

/// How often in a day a token that a seller takes back is replaced.
const REPLACED_MAX: usize = 2;
/// How far the seller's clock may be ahead of ours.
const CLOCK_SKEW_SECS: u64 = 300;

#[cfg(test)]
mod tests {
    use l402::{Caveat, KeyRing, MasterKey, Msat, Preimage, SchemeName, Services, Token, caveat};

    use super::*;
    use crate::book::{QueryHash, SoldToken, UseCounts};

    const NOON: UnixSeconds = UnixSeconds::new(1_700_000_000);
    const ACCEPTED: Evidence = Evidence {
        taken: 1,
        is_accepted: true,
        others: 0,
    };

    #[test]
    fn what_the_tokens_own_text_contradicts_is_no_reason() {
        let until = caveat::valid_until("s", NOON.plus_secs(1_000)).unwrap();
        let (unlimited, expiring) = (credential(&[]), credential(&[until]));
        for (held, reason, secs, contradicted) in [
            (&unlimited, RefusalReason::Exhausted, 0, true),
            (&unlimited, RefusalReason::Expired, 0, true),
            (&unlimited, RefusalReason::Unstated, 0, true),
            (&unlimited, RefusalReason::Revoked, 0, false),
            (&unlimited, RefusalReason::WrongPath, 0, true),
            (&unlimited, RefusalReason::WrongMethod, 0, true),
            (&unlimited, RefusalReason::WrongService, 0, true),
            (&expiring, RefusalReason::Expired, 0, true),
            (
                &expiring,
                RefusalReason::Expired,
                999 - CLOCK_SKEW_SECS,
                true,
            ),
            (
                &expiring,
                RefusalReason::Expired,
                1_000 - CLOCK_SKEW_SECS,
                false,
            ),
            (&expiring, RefusalReason::Unstated, 999, true),
            (&expiring, RefusalReason::Unstated, 1_000, false),
        ] {
            let now = NOON.plus_secs(secs);
            let verdict = of(&refusal(held, &reason), &ACCEPTED, now);
            let is_contradicted = verdict != Verdict::Plausible;
            assert_eq!(is_contradicted, contradicted, "{reason:?} after {secs} s");
        }
    }

    #[test]
    fn a_seller_may_take_back_one_token_and_not_each() {
        let held = credential(&[]);
        let others = |others| Evidence { others, ..ACCEPTED };
        for reason in [
            RefusalReason::Forged,
            RefusalReason::Revoked,
            RefusalReason::TierTooLow,
        ] {
            let verdict = |evidence| of(&refusal(&held, &reason), evidence, NOON);
            let (one, two) = (others(1), others(2));
            assert_eq!(verdict(&one), Verdict::Plausible);
            let again = verdict(&two);
            let refused = BrakeCause::RefusedAgain(reason.clone());
            assert_eq!(again, Verdict::Contradicted(refused));
        }
    }

    #[test]
    fn where_it_was_not_bought_for_a_token_may_be_refused() {
        let held = credential(&[]);
        let elsewhere = TargetResource {
            path: "/b".to_owned(),
            ..held.resource.clone()
        };
        let reason = RefusalReason::Unstated;
        let refused = Refusal {
            resource: &elsewhere,
            ..refusal(&held, &reason)
        };
        assert_eq!(of(&refused, &ACCEPTED, NOON), Verdict::Plausible);
    }

    #[test]
    fn what_was_bought_and_has_brought_nothing_is_not_bought_again() {
        let unaccepted = |taken| Evidence {
            taken,
            is_accepted: false,
            others: 0,
        };
        let counted = credential(&[caveat::max_uses(1.try_into().unwrap())]);
        let imported = StoredCredential {
            price: Msat::ZERO,
            ..counted.clone()
        };
        for (held, reason, taken, secs, stopped) in [
            (&credential(&[]), RefusalReason::Unstated, 0, 0, true),
            (&credential(&[]), RefusalReason::Revoked, 0, 0, true),
            (&counted, RefusalReason::Revoked, 0, 0, true),
            (&counted, RefusalReason::Revoked, 0, BRAKE_SECS, false),
            (&counted, RefusalReason::Exhausted, 0, 0, true),
            (&counted, RefusalReason::Exhausted, 1, 0, false),
            (&imported, RefusalReason::Revoked, 0, 0, false),
        ] {
            let now = NOON.plus_secs(secs);
            let verdict = of(&refusal(held, &reason), &unaccepted(taken), now);
            let nothing = BrakeCause::BroughtNothing(reason.clone());
            assert_eq!(
                verdict == Verdict::Contradicted(nothing),
                stopped,
                "{reason:?}"
            );
        }
    }

    #[test]
    fn not_each_counted_token_is_exhausted_before_half_of_its_uses_were_taken_here() {
        let counted = credential(&[caveat::max_uses(10.try_into().unwrap())]);
        let imported = StoredCredential {
            price: Msat::ZERO,
            ..counted.clone()
        };
        for (held, taken, others, contradicted) in [
            (&counted, 4, 1, true),
            (&counted, 5, 1, false),
            (&counted, 0, 0, false),
            (&imported, 0, 1, false),
        ] {
            let evidence = Evidence {
                taken,
                others,
                ..ACCEPTED
            };
            let reason = RefusalReason::Exhausted;
            let verdict = of(&refusal(held, &reason), &evidence, NOON);
            let early = Verdict::Contradicted(BrakeCause::ExhaustedEarly);
            assert_eq!(verdict == early, contradicted, "{taken}");
        }
    }

    fn refusal<'a>(held: &'a StoredCredential, reason: &'a RefusalReason) -> Refusal<'a> {
        Refusal {
            credential: held,
            resource: &held.resource,
            reason,
            is_its_service: true,
        }
    }

    fn credential(caveats: &[Caveat]) -> StoredCredential {
        let ring = KeyRing::new(MasterKey::new([5; 32]));
        let preimage = Preimage::new([7; 32]);
        let services = Services::new("s", 0).unwrap();
        let hash = preimage.payment_hash();
        let token = l402::mint(&ring, hash, &services, caveats, NOON, [0; 20]).unwrap();
        StoredCredential {
            resource: TargetResource {
                origin: "http://127.0.0.1:1".parse().unwrap(),
                method: "GET".to_owned(),
                path: "/a".to_owned(),
                query: QueryHash::new(None),
            },
            token: SoldToken::L402 {
                name: SchemeName::L402,
                token: Token::from_bytes(token.as_bytes().to_vec()),
            },
            preimage,
            price: Msat::from_msat(1_000),
            fee: Msat::ZERO,
            bought_at: NOON,
            holder: None,
            uses: UseCounts::default(),
        }
    }
}
