//! Failures of a client, as a command reports them.

use std::error::Error as _;

use l402::{Msat, PaymentHash};
use tollway_client::Error;

use crate::exit::{Failure, FailureKind};
use crate::payment::{Payment, PaymentState};

/// Returns the failure that a client's error is, with the payment it is about.
pub(crate) fn of(error: Error) -> Failure {
    Failure::new(kind(&error), with_sources(&error)).after(payment(&error).into_iter().collect())
}

const fn kind(error: &Error) -> FailureKind {
    match error {
        Error::MoneyInDoubt { .. } => FailureKind::PaymentUnknown,
        Error::NotPaid { .. } | Error::Wallet { .. } => FailureKind::PaymentFailed,
        Error::PaidButRefused { .. } => FailureKind::PaidButRefused,
        Error::PaidButUndelivered { .. } => FailureKind::PaidButUndelivered,
        Error::Refused(_) => FailureKind::NotAllowed,
        Error::Storage(_) => FailureKind::General,
        Error::Transport(_) => FailureKind::Network,
    }
}

fn payment(error: &Error) -> Option<Payment> {
    match error {
        Error::MoneyInDoubt {
            payment_hash,
            origin,
            price,
            ..
        } => Some(Payment {
            state: PaymentState::Unknown,
            price: *price,
            fee: None,
            payment_hash: *payment_hash,
            origin: Some(origin.to_string()),
        }),
        Error::PaidButRefused {
            payment_hash, paid, ..
        }
        | Error::PaidButUndelivered {
            payment_hash, paid, ..
        } => Some(settled(*payment_hash, *paid)),
        Error::NotPaid { .. }
        | Error::Refused(_)
        | Error::Storage(_)
        | Error::Transport(_)
        | Error::Wallet { .. } => None,
    }
}

/// The client counts the fee into what was paid.
const fn settled(payment_hash: PaymentHash, paid: Msat) -> Payment {
    Payment {
        state: PaymentState::Settled,
        price: paid,
        fee: None,
        payment_hash,
        origin: None,
    }
}

fn with_sources(error: &Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Transparent variants repeat their source.
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    message
}
