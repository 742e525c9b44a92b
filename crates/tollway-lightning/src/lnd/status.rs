//! Call errors: what a failed call proves about its request.
//!
//! A request that was never sent can be repeated, one that LND refused began nothing, and one
//! whose response was lost may have done anything.

use std::error::Error;

use tonic::{Code, ConnectError, Status};

use super::permission::Permission;
use super::tls;
use crate::WalletError;

/// A call without a usable response.
#[derive(Debug)]
pub(super) struct CallError {
    pub(super) outcome: CallOutcome,
    /// For the log, never for clients.
    pub(super) reason: String,
}

/// What a failed request may have done at the node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CallOutcome {
    /// LND knows the thing asked for, or is doing it already.
    AlreadyExists,
    /// LND refused before it looked at the request: the macaroon does not allow the call.
    Denied(Permission),
    /// Anything: the request or its response was lost on the way.
    Lost,
    /// LND does not know the thing asked about.
    NotFound,
    /// LND responded with a refusal.
    Refused,
    /// There was no connection to send it on.
    Unsent,
}

impl CallError {
    pub(super) fn lost(reason: impl Into<String>) -> Self {
        Self {
            outcome: CallOutcome::Lost,
            reason: reason.into(),
        }
    }

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self {
            outcome: CallOutcome::Refused,
            reason: reason.into(),
        }
    }

    pub(super) const fn is_denied(&self) -> bool {
        matches!(self.outcome, CallOutcome::Denied(_))
    }

    /// Reads the status of a call that needs `permission`.
    pub(super) fn new(status: &Status, permission: Permission) -> Self {
        match connect_error(status) {
            Some(connect) => Self {
                outcome: CallOutcome::Unsent,
                reason: why_not_connected(connect),
            },
            None if is_denial(status) => Self {
                outcome: CallOutcome::Denied(permission),
                reason: format!(
                    "the macaroon lacks {}: {}",
                    permission.name(),
                    permission.remedy()
                ),
            },
            None => Self {
                outcome: outcome(status),
                reason: reason(status),
            },
        }
    }
}

impl From<CallError> for WalletError {
    fn from(error: CallError) -> Self {
        let reason = error.reason;
        match error.outcome {
            CallOutcome::AlreadyExists | CallOutcome::NotFound | CallOutcome::Refused => {
                Self::Refused { reason }
            }
            CallOutcome::Denied(permission) => Self::Denied {
                permission: permission.name().to_owned(),
                remedy: permission.remedy().to_owned(),
            },
            CallOutcome::Lost | CallOutcome::Unsent => Self::Unreachable { reason },
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
/// | INVALID_ARGUMENT, FAILED_PRECONDITION | a request it does not take | refused |
/// | UNAUTHENTICATED, UNIMPLEMENTED | nothing looked at the request: a proxy's lock, a node built without the call | refused |
/// | ALREADY_EXISTS | a payment of this hash that settled or is on its way | its own kind |
/// | NOT_FOUND | no payment or invoice of this hash | its own kind |
/// | CANCELLED, DEADLINE_EXCEEDED, ABORTED | a call that ended while its work goes on | lost |
/// | UNAVAILABLE, RESOURCE_EXHAUSTED, INTERNAL, DATA_LOSS, OK without a message | a connection or a proxy that broke | lost |
/// | OUT_OF_RANGE | nothing: made on this side of a response that is too large | lost |
///
/// LND also ends a payment's stream with UNKNOWN when it shuts down after the payment began,
/// therefore a refusal of a payment is followed by a look-up. A status with a source was made on this
/// side, whatever its code.
fn outcome(status: &Status) -> CallOutcome {
    if status.source().is_some() {
        return CallOutcome::Lost;
    }
    match status.code() {
        Code::AlreadyExists => CallOutcome::AlreadyExists,
        Code::NotFound => CallOutcome::NotFound,
        Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented
        | Code::Unknown => CallOutcome::Refused,
        Code::Ok
        | Code::Aborted
        | Code::Cancelled
        | Code::DataLoss
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::OutOfRange
        | Code::ResourceExhausted
        | Code::Unavailable => CallOutcome::Lost,
    }
}

fn reason(status: &Status) -> String {
    if status.message().is_empty() {
        return status.code().description().to_owned();
    }
    status.message().to_owned()
}

/// Returns the transport's report that a connection could not be made, if it is the cause.
fn connect_error(status: &Status) -> Option<&ConnectError> {
    causes(status).find_map(|cause| cause.downcast_ref())
}

fn why_not_connected(error: &ConnectError) -> String {
    let last: &(dyn Error + 'static) = causes(error).last().unwrap_or(error);
    let explained = causes(error).find_map(tls::explain);
    explained.unwrap_or_else(|| last.to_string())
}

/// The causes of an error, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

const PERMISSION_DENIED: &str = "permission denied";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_response_counts_as_a_refusal() {
        for (code, expected) in [
            (Code::AlreadyExists, CallOutcome::AlreadyExists),
            (Code::NotFound, CallOutcome::NotFound),
            (Code::Unknown, CallOutcome::Refused),
            (Code::InvalidArgument, CallOutcome::Refused),
            (
                Code::PermissionDenied,
                CallOutcome::Denied(Permission::OffchainWrite),
            ),
            (Code::Unauthenticated, CallOutcome::Refused),
            (Code::Unimplemented, CallOutcome::Refused),
            (Code::FailedPrecondition, CallOutcome::Refused),
            (Code::OutOfRange, CallOutcome::Lost),
            (Code::Unavailable, CallOutcome::Lost),
            (Code::DeadlineExceeded, CallOutcome::Lost),
            (Code::Cancelled, CallOutcome::Lost),
            (Code::Internal, CallOutcome::Lost),
            (Code::Aborted, CallOutcome::Lost),
            (Code::DataLoss, CallOutcome::Lost),
            (Code::ResourceExhausted, CallOutcome::Lost),
            (Code::Ok, CallOutcome::Lost),
        ] {
            let error = read(&Status::new(code, "why"));
            assert_eq!(error.outcome, expected);
        }
    }

    #[test]
    fn a_status_made_on_this_side_is_never_a_response() {
        let local = Status::from_error("the connection broke".into());
        assert_eq!(
            local.code(),
            Code::Unknown,
            "the code that LND refuses with"
        );

        assert_eq!(read(&local).outcome, CallOutcome::Lost);
    }

    #[test]
    fn no_connection_means_unsent_with_its_cause() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(ConnectError(refused.into())));

        let error = read(&status);

        assert_eq!(error.outcome, CallOutcome::Unsent);
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

        assert_eq!(
            denied.outcome,
            CallOutcome::Denied(Permission::OffchainWrite)
        );
        for error in [denied.reason.clone(), WalletError::from(denied).to_string()] {
            assert!(error.contains("offchain:write"), "{error}");
            assert!(error.contains("router.macaroon"), "{error}");
        }
    }

    #[test]
    fn a_response_is_a_refusal_and_a_lost_one_is_unreachable() {
        for (outcome, refused) in [
            (CallOutcome::AlreadyExists, true),
            (CallOutcome::NotFound, true),
            (CallOutcome::Refused, true),
            (CallOutcome::Lost, false),
            (CallOutcome::Unsent, false),
        ] {
            let error = WalletError::from(CallError {
                outcome,
                reason: "why".to_owned(),
            });
            assert_eq!(
                matches!(error, WalletError::Refused { .. }),
                refused,
                "{outcome:?}"
            );
        }
    }

    fn read(status: &Status) -> CallError {
        CallError::new(status, Permission::OffchainWrite)
    }
}
