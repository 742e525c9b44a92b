//! What does a failed call say about the request?
//!
//! A payment turns on this: a request that never left is free to repeat, one that LND refused
//! began nothing, and one that got lost may have done anything.

use std::error::Error;

use tonic::{Code, ConnectError, Status};

use super::permission::Permission;
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
    /// LND refused before it looked at the request: the macaroon does not allow the call.
    Denied(Permission),
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

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self {
            fate: Fate::Refused,
            reason: reason.into(),
        }
    }

    pub(super) const fn is_denied(&self) -> bool {
        matches!(self.fate, Fate::Denied(_))
    }

    /// Reads the status of a call that needs `permission`.
    pub(super) fn new(status: &Status, permission: Permission) -> Self {
        match connect_error(status) {
            Some(connect) => Self {
                fate: Fate::Unsent,
                reason: why_not_connected(connect),
            },
            None if is_denial(status) => Self {
                fate: Fate::Denied(permission),
                reason: format!(
                    "the macaroon lacks {}: {}",
                    permission.name(),
                    permission.remedy()
                ),
            },
            None => Self {
                fate: fate(status),
                reason: reason(status),
            },
        }
    }
}

impl From<CallError> for InvoicerError {
    fn from(error: CallError) -> Self {
        let reason = error.reason;
        match error.fate {
            Fate::AlreadyExists | Fate::NotFound | Fate::Refused => Self::Refused { reason },
            Fate::Denied(permission) => Self::Denied {
                permission: permission.name().to_owned(),
                remedy: permission.remedy().to_owned(),
            },
            Fate::Lost | Fate::Unsent => Self::Unreachable { reason },
        }
    }
}

impl From<CallError> for PayerError {
    fn from(error: CallError) -> Self {
        let reason = error.reason;
        match error.fate {
            Fate::AlreadyExists | Fate::NotFound | Fate::Refused => Self::Refused { reason },
            Fate::Denied(permission) => Self::Denied {
                permission: permission.name().to_owned(),
                remedy: permission.remedy().to_owned(),
            },
            Fate::Lost | Fate::Unsent => Self::Unreachable { reason },
        }
    }
}

/// LND checks the macaroon before it looks at the request, and words a lack of permission as
/// its macaroon library does, with the code UNKNOWN.
fn is_denial(status: &Status) -> bool {
    status.source().is_none()
        && (status.code() == Code::PermissionDenied || status.message() == PERMISSION_DENIED)
}

/// Which status of the node proves that the request it ends began nothing.
///
/// | code | sent by LND for | read as |
/// |---|---|---|
/// | UNKNOWN | every error of a handler that names no code: expired, foreign, to itself; locked, starting | refused |
/// | INVALID_ARGUMENT, OUT_OF_RANGE, FAILED_PRECONDITION | a request it does not take | refused |
/// | UNAUTHENTICATED, UNIMPLEMENTED | nothing looked at the request: a proxy's lock, a node built without the call | refused |
/// | ALREADY_EXISTS | a payment of this hash that settled or is on its way | its own kind |
/// | NOT_FOUND | no payment or invoice of this hash | its own kind |
/// | CANCELLED, DEADLINE_EXCEEDED, ABORTED | a call that ended while its work goes on | lost |
/// | UNAVAILABLE, RESOURCE_EXHAUSTED, INTERNAL, DATA_LOSS, OK without a message | a connection or a proxy that broke | lost |
///
/// LND also ends a payment's stream with UNKNOWN when it shuts down after the payment began,
/// therefore a refusal of a payment is followed by a look-up. A status with a source was made on this
/// side, whatever its code.
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

const PERMISSION_DENIED: &str = "permission denied";

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
            (
                Code::PermissionDenied,
                Fate::Denied(Permission::OffchainWrite),
            ),
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
            let error = read(&Status::new(code, "why"));
            assert_eq!(error.fate, expected);
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

        assert_eq!(read(&local).fate, Fate::Lost);
    }

    #[test]
    fn no_connection_means_unsent_and_says_why() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(ConnectError(refused.into())));

        let error = read(&status);

        assert_eq!(error.fate, Fate::Unsent);
        assert_eq!(error.reason, "connection refused");
    }

    #[test]
    fn an_empty_message_is_replaced_by_what_the_code_means() {
        let error = read(&Status::new(Code::OutOfRange, ""));
        assert_eq!(error.reason, Code::OutOfRange.description());
    }

    #[test]
    fn a_denial_names_the_missing_permission_and_the_macaroon_that_has_it() {
        let denied = read(&Status::unknown("permission denied"));

        assert_eq!(denied.fate, Fate::Denied(Permission::OffchainWrite));
        for error in [denied.reason.clone(), PayerError::from(denied).to_string()] {
            assert!(error.contains("offchain:write"), "{error}");
            assert!(error.contains("router.macaroon"), "{error}");
        }
    }

    #[test]
    fn an_invoicer_is_refused_by_answers_and_unreachable_without() {
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

    fn read(status: &Status) -> CallError {
        CallError::new(status, Permission::OffchainWrite)
    }
}
