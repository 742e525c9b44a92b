//! Failures of a command and the exit codes that scripts act on.
//!
//! A failure carries the payments that were made, or may have been made, before it: no
//! exit code and no message hides that money moved.

use std::fmt;
use std::process::ExitCode;

use crate::payment::{Payment, PaymentState};

/// What a script does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FailureKind {
    General,
    Interrupted,
    Network,
    /// A limit or a switch of the caller forbids the payment.
    NotAllowed,
    PaidButRefused,
    PaidButUndelivered,
    PaymentFailed,
    PaymentUnknown,
    RateLimited,
    ServerError,
    Usage,
}

impl FailureKind {
    /// Every kind, in the order of their codes.
    const ALL: [Self; 11] = [
        Self::General,
        Self::Usage,
        Self::NotAllowed,
        Self::PaymentFailed,
        Self::Network,
        Self::PaidButRefused,
        Self::RateLimited,
        Self::PaymentUnknown,
        Self::ServerError,
        Self::PaidButUndelivered,
        Self::Interrupted,
    ];

    /// Returns the exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::General => 1,
            Self::NotAllowed | Self::Usage => 2,
            Self::PaymentFailed => 3,
            Self::Network => 4,
            Self::PaidButRefused => 5,
            Self::RateLimited => 6,
            Self::PaymentUnknown => 7,
            Self::ServerError => 8,
            Self::PaidButUndelivered => 9,
            Self::Interrupted => 130,
        }
    }

    /// Returns its name in JSON output.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::General => "general_error",
            Self::Interrupted => "interrupted",
            Self::Network => "network_error",
            Self::NotAllowed => "not_allowed",
            Self::PaidButRefused => "paid_but_refused",
            Self::PaidButUndelivered => "paid_but_undelivered",
            Self::PaymentFailed => "payment_failed",
            Self::PaymentUnknown => "payment_unknown",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Usage => "invalid_args",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::General => "failed for a reason that is none of the others",
            Self::Interrupted => "interrupted before anything was paid",
            Self::Network => "the network failed; nothing was paid",
            Self::NotAllowed => "a limit or a switch forbids the payment; nothing was paid",
            Self::PaidButRefused => "paid, and refused all the same; the token is kept",
            Self::PaidButUndelivered => {
                "paid, and the response did not arrive whole; the token is kept"
            }
            Self::PaymentFailed => "the payment failed; no money moved",
            Self::PaymentUnknown => {
                "the payment's outcome is unknown; running the command again looks it up"
            }
            Self::RateLimited => "too many requests; try again later",
            Self::ServerError => "the server answered with an error status",
            Self::Usage => "the command line or the configuration is wrong; nothing was paid",
        }
    }

    /// Returns the kind of a failure after a settled payment: none whose meaning is that
    /// nothing was paid.
    const fn after_payment(self) -> Self {
        match self {
            Self::PaidButRefused
            | Self::PaidButUndelivered
            | Self::PaymentUnknown
            | Self::RateLimited
            | Self::ServerError => self,
            Self::General
            | Self::Interrupted
            | Self::Network
            | Self::NotAllowed
            | Self::PaymentFailed
            | Self::Usage => Self::PaidButUndelivered,
        }
    }
}

/// Returns the table of exit codes for `--help`.
pub(crate) fn help() -> String {
    let mut text = "Exit codes, and the `code` of an error with --json:\n    0  done".to_owned();
    for kind in FailureKind::ALL {
        text.push_str(&format!(
            "\n  {:>3}  {} ({})",
            kind.code(),
            kind.meaning(),
            kind.name()
        ));
    }
    text
}

/// Why a command failed, for the person or program that ran it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: FailureKind,
    message: String,
    payments: Vec<Payment>,
    warnings: Vec<String>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            payments: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::Usage, message)
    }

    pub(crate) fn general(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::General, message)
    }

    /// Adds what was paid, or may have been, before the failure, and corrects the kind.
    #[must_use]
    pub(crate) fn after(mut self, payments: Vec<Payment>) -> Self {
        for payment in payments {
            // The same payment may be known from the error, with less detail.
            self.payments
                .retain(|known| known.payment_hash != payment.payment_hash);
            self.payments.push(payment);
        }
        if self.kind == FailureKind::PaymentFailed {
            // It is known by now that the payment that was begun was not made.
            self.payments
                .retain(|payment| payment.state == PaymentState::Settled);
        }
        let is_unknown = |payment: &Payment| payment.state == PaymentState::Unknown;
        if self.payments.iter().any(is_unknown) {
            self.kind = FailureKind::PaymentUnknown;
        } else if !self.payments.is_empty() {
            self.kind = self.kind.after_payment();
        }
        self
    }

    /// Adds what else went wrong.
    #[must_use]
    pub(crate) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    pub(crate) const fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Returns what was paid or may have been, oldest first.
    pub(crate) fn payments(&self) -> &[Payment] {
        &self.payments
    }

    /// Returns what else went wrong.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
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

#[cfg(test)]
mod tests {
    use l402::{Msat, PaymentHash};

    use super::*;

    fn payment(state: PaymentState) -> Payment {
        Payment {
            state,
            price: Msat::from_msat(10_000),
            fee: None,
            payment_hash: PaymentHash::new([7; 32]),
            origin: Some("http://seller.example".to_owned()),
        }
    }

    #[test]
    fn no_failure_after_a_payment_means_that_nothing_was_paid() {
        for kind in FailureKind::ALL {
            let settled = Failure::new(kind, "x").after(vec![payment(PaymentState::Settled)]);
            let meaning = settled.kind().meaning();
            assert!(
                !meaning.contains("nothing") && !meaning.contains("no money"),
                "{kind:?} becomes {:?}",
                settled.kind()
            );
        }
    }

    #[test]
    fn a_payment_that_may_have_been_made_is_unknown() {
        let failure =
            Failure::new(FailureKind::Interrupted, "x").after(vec![payment(PaymentState::Unknown)]);

        assert_eq!(failure.kind(), FailureKind::PaymentUnknown);
    }

    #[test]
    fn a_payment_that_failed_was_not_made() {
        let failed = Failure::new(FailureKind::PaymentFailed, "x");

        let failure = failed.after(vec![payment(PaymentState::Unknown)]);

        assert_eq!(failure.kind(), FailureKind::PaymentFailed);
        assert!(failure.payments().is_empty());
    }

    #[test]
    fn the_help_lists_every_code_and_name() {
        let help = help();
        for kind in FailureKind::ALL {
            assert!(help.contains(&format!("{:>3}  ", kind.code())), "{help}");
            assert!(help.contains(kind.name()), "{help}");
        }
    }
}
