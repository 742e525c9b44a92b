//! The one decision of a paying client: what to do next for a request.
//!
//! Pure: what is stored, what the book holds and what the server returned go in, one step
//! comes out. The caller carries it out and asks again. It guarantees that:
//!
//! - only an L402 challenge, or a bare 402, refuses a credential. Any other 401, 402 or 403 is
//!   the application's own, and is served;
//! - a credential that was bought for another path is presented only after a challenge, so that
//!   it can be compared with what the challenge sells, and none reaches another service;
//! - nothing is bought twice for one request, and a credential that was just paid for and is
//!   refused is presented once more, for free, before that is an error;
//! - nothing is bought while another purchase for the same thing is unfinished, or too many
//!   from the same seller are.

use l402::PaymentHash;

/// What is known when a decision is due.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    /// What the last request presented; `None` before anything was sent.
    pub(crate) sent: Option<Sent>,
    /// What the server returned for it.
    pub(crate) returned: Returned,
    /// The stored credentials that this request has not presented and that may be for it, best
    /// first. After a challenge, only those that may be for what it sells.
    pub(crate) untried: Vec<Untried>,
    /// How many more of them may be presented.
    pub(crate) tries: Tries,
    /// Whether the request can be sent again.
    pub(crate) replay: Replay,
    /// Whether this request holds the turn to buy for its origin and path.
    pub(crate) turn: Turn,
    /// What else is going on for the origin and path.
    pub(crate) others: Others,
}

/// What a request presented to the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sent {
    /// The credential bought for this request, for the first time.
    Bought,
    /// The credential bought for this request, for the second time.
    BoughtAgain,
    /// No credential.
    Nothing,
    /// A stored credential.
    Stored,
}

/// What a server returned, as far as paying cares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Returned {
    /// 402 without a challenge of ours.
    Bare402,
    /// A challenge of ours.
    Challenge,
    /// Every use that the credential has left is held by requests still being served: 503 with the
    /// reason `token_in_use`.
    InUse,
    /// Anything else: what the caller asked for, or the application's own refusal.
    Response,
}

/// A stored credential that has not been presented.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Untried {
    pub(crate) payment_hash: PaymentHash,
    /// Whether it was bought for, or accepted at, the request's path or one above it.
    pub(crate) scope: TokenScope,
}

/// What a credential was bought or accepted for, seen from a request to its origin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TokenScope {
    /// Another path: one service may have several.
    SameOrigin,
    /// The path, or one above it.
    SamePath,
}

/// How many more stored credentials may be presented, by scope. Each costs a round trip.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Tries {
    pub(crate) same_path: usize,
    pub(crate) same_origin: usize,
}

/// Whether a request can be sent again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Replay {
    Impossible,
    Possible,
}

/// Whether a request holds the turn to buy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    NotTaken,
    Taken,
}

/// What else is going on for an origin and path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Others {
    /// A purchase is open, and its process is gone.
    Abandoned,
    /// A process is buying, or presents what it has bought: the same thing, or as many from this
    /// seller as are made at a time.
    Busy,
    /// Nothing.
    Idle,
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// Send the request without a credential.
    Ask,
    /// Buy what the last challenge offers.
    Buy,
    /// Return an error: it was paid for and refused.
    GiveUp,
    /// Return the last response.
    Serve,
    /// Send the request with this stored credential.
    Show(PaymentHash),
    /// Wait, then decide again.
    Wait(Wait),
}

/// What is waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wait {
    /// The outcome of a purchase whose process is gone: look it up.
    LookUp,
    /// Another process to finish buying the same thing.
    Others,
    /// A use of the credential to be released by the request that holds it, or taken: then decide
    /// as for a new request.
    Release,
    /// The payment to be settled at the seller: then present the bought credential once more.
    Settlement,
    /// The turn to buy for the origin and path.
    Turn,
}

