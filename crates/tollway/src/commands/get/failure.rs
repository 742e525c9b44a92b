//! What a client's error means to the script that ran the command.

use std::error::Error as _;

use tollway_client::Error;

use crate::exit::{Failure, FailureKind};

/// Sorts an error by what can be done next.
pub(crate) fn of(error: Error) -> Failure {
    let kind = match &error {
        Error::MoneyInDoubt { .. } => FailureKind::InDoubt,
        Error::NotPaid { .. } | Error::Wallet { .. } => FailureKind::PaymentFailed,
        Error::PaidButRefused { .. } => FailureKind::PaidButRefused,
        Error::PaidButUndelivered { .. } | Error::Transport(_) => FailureKind::Network,
        Error::Refused(_) => FailureKind::Usage,
        Error::Storage(_) => FailureKind::General,
    };
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Transparent variants say the same as their source.
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    Failure::new(kind, message)
}
