//! Failures of a client, as a command reports them.

use std::error::Error as _;

use tollway_client::{Error, NotPaid};

use crate::exit::{Failure, FailureKind};
use crate::payment::{Payment, PaymentState};

/// Returns the failure that a client's error is, with the payment it is about.
pub(crate) fn of(error: Error) -> Failure {
    let mut message = with_sources(&error);
    if let Some(advice) = advice(&error) {
        message = format!("{message}; {advice}");
    }
    Failure::new(kind(&error), message).after(payment(&error).into_iter().collect())
}

/// What the command line offers where the client can only stop.
const fn advice(error: &Error) -> Option<&'static str> {
    if let Error::NotPaid(NotPaid::PaidBefore(_)) = error {
        Some("contact the seller, or buy again with --buy-after-refusal")
    } else if let Error::PaymentUnknown { .. } = error {
        Some("`tollway purchases list` shows what to do")
    } else {
        None
    }
}

const fn kind(error: &Error) -> FailureKind {
    match error {
        Error::PaymentUnknown { .. } => FailureKind::PaymentUnknown,
        Error::PaymentFailed { .. } | Error::Wallet { .. } => FailureKind::PaymentFailed,
        Error::PaidButRefused { .. } => FailureKind::PaidButRefused,
        Error::PaidButUndelivered { .. } => FailureKind::PaidButUndelivered,
        Error::NotPaid(_) => FailureKind::NotAllowed,
        Error::Transport(_) => FailureKind::Network,
        Error::Storage(_) => FailureKind::General,
    }
}

fn payment(error: &Error) -> Option<Payment> {
    let payment = |state, payment: &tollway_client::Payment, fee| Payment {
        state,
        price: payment.price,
        fee,
        payment_hash: payment.payment_hash,
        origin: Some(payment.origin.to_string()),
    };
    if let Some(receipt) = error.receipt() {
        let fee = Some(receipt.fee);
        return Some(payment(PaymentState::Settled, &receipt.payment, fee));
    }
    match error {
        Error::PaymentUnknown { payment: made, .. } => {
            Some(payment(PaymentState::Unknown, made, None))
        }
        Error::NotPaid(_)
        | Error::PaidButRefused { .. }
        | Error::PaidButUndelivered { .. }
        | Error::PaymentFailed { .. }
        | Error::Storage(_)
        | Error::Transport(_)
        | Error::Wallet { .. } => None,
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
