//! Wallet contract: what every adapter promises, as tests that run against a real wallet.
//!
//! Each [`Case`] is one sentence of the contract in [`Invoicer`] and [`Payer`]. A test suite
//! makes a [`Fixture`] of a seller's and a buyer's wallet with a channel between them, and runs
//! [`CASES`] in any order, any number of times: no case changes the result of another. Each
//! moves less than 20 sat.
//!
//! No case depends on the kind of wallet. A case about a promise is skipped for a payer that
//! does not make it in [`PayerPromises`](crate::PayerPromises).

mod buying;
mod invoices;
mod selling;

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use l402::Msat;
use tokio::time::timeout;

use crate::{Invoicer, PayError, Payer, WalletError};

/// Two wallets that can pay one another.
#[derive(Debug)]
pub struct Fixture<'a> {
    /// The wallet that is paid, with a direct channel to the buyer's.
    pub seller: &'a dyn Invoicer,
    /// The wallet that pays, with at least 1000 sat to spend.
    pub buyer: &'a dyn Payer,
    /// More than the buyer can pay, and little enough for the seller to ask for.
    pub unaffordable: Msat,
}

/// One sentence of the contract.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    check: for<'a> fn(&'a Fixture<'a>) -> BoxFuture<'a, CaseOutcome>,
}

impl Case {
    /// The sentence, in the form of a test's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Checks the sentence against the wallets.
    ///
    /// # Errors
    ///
    /// [`Violation`] when it does not hold, or could not be tried within a minute.
    pub async fn run(&self, fixture: &Fixture<'_>) -> CaseOutcome {
        match timeout(CASE_DEADLINE, (self.check)(fixture)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(Violation(format!("not done within {CASE_DEADLINE:?}"))),
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// Whether a sentence holds.
pub type CaseOutcome = Result<(), Violation>;

/// How a wallet broke the contract.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

impl Violation {
    fn unless(holds: bool, otherwise: impl FnOnce() -> String) -> CaseOutcome {
        if holds {
            Ok(())
        } else {
            Err(Self(otherwise()))
        }
    }
}

impl From<PayError> for Violation {
    fn from(error: PayError) -> Self {
        Self(error.to_string())
    }
}

impl From<WalletError> for Violation {
    fn from(error: WalletError) -> Self {
        Self(error.to_string())
    }
}

const CASE_DEADLINE: Duration = Duration::from_secs(60);

/// The whole contract.
pub const CASES: &[Case] = &[
    Case {
        name: "both_wallets_name_the_same_network",
        check: |fixture| Box::pin(selling::both_wallets_name_the_same_network(fixture)),
    },
    Case {
        name: "an_invoice_says_what_was_asked",
        check: |fixture| Box::pin(selling::an_invoice_says_what_was_asked(fixture)),
    },
    Case {
        name: "no_invoice_is_open_to_any_amount",
        check: |fixture| Box::pin(selling::no_invoice_is_open_to_any_amount(fixture)),
    },
    Case {
        name: "two_invoices_have_two_hashes",
        check: |fixture| Box::pin(selling::two_invoices_have_two_hashes(fixture)),
    },
    Case {
        name: "an_invoice_is_open_until_paid_and_then_settled_in_full",
        check: |fixture| {
            Box::pin(selling::an_invoice_is_open_until_paid_and_then_settled_in_full(fixture))
        },
    },
    Case {
        name: "an_invoice_never_issued_is_unknown",
        check: |fixture| Box::pin(selling::an_invoice_never_issued_is_unknown(fixture)),
    },
    Case {
        name: "paying_buys_the_preimage_of_the_hash",
        check: |fixture| Box::pin(buying::paying_buys_the_preimage_of_the_hash(fixture)),
    },
    Case {
        name: "paying_twice_moves_money_once_and_answers_the_same",
        check: |fixture| {
            Box::pin(buying::paying_twice_moves_money_once_and_answers_the_same(
                fixture,
            ))
        },
    },
    Case {
        name: "paying_twice_at_once_moves_money_once",
        check: |fixture| Box::pin(buying::paying_twice_at_once_moves_money_once(fixture)),
    },
    Case {
        name: "paying_again_after_the_caller_left_moves_money_once",
        check: |fixture| {
            Box::pin(buying::paying_again_after_the_caller_left_moves_money_once(
                fixture,
            ))
        },
    },
    Case {
        name: "the_buyer_has_one_identity",
        check: |fixture| Box::pin(buying::the_buyer_has_one_identity(fixture)),
    },
    Case {
        name: "a_direct_channel_needs_no_fee",
        check: |fixture| Box::pin(buying::a_direct_channel_needs_no_fee(fixture)),
    },
    Case {
        name: "an_expired_invoice_is_not_paid",
        check: |fixture| Box::pin(buying::an_expired_invoice_is_not_paid(fixture)),
    },
    Case {
        name: "an_unaffordable_invoice_is_not_paid",
        check: |fixture| Box::pin(buying::an_unaffordable_invoice_is_not_paid(fixture)),
    },
    Case {
        name: "an_invoice_of_a_node_nobody_knows_is_not_paid",
        check: |fixture| {
            Box::pin(buying::an_invoice_of_a_node_nobody_knows_is_not_paid(
                fixture,
            ))
        },
    },
    Case {
        name: "an_invoice_of_another_network_is_not_paid",
        check: |fixture| Box::pin(buying::an_invoice_of_another_network_is_not_paid(fixture)),
    },
    Case {
        name: "an_invoice_without_an_amount_is_not_paid",
        check: |fixture| Box::pin(buying::an_invoice_without_an_amount_is_not_paid(fixture)),
    },
    Case {
        name: "a_payment_never_begun_is_unknown",
        check: |fixture| Box::pin(buying::a_payment_never_begun_is_unknown(fixture)),
    },
    Case {
        name: "a_settled_payment_is_found_as_it_was_answered",
        check: |fixture| {
            Box::pin(buying::a_settled_payment_is_found_as_it_was_answered(
                fixture,
            ))
        },
    },
    Case {
        name: "a_payment_settles_though_nobody_waits_for_it",
        check: |fixture| {
            Box::pin(buying::a_payment_settles_though_nobody_waits_for_it(
                fixture,
            ))
        },
    },
];