/// Decides what to do next.
pub(crate) fn next(s: &Situation) -> Next {
    match (s.sent, s.returned) {
        (None, _) => unasked(s).map_or(Next::Ask, Next::Show),
        (Some(Sent::Stored), Returned::InUse) if s.replay == Replay::Possible => {
            Next::Wait(Wait::Release)
        }
        (Some(_), Returned::InUse | Returned::Response)
        | (Some(Sent::Nothing), Returned::Bare402) => Next::Serve,
        (Some(Sent::Bought), _) if s.replay == Replay::Possible => Next::Wait(Wait::Settlement),
        (Some(Sent::Bought | Sent::BoughtAgain), _) => Next::GiveUp,
        (Some(Sent::Stored), Returned::Bare402) => after_bare_402(s),
        (Some(Sent::Nothing | Sent::Stored), Returned::Challenge) => after_challenge(s),
    }
}

fn after_bare_402(s: &Situation) -> Next {
    match s.replay {
        Replay::Impossible => Next::Serve,
        Replay::Possible => unasked(s).map_or(Next::Ask, Next::Show),
    }
}

fn after_challenge(s: &Situation) -> Next {
    if s.replay == Replay::Impossible {
        // Buying refuses a body that cannot be sent again, and names the price.
        return Next::Buy;
    }
    if let Some(hash) = pick(s, |_any| true) {
        return Next::Show(hash);
    }
    match (s.turn, s.others) {
        (Turn::NotTaken, _) => Next::Wait(Wait::Turn),
        (Turn::Taken, Others::Abandoned) => Next::Wait(Wait::LookUp),
        (Turn::Taken, Others::Busy) => Next::Wait(Wait::Others),
        (Turn::Taken, Others::Idle) => Next::Buy,
    }
}

/// The best credential that may be presented without a challenge to compare it with. Without a
/// second attempt, that is any: a challenge would be the end of the request.
fn unasked(s: &Situation) -> Option<PaymentHash> {
    pick(s, |scope| match (scope, s.replay) {
        (TokenScope::SamePath, _) | (TokenScope::SameOrigin, Replay::Impossible) => true,
        (TokenScope::SameOrigin, Replay::Possible) => false,
    })
}

