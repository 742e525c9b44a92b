//! How a command ends: with success, or with a kind of failure that scripts can act on.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed for a reason that is none of the others |
//! | 2 | the command line or the configuration is wrong, or a limit forbids the payment |
//! | 3 | the payment failed; no money moved |
//! | 4 | the network failed before anything was paid |
//! | 5 | paid, and refused all the same; the token is kept |
//! | 6 | too many requests; try again later |
//! | 7 | the payment's outcome is unknown; running the command again looks it up |
//! | 8 | the server answered with an error status |

use std::fmt;
use std::process::ExitCode;

/// Which kind of failure it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FailureKind {
    General,
    InDoubt,
    Network,
    PaidButRefused,
    PaymentFailed,
    RateLimited,
    ServerError,
    Usage,
}

impl FailureKind {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::General => 1,
            Self::Usage => 2,
            Self::PaymentFailed => 3,
            Self::Network => 4,
            Self::PaidButRefused => 5,
            Self::RateLimited => 6,
            Self::InDoubt => 7,
            Self::ServerError => 8,
        }
    }

    /// The word for it in JSON output.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::General => "general_error",
            Self::InDoubt => "payment_in_doubt",
            Self::Network => "network_error",
            Self::PaidButRefused => "paid_but_refused",
            Self::PaymentFailed => "payment_failed",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Usage => "invalid_args",
        }
    }
}

/// Why a command failed, for the person or program that ran it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: FailureKind,
    message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
        }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::Usage, message)
    }

    pub(crate) fn general(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::General, message)
    }

    pub(crate) const fn kind(&self) -> FailureKind {
        self.kind
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<FailureKind> for ExitCode {
    fn from(kind: FailureKind) -> Self {
        Self::from(kind.code())
    }
}
