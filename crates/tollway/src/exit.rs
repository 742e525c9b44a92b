//! Failures of a command, and the codes that scripts act on: one table for all commands.
//!
//! A failure carries the payments that were made, or may have been made, before it: no
//! exit code and no message hides that money moved.
//!
//! `docs/guide/src/error.schema.json` describes the JSON of a failure; it is made of the tables
//! here.

#[cfg(test)]
mod names;
#[cfg(test)]
mod schema;

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use serde_json::Value;

use crate::input;
use crate::payment::{Payment, PaymentState};

/// Why a command failed, as far as a program cares: the `code` of its JSON. Kinds that call
/// for the same next step share an exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FailureKind {
    BadChallenge,
    Busy,
    ClearText,
    /// The request's own `Authorization` was refused.
    CredentialRefused,
    /// The name of the host cannot be looked up.
    Dns,
    General,
    InDoubt,
    Interrupted,
    Network,
    /// A rule of the buyer's forbids the payment, and it is none of the limits.
    NotAllowed,
    /// The reader of the output left before everything was written.
    OutputClosed,
    OverDayLimit,
    OverHostLimit,
    OverLimit,
    OverTotalLimit,
    PaidRefused,
    PaidUndelivered,
    PaymentFailed,
    PaymentRequired,
    /// Another process listens on the address.
    PortInUse,
    RateLimited,
    /// A redirect leads to a seller that the request was not addressed to.
    Redirected,
    /// What was bought there was refused a short while ago.
    RefusedBefore,
    ServerError,
    Stopped,
    Timeout,
    Tls,
    Usage,
    WalletDenied,
    WalletUnreachable,
}

impl FailureKind {
    /// Every kind, in the order of their exit codes.
    const ALL: [Self; 30] = [
        Self::General,
        Self::OutputClosed,
        Self::Usage,
        Self::PaymentFailed,
        Self::WalletDenied,
        Self::WalletUnreachable,
        Self::Network,
        Self::Dns,
        Self::Tls,
        Self::Timeout,
        Self::PaidRefused,
        Self::RateLimited,
        Self::Busy,
        Self::InDoubt,
        Self::ServerError,
        Self::CredentialRefused,
        Self::PaidUndelivered,
        Self::PaymentRequired,
        Self::OverLimit,
        Self::OverDayLimit,
        Self::OverHostLimit,
        Self::OverTotalLimit,
        Self::ClearText,
        Self::Stopped,
        Self::RefusedBefore,
        Self::Redirected,
        Self::NotAllowed,
        Self::BadChallenge,
        Self::PortInUse,
        Self::Interrupted,
    ];

