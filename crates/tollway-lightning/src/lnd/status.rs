//! What does a failed call say about the request?
//!
//! A payment turns on this: a request that never left is free to repeat, one that LND refused
//! began nothing, and one that got lost may have done anything.

use std::error::Error;

use tonic::{Code, ConnectError, Status};

use super::tls;
use crate::{InvoicerError, PayerError};

/// A call that did not answer what was asked.
#[derive(Debug)]
pub(super) struct CallError {
    pub(super) fate: Fate,
    /// For the log, never for clients.
    pub(super) reason: String,
}

/// What became of a request that failed, by what may have happened at the node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// LND knows the thing asked for, or is doing it already.
    AlreadyExists,
    /// Nobody knows: the answer, or the request, got lost on the way.
    Lost,
    /// LND does not know the thing asked about.
    NotFound,
    /// LND answered, with a refusal.
    Refused,
    /// There was no connection to send it on.
    Unsent,
}

impl CallError {
    pub(super) fn lost(reason: impl Into<String>) -> Self {
        Self {
            fate: Fate::Lost,
            reason: reason.into(),
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        match connect_error(&status) {
            Some(connect) => Self {
                fate: Fate::Unsent,
                reason: why_not_connected(connect),
            },
            None => Self {
                fate: fate(&status),
                reason: reason(&status),
            },
        }
    }
}

impl From<CallError> for InvoicerError {
    fn from(error: CallError) -> Self {
        let reason = error.reason;
        match error.fate {
            Fate::AlreadyExists | Fate::NotFound | Fate::Refused => Self::Refused { reason },
            Fate::Lost | Fate::Unsent => Self::Unavailable { reason },
        }
    }
}

impl From<CallError> for PayerError {
    fn from(error: CallError) -> Self {
        Self {
            reason: error.reason,
        }
    }
}

/// LND answers most refusals with the code UNKNOWN, so that one must count as an answer. A
/// status with a source was made on this side, whatever its code.
fn fate(status: &Status) -> Fate {
    if status.source().is_some() {
        return Fate::Lost;
    }
    match status.code() {
        Code::AlreadyExists => Fate::AlreadyExists,
        Code::NotFound => Fate::NotFound,
        Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::OutOfRange
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented
        | Code::Unknown => Fate::Refused,
        Code::Ok
        | Code::Aborted
        | Code::Cancelled
        | Code::DataLoss
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::ResourceExhausted
        | Code::Unavailable => Fate::Lost,
    }
}

fn reason(status: &Status) -> String {
    if status.message().is_empty() {
        return status.code().description().to_owned();
    }
    status.message().to_owned()
}

/// Where the transport says that a connection could not be made, if it says so.
fn connect_error(status: &Status) -> Option<&ConnectError> {
    causes(status).find_map(|cause| cause.downcast_ref())
}

fn why_not_connected(error: &ConnectError) -> String {
    let last: &(dyn Error + 'static) = causes(error).last().unwrap_or(error);
    let explained = causes(error).find_map(tls::explain);
    explained.unwrap_or_else(|| last.to_string())
}

/// What an error says caused it, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_counts_as_a_refusal() {
        for (code, expected) in [
            (Code::AlreadyExists, Fate::AlreadyExists),
            (Code::NotFound, Fate::NotFound),
            (Code::Unknown, Fate::Refused),
            (Code::InvalidArgument, Fate::Refused),
            (Code::PermissionDenied, Fate::Refused),
            (Code::Unauthenticated, Fate::Refused),
            (Code::Unimplemented, Fate::Refused),
            (Code::FailedPrecondition, Fate::Refused),
            (Code::OutOfRange, Fate::Refused),
            (Code::Unavailable, Fate::Lost),
            (Code::DeadlineExceeded, Fate::Lost),
            (Code::Cancelled, Fate::Lost),
            (Code::Internal, Fate::Lost),
            (Code::Aborted, Fate::Lost),
            (Code::DataLoss, Fate::Lost),
            (Code::ResourceExhausted, Fate::Lost),
            (Code::Ok, Fate::Lost),
        ] {
            let error = CallError::from(Status::new(code, "why"));
            assert_eq!((error.fate, error.reason.as_str()), (expected, "why"));
        }
    }

    #[test]
    fn a_status_made_on_this_side_is_never_an_answer() {
        let local = Status::from_error("the connection broke".into());
        assert_eq!(
            local.code(),
            Code::Unknown,
            "the code that LND refuses with"
        );

        assert_eq!(CallError::from(local).fate, Fate::Lost);
    }

    #[test]
    fn no_connection_means_unsent_and_says_why() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(ConnectError(refused.into())));

        let error = CallError::from(status);

        assert_eq!(error.fate, Fate::Unsent);
        assert_eq!(error.reason, "connection refused");
    }

    #[test]
    fn an_empty_message_is_replaced_by_what_the_code_means() {
        let error = CallError::from(Status::new(Code::PermissionDenied, ""));
        assert_eq!(error.reason, Code::PermissionDenied.description());
    }

    #[test]
    fn an_invoicer_is_refused_by_answers_and_unavailable_without() {
        for (fate, refused) in [
            (Fate::AlreadyExists, true),
            (Fate::NotFound, true),
            (Fate::Refused, true),
            (Fate::Lost, false),
            (Fate::Unsent, false),
        ] {
            let error = InvoicerError::from(CallError {
                fate,
                reason: "why".to_owned(),
            });
            assert_eq!(
                matches!(error, InvoicerError::Refused { .. }),
                refused,
                "{fate:?}"
            );
        }
    }
}