/// The best credential of a scope that may still be presented.
fn pick(s: &Situation, is_wanted: impl Fn(TokenScope) -> bool) -> Option<PaymentHash> {
    let may_try = |scope: TokenScope| match scope {
        TokenScope::SameOrigin => s.tries.same_origin > 0,
        TokenScope::SamePath => s.tries.same_path > 0,
    };
    s.untried
        .iter()
        .find(|untried| is_wanted(untried.scope) && may_try(untried.scope))
        .map(|untried| untried.payment_hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Untried = Untried {
        payment_hash: PaymentHash::new([1; 32]),
        scope: TokenScope::SamePath,
    };
    const FAR: Untried = Untried {
        payment_hash: PaymentHash::new([2; 32]),
        scope: TokenScope::SameOrigin,
    };
    const SHOW_NEAR: Next = Next::Show(NEAR.payment_hash);
    const SHOW_FAR: Next = Next::Show(FAR.payment_hash);

    fn after(sent: Option<Sent>, returned: Returned) -> Situation {
        Situation {
            sent,
            returned,
            untried: Vec::new(),
            tries: Tries {
                same_path: 1,
                same_origin: 1,
            },
            replay: Replay::Possible,
            turn: Turn::NotTaken,
            others: Others::Idle,
        }
    }

    #[test]
    fn a_new_request_presents_the_best_credential_of_its_path() {
        let new = after(None, Returned::Response);
        for (untried, expected) in [
            (vec![], Next::Ask),
            (vec![NEAR, FAR], SHOW_NEAR),
            (vec![FAR], Next::Ask),
            (vec![FAR, NEAR], SHOW_NEAR),
        ] {
            assert_eq!(
                next(&Situation {
                    untried,
                    ..new.clone()
                }),
                expected
            );
        }
        assert_eq!(
            next(&Situation {
                untried: vec![FAR],
                replay: Replay::Impossible,
                ..new
            }),
            SHOW_FAR,
            "there is no second attempt"
        );
    }

    #[test]
    fn what_is_not_a_challenge_is_served_whatever_was_presented() {
        for sent in [Sent::Nothing, Sent::Stored, Sent::Bought, Sent::BoughtAgain] {
            let situation = Situation {
                untried: vec![NEAR],
                ..after(Some(sent), Returned::Response)
            };
            assert_eq!(next(&situation), Next::Serve, "{sent:?}");
        }
    }

    #[test]
    fn a_stored_credential_whose_uses_are_held_waits_for_one() {
        let in_use = after(Some(Sent::Stored), Returned::InUse);
        assert_eq!(next(&in_use), Next::Wait(Wait::Release));
        let once = Situation {
            replay: Replay::Impossible,
            ..in_use.clone()
        };
        assert_eq!(next(&once), Next::Serve);
        for sent in [Sent::Nothing, Sent::Bought, Sent::BoughtAgain] {
            let sent = Some(sent);
            assert_eq!(
                next(&Situation {
                    sent,
                    ..in_use.clone()
                }),
                Next::Serve
            );
        }
    }

    #[test]
    fn a_402_of_another_kind_is_served_unless_it_refuses_a_credential() {
        assert_eq!(
            next(&after(Some(Sent::Nothing), Returned::Bare402)),
            Next::Serve
        );
        let refused = after(Some(Sent::Stored), Returned::Bare402);
        assert_eq!(next(&refused), Next::Ask);
        for (untried, expected) in [(FAR, Next::Ask), (NEAR, SHOW_NEAR)] {
            assert_eq!(
                next(&Situation {
                    untried: vec![untried],
                    ..refused.clone()
                }),
                expected
            );
        }
        assert_eq!(
            next(&Situation {
                replay: Replay::Impossible,
                ..refused
            }),
            Next::Serve
        );
    }

    #[test]
    fn a_challenge_leads_to_the_next_credential_then_to_a_turn_then_to_a_purchase() {
        let refused = after(Some(Sent::Stored), Returned::Challenge);
        let taken = Situation {
            turn: Turn::Taken,
            ..refused.clone()
        };
        for (situation, expected) in [
            (refused.clone(), Next::Wait(Wait::Turn)),
            (
                Situation {
                    untried: vec![NEAR],
                    ..refused
                },
                SHOW_NEAR,
            ),
            (taken.clone(), Next::Buy),
            (
                Situation {
                    untried: vec![NEAR],
                    ..taken.clone()
                },
                SHOW_NEAR,
            ),
            (
                Situation {
                    others: Others::Busy,
                    ..taken.clone()
                },
                Next::Wait(Wait::Others),
            ),
            (
                Situation {
                    others: Others::Abandoned,
                    ..taken
                },
                Next::Wait(Wait::LookUp),
            ),
        ] {
            assert_eq!(next(&situation), expected, "{situation:?}");
        }
    }

    #[test]
    fn credentials_are_presented_only_as_often_as_allowed() {
        let none_left = Situation {
            untried: vec![NEAR, FAR],
            tries: Tries {
                same_path: 0,
                same_origin: 0,
            },
            ..after(Some(Sent::Stored), Returned::Challenge)
        };
        assert_eq!(next(&none_left), Next::Wait(Wait::Turn));

        let only_far = Situation {
            tries: Tries {
                same_path: 0,
                same_origin: 1,
            },
            ..none_left
        };
        assert_eq!(next(&only_far), SHOW_FAR);
    }

    #[test]
    fn what_was_paid_for_is_presented_twice_and_never_bought_twice() {
        for returned in [Returned::Challenge, Returned::Bare402] {
            let first = Situation {
                turn: Turn::Taken,
                untried: vec![NEAR],
                ..after(Some(Sent::Bought), returned)
            };
            assert_eq!(next(&first), Next::Wait(Wait::Settlement));
            let second = Situation {
                sent: Some(Sent::BoughtAgain),
                ..first
            };
            assert_eq!(next(&second), Next::GiveUp);
        }
    }

    #[test]
    fn a_body_that_cannot_be_sent_again_goes_no_further_than_the_price() {
        let once = Situation {
            replay: Replay::Impossible,
            untried: vec![NEAR],
            ..after(Some(Sent::Nothing), Returned::Challenge)
        };
        assert_eq!(next(&once), Next::Buy);
    }
}