    /// Returns exit code, name in JSON, and meaning.
    #[expect(clippy::too_many_lines, reason = "a table, a row per kind")]
    const fn row(self) -> (u8, &'static str, &'static str) {
        match self {
            Self::General => (
                1,
                "general_error",
                "failed for a reason that is none of these",
            ),
            Self::OutputClosed => (
                1,
                "output_closed",
                "the reader of the output left before it was written whole",
            ),
            Self::Usage => (
                2,
                "usage",
                "the command line or the configuration is wrong; nothing was paid",
            ),
            Self::PaymentFailed => (3, "payment_failed", "the payment failed; no money moved"),
            Self::WalletDenied => (
                3,
                "wallet_denied",
                "the wallet refused the call; nothing was paid",
            ),
            Self::WalletUnreachable => (
                3,
                "wallet_unreachable",
                "the wallet cannot be reached; nothing was paid",
            ),
            Self::Network => (4, "network_error", "the network failed; nothing was paid"),
            Self::Dns => (
                4,
                "dns_error",
                "the name of the host cannot be looked up; nothing was paid",
            ),
            Self::Tls => (
                4,
                "tls_error",
                "the server's certificate is refused, or it does not speak TLS; nothing was paid",
            ),
            Self::Timeout => (4, "timeout", "no response in time; nothing was paid"),
            Self::PaidRefused => (
                5,
                "paid_refused",
                "paid, and refused all the same; the token is stored",
            ),
            Self::RateLimited => (
                6,
                "rate_limited",
                "too many requests; try again later, nothing was paid",
            ),
            Self::Busy => (
                6,
                "busy",
                "another process buys the same thing; try again later, nothing was paid",
            ),
            Self::InDoubt => (
                7,
                "in_doubt",
                "the payment's outcome is unknown; running the command again looks it up",
            ),
            Self::ServerError => (
                8,
                "server_error",
                "the server responded with an error status, or a redirect that cannot be followed",
            ),
            Self::CredentialRefused => (
                8,
                "credential_refused",
                "the request's own Authorization was refused; a request with a token is not paid for",
            ),
            Self::PaidUndelivered => (
                9,
                "paid_undelivered",
                "paid, and the response did not arrive whole; the token is stored",
            ),
            Self::PaymentRequired => (
                10,
                "payment_required",
                "a payment is asked for, and paying is off; nothing was paid",
            ),
            Self::OverLimit => (
                10,
                "over_limit",
                "the price is over --max-cost; nothing was paid",
            ),
            Self::OverDayLimit => (
                10,
                "over_day_limit",
                "over --max-per-day with the fee ceiling; nothing was paid",
            ),
            Self::OverHostLimit => (
                10,
                "over_host_limit",
                "over max_per_host with the fee ceiling; nothing was paid",
            ),
            Self::OverTotalLimit => (
                10,
                "over_total_limit",
                "over max_total with the fee ceiling; nothing was paid",
            ),
            Self::ClearText => (
                10,
                "clear_text",
                "the credential would travel without TLS; nothing was paid",
            ),
            Self::Stopped => (
                10,
                "stopped",
                "the file `stop` forbids paying; nothing was paid",
            ),
            Self::RefusedBefore => (
                10,
                "refused_before",
                "what was paid for here was refused or not delivered a while ago; nothing was paid",
            ),
            Self::Redirected => (
                10,
                "redirected",
                "a redirect leads to another seller, who asks to be paid; nothing was paid",
            ),
            Self::NotAllowed => (
                10,
                "not_allowed",
                "another rule forbids the payment; nothing was paid",
            ),
            Self::BadChallenge => (
                11,
                "bad_challenge",
                "what the server asks for must not be paid; nothing was paid",
            ),
            Self::PortInUse => (
                12,
                "port_in_use",
                "another process listens on the address; nothing was started",
            ),
            Self::Interrupted => (130, "interrupted", "interrupted before anything was paid"),
        }
    }

    /// Returns the exit code.
    pub(crate) const fn code(self) -> u8 {
        self.row().0
    }

    /// Returns its name in JSON output.
    pub(crate) const fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns the kind of a failure after a settled payment: none whose meaning is that
    /// nothing was paid.
    const fn after_payment(self) -> Self {
        match self {
            Self::CredentialRefused
            | Self::InDoubt
            | Self::PaidRefused
            | Self::PaidUndelivered
            | Self::ServerError => self,
            Self::RateLimited => Self::ServerError,
            Self::BadChallenge
            | Self::Busy
            | Self::ClearText
            | Self::Dns
            | Self::General
            | Self::Interrupted
            | Self::Network
            | Self::NotAllowed
            | Self::OutputClosed
            | Self::OverDayLimit
            | Self::OverHostLimit
            | Self::OverLimit
            | Self::OverTotalLimit
            | Self::PaymentFailed
            | Self::PaymentRequired
            | Self::PortInUse
            | Self::Redirected
            | Self::RefusedBefore
            | Self::Stopped
            | Self::Timeout
            | Self::Tls
            | Self::Usage
            | Self::WalletDenied
            | Self::WalletUnreachable => Self::PaidUndelivered,
        }
    }
}

