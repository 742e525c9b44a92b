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
//! | any other code | the token is good for this, and another one for the same was bought within a day: one token may be revoked, or its key retired, but not each that is bought |
//!
//! A contradicted refusal stops purchases, and is remembered for a moment only: a server that is
//! set right accepts the token that is there.

use l402::{Msat, UnixSeconds};

use crate::book::{BrakeCause, Evidence, StoredCredential, TargetResource};
use crate::refusal_reason::RefusalReason;

/// What a refusal means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It was paid for and is refused, though it is good for this: what is to be remembered.
    Contradicted(BrakeCause),
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
    let uses_max = credential.uses_max();
    let is_good_for_this = uses_max.is_none()
        && is_valid(credential, now)
        && evidence.is_accepted
        && credential.resource == *resource;
    let contradicted = || BrakeCause::Contradicted(reason.clone());
    let cause = match reason {
        RefusalReason::Exhausted => match uses_max {
            None => Some(contradicted()),
            Some(max) => is_early(credential, evidence, max).then_some(BrakeCause::ExhaustedEarly),
        },
        RefusalReason::Expired => {
            is_valid(credential, now.plus_secs(CLOCK_SKEW_SECS)).then(contradicted)
        }
        RefusalReason::Other(_) | RefusalReason::Unstated => is_good_for_this.then(contradicted),
        RefusalReason::Forged
        | RefusalReason::Malformed
        | RefusalReason::MissingCapability
        | RefusalReason::Revoked
        | RefusalReason::TierTooLow
        | RefusalReason::WrongClient
        | RefusalReason::WrongMethod
        | RefusalReason::WrongPath
        | RefusalReason::WrongService => {
            (is_good_for_this && evidence.is_one_of_several).then(contradicted)
        }
    };
    cause.map_or(Verdict::Plausible, Verdict::Contradicted)
}

/// Returns true when a counted token is too early to be exhausted. Its other uses may have been
/// taken elsewhere, with a copy of it; not those of each token that is bought.
fn is_early(credential: &StoredCredential, evidence: &Evidence, max: u64) -> bool {
    let is_bought = credential.price > Msat::ZERO;
    is_bought && evidence.is_one_of_several && evidence.taken.saturating_mul(2) < max
}

/// Returns true when a credential can be read, and its deadline, if it has one, is after `moment`.
fn is_valid(credential: &StoredCredential, moment: UnixSeconds) -> bool {
    let deadline = credential.token.deadline();
    credential.token.macaroon().is_some() && deadline.is_none_or(|deadline| moment < deadline)
}

/// How far the seller's clock may be ahead of ours.
const CLOCK_SKEW_SECS: u64 = 300;

#[cfg(test)]
mod tests {
    use l402::{Caveat, KeyRing, MasterKey, Preimage, SchemeName, Services, Token, caveat};

    use super::*;
    use crate::book::{QueryHash, SoldToken, UseCounts};

    const NOON: UnixSeconds = UnixSeconds::new(1_700_000_000);
    const ACCEPTED: Evidence = Evidence {
        taken: 1,
        is_accepted: true,
        is_one_of_several: false,
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
            (&unlimited, RefusalReason::WrongPath, 0, false),
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
            let verdict = of(held, &held.resource, &reason, &ACCEPTED, now);
            let is_contradicted = verdict != Verdict::Plausible;
            assert_eq!(is_contradicted, contradicted, "{reason:?} after {secs} s");
        }
    }

    #[test]
    fn a_seller_may_take_back_one_token_and_not_each() {
        let held = credential(&[]);
        let again = Evidence {
            is_one_of_several: true,
            ..ACCEPTED
        };
        for reason in [
            RefusalReason::Forged,
            RefusalReason::Revoked,
            RefusalReason::WrongService,
        ] {
            let verdict = |evidence| of(&held, &held.resource, &reason, evidence, NOON);
            assert_eq!(verdict(&ACCEPTED), Verdict::Plausible);
            let contradicted = BrakeCause::Contradicted(reason.clone());
            assert_eq!(verdict(&again), Verdict::Contradicted(contradicted));
        }
    }

    #[test]
    fn where_it_was_never_accepted_a_token_may_be_refused() {
        let held = credential(&[]);
        let elsewhere = TargetResource {
            path: "/b".to_owned(),
            ..held.resource.clone()
        };
        let unaccepted = Evidence {
            is_accepted: false,
            ..ACCEPTED
        };
        for (resource, evidence) in [(&elsewhere, &ACCEPTED), (&held.resource, &unaccepted)] {
            let verdict = of(&held, resource, &RefusalReason::Unstated, evidence, NOON);
            assert_eq!(verdict, Verdict::Plausible);
        }
    }

    #[test]
    fn not_each_counted_token_is_exhausted_before_half_of_its_uses_were_taken_here() {
        let counted = credential(&[caveat::max_uses(10.try_into().unwrap())]);
        let imported = StoredCredential {
            price: Msat::ZERO,
            ..counted.clone()
        };
        for (held, taken, is_one_of_several, contradicted) in [
            (&counted, 4, true, true),
            (&counted, 5, true, false),
            (&counted, 0, false, false),
            (&imported, 0, true, false),
        ] {
            let evidence = Evidence {
                taken,
                is_one_of_several,
                ..ACCEPTED
            };
            let reason = RefusalReason::Exhausted;
            let verdict = of(held, &held.resource, &reason, &evidence, NOON);
            let early = Verdict::Contradicted(BrakeCause::ExhaustedEarly);
            assert_eq!(verdict == early, contradicted, "{taken}");
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