/// Returns the exit codes with the codes that share them, two in a line where they fit.
pub(crate) fn summary() -> String {
    let mut lines =
        vec!["Exit codes, each with its codes in JSON (meanings: tollway exit-codes):".to_owned()];
    for kinds in FailureKind::ALL.chunk_by(|one, other| one.code() == other.code()) {
        let code = kinds.first().map_or(0, |kind| kind.code());
        let mut line = format!("  {code:>3} ");
        for kind in kinds {
            if line.len().saturating_add(kind.name().len()) > SUMMARY_COLUMNS {
                lines.push(std::mem::replace(&mut line, " ".repeat(6)));
            }
            line.push_str(&format!(" {}", kind.name()));
        }
        let is_short = |text: &str| text.len() < SUMMARY_COLUMNS / 2;
        match lines.last_mut() {
            Some(last) if is_short(last) && is_short(&line) => {
                *last = format!("{last:<0$}{line}", SUMMARY_COLUMNS / 2);
            }
            Some(_) | None => lines.push(line),
        }
    }
    lines.join("\n")
}

/// Returns the rows of the table: exit code, code and meaning.
pub(crate) fn rows() -> impl Iterator<Item = (u8, &'static str, &'static str)> {
    FailureKind::ALL.into_iter().map(FailureKind::row)
}

/// Why a command failed, for the person or program that ran it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: FailureKind,
    message: String,
    details: Vec<(&'static str, Value)>,
    payments: Vec<Payment>,
    warnings: Vec<String>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            details: Vec::new(),
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

    /// Creates a general failure out of an error and everything that caused it.
    pub(crate) fn caused(error: impl Error) -> Self {
        Self::general(with_sources(&error))
    }

    /// Adds a field to its JSON.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.push((name, value.into()));
        self
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
        if matches!(
            self.kind,
            FailureKind::PaymentFailed | FailureKind::WalletDenied
        ) {
            // It is known by now that the payment that was begun was not made.
            self.payments
                .retain(|payment| payment.state == PaymentState::Settled);
        }
        let is_unknown = |payment: &Payment| payment.state == PaymentState::Unknown;
        if self.payments.iter().any(is_unknown) {
            self.kind = FailureKind::InDoubt;
        } else if !self.payments.is_empty() {
            self.kind = self.kind.after_payment();
        }
        self
    }

    /// Adds to its message what to do.
    #[must_use]
    pub(crate) fn advise(mut self, advice: &str) -> Self {
        self.message = format!("{}; {advice}", self.message);
        self
    }

    /// Takes arguments of the command line that may be secrets out of its message: a token may
    /// be typed where a file or a host belongs.
    #[must_use]
    pub(crate) fn without(mut self, arguments: &[String]) -> Self {
        self.message = input::hide(&self.message, arguments);
        for warning in &mut self.warnings {
            *warning = input::hide(warning, arguments);
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

    /// Returns the fields of its JSON that belong to its kind.
    pub(crate) fn details(&self) -> &[(&'static str, Value)] {
        &self.details
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

/// Returns an error with what caused it, in one line and without repetitions.
pub(crate) fn with_sources(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Transparent errors repeat their source, and this one adds nothing to its own.
        let is_wrapper = cause.is::<hyper_util::client::legacy::Error>();
        // SQLite's own number for what it has put in words.
        let is_number = text.starts_with("Error code ");
        if !is_wrapper && !is_number && !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    message
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

const SUMMARY_COLUMNS: usize = 78;

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
            let (_code, _name, meaning) = settled.kind().row();
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

        assert_eq!(failure.kind(), FailureKind::InDoubt);
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
        let summary = summary();
        for (code, name, _meaning) in rows() {
            let words: Vec<&str> = summary.split_whitespace().collect();
            let before = words.iter().position(|word| *word == name).unwrap();
            let number = words
                .iter()
                .take(before)
                .rev()
                .find_map(|word| word.parse().ok());
            assert_eq!(number, Some(code), "{name}: {summary}");
        }
    }

    #[test]
    fn the_guide_has_the_same_table() {
        let page = include_str!("../../../docs/guide/src/errors.md");
        let documented = page.lines().filter(|line| {
            let first = line.trim_start_matches("| ").split(' ').next();
            first.is_some_and(|cell| cell.parse::<u8>().is_ok())
        });
        let rows = rows().map(|(code, name, meaning)| format!("| {code} | `{name}` | {meaning} |"));
        assert_eq!(documented.collect::<Vec<_>>(), rows.collect::<Vec<_>>());
    }
}
