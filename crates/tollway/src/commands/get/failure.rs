//! Failures of a client, as a command reports them.
//!
//! The one place that decides which code a client's error has, which fields a program reads
//! with it, and which flag or key of the configuration would have changed the outcome.

mod certificate;

use std::io;

use l402::{Msat, OverLimit};
use tollway_client::book::{Brake, BrakeCause};
use tollway_client::{
    CertificateSource, ConnectError, Error, NotPaid, Origin, Protocol, TransportError,
};
use tollway_lightning::WalletError;

use self::certificate::refusal;
use super::payments;
use crate::exit::{Failure, FailureKind, with_sources};
use crate::moment;
use crate::payment::{Payment, PaymentState};

/// Returns the failure that a client's error is, with the payment it is about.
pub(crate) fn of(error: Error) -> Failure {
    let mut message = words(&error);
    if let Error::NotPaid(NotPaid::PayingIsOff { terms, .. }) = &error {
        message.push_str(&payments::offer(terms));
    }
    if let Some(advice) = advice(&error) {
        message = format!("{message}; {advice}");
    }
    if let Error::PaymentUnknown {
        payment,
        blocks_until: Some(until),
        ..
    } = &error
    {
        let (until, hash) = (moment::show(*until), payment.payment_hash);
        message = format!(
            "{message}; nothing else is bought there before {until}, unless `tollway purchases resolve {hash}` ends it"
        );
    }
    let failure = Failure::new(kind(&error), message);
    with_details(failure, &error).after(payment(&error).into_iter().collect())
}

fn kind(error: &Error) -> FailureKind {
    match error {
        Error::PaymentUnknown { .. } => FailureKind::InDoubt,
        Error::PaymentFailed { reason, .. } if is_denial(reason) => FailureKind::WalletDenied,
        Error::PaymentFailed { .. } => FailureKind::PaymentFailed,
        Error::Wallet(reason) => wallet(reason),
        Error::PaidButRefused { .. } => FailureKind::PaidRefused,
        Error::PaidButUndelivered { .. } => FailureKind::PaidUndelivered,
        Error::NotPaid(reason) => not_paid(reason),
        Error::Transport(reason) => transport(reason),
        Error::Busy { .. } => FailureKind::Busy,
        Error::Storage(_) => FailureKind::General,
    }
}

const fn wallet(error: &WalletError) -> FailureKind {
    match error {
        // What a node refuses before a payment is its macaroon: another node's, or an old one.
        WalletError::Denied { .. } | WalletError::Refused { .. } => FailureKind::WalletDenied,
        WalletError::Misconfigured { .. } => FailureKind::Usage,
        WalletError::Unreachable { .. } => FailureKind::WalletUnreachable,
        WalletError::Unsupported { .. } | _ => FailureKind::PaymentFailed,
    }
}

const fn not_paid(reason: &NotPaid) -> FailureKind {
    match reason {
        NotPaid::AlreadyPaid { .. }
        | NotPaid::Challenge(_)
        | NotPaid::Misfit { .. }
        | NotPaid::NoChallenge
        | NotPaid::Quote(_) => FailureKind::BadChallenge,
        NotPaid::ClearText { .. } => FailureKind::ClearText,
        NotPaid::OverLimit(OverLimit::Daily { .. }) => FailureKind::OverDayLimit,
        NotPaid::OverLimit(OverLimit::Host { .. }) => FailureKind::OverHostLimit,
        NotPaid::OverLimit(OverLimit::Total { .. }) => FailureKind::OverTotalLimit,
        NotPaid::OverLimit(OverLimit::Price { .. }) => FailureKind::OverLimit,
        NotPaid::PaidBefore(_) => FailureKind::RefusedBefore,
        NotPaid::PayingIsOff { .. } => FailureKind::PaymentRequired,
        NotPaid::Redirected { .. } => FailureKind::Redirected,
        NotPaid::Stopped { .. } => FailureKind::Stopped,
        NotPaid::BodyNotReplayable { .. }
        | NotPaid::Declined { .. }
        | NotPaid::FeeNotCapped { .. }
        | NotPaid::HostNotAllowed { .. }
        | NotPaid::NoWallet { .. }
        | _ => FailureKind::NotAllowed,
    }
}

fn transport(reason: &TransportError) -> FailureKind {
    match reason {
        TransportError::Address(_)
        | TransportError::Body(_)
        | TransportError::Certificates { .. }
        | TransportError::Onion { .. } => FailureKind::Usage,
        TransportError::OutOfTime { .. }
        | TransportError::Stalled { .. }
        | TransportError::Timeout { .. } => FailureKind::Timeout,
        TransportError::Connect { source, .. } => connect(source),
        TransportError::Redirect { .. } => FailureKind::ServerError,
        TransportError::Tls(_) => FailureKind::Tls,
        TransportError::CutOff { .. }
        | TransportError::Exchange { .. }
        | TransportError::Reset { .. }
        | _ => FailureKind::Network,
    }
}

fn connect(reason: &ConnectError) -> FailureKind {
    match reason {
        ConnectError::Certificate(_) | ConnectError::NotTls | ConnectError::Tls(_) => {
            FailureKind::Tls
        }
        ConnectError::Lookup(_) => FailureKind::Dns,
        ConnectError::Refused(error) if error.kind() == io::ErrorKind::TimedOut => {
            FailureKind::Timeout
        }
        ConnectError::Other(_) | ConnectError::Refused(_) | _ => FailureKind::Network,
    }
}

/// Returns true for what a wallet reports that refused to pay for want of a permission, as
/// [`WalletError::Denied`] words it.
fn is_denial(reason: &str) -> bool {
    reason.starts_with("the macaroon lacks ")
}

/// Returns what happened, in words where a library's are for its own users.
fn words(error: &Error) -> String {
    match error {
        Error::Transport(TransportError::Connect {
            origin,
            source: ConnectError::Certificate(reason),
        }) => refusal(origin, reason),
        Error::Transport(reason) => transport_words(reason),
        Error::NotPaid(NotPaid::ClearText { origin }) => format!(
            "{origin} is plain http, and its credential could be stolen on the way: use https, or --allow-insecure"
        ),
        Error::PaidButUndelivered { source, .. } => {
            // The receipt is reported with the failure, and what to do by its command.
            format!("{}; the request was paid for", words(source))
        }
        Error::NotPaid(NotPaid::PaidBefore(brake)) => stopped(brake),
        Error::Busy { .. }
        | Error::NotPaid(_)
        | Error::PaidButRefused { .. }
        | Error::PaymentFailed { .. }
        | Error::PaymentUnknown { .. }
        | Error::Storage(_)
        | Error::Wallet(_) => with_sources(error),
    }
}

/// Returns what happened to an earlier payment, and what is not bought until when because of it.
fn stopped(brake: &Brake) -> String {
    let Brake { origin, scope, .. } = brake;
    let happened = brake
        .cause
        .of_payment(&brake.payment_hash, brake.paid, &brake.path);
    let left = moment::now().map_or(0, |now| brake.until.secs_since(now));
    let (hours, minutes) = (left / 3_600, left % 3_600 / 60);
    let until = moment::show(brake.until);
    format!(
        "{happened}: nothing more is bought from {origin}{scope} until {until} (for {hours} h {minutes} min)"
    )
}

fn transport_words(reason: &TransportError) -> String {
    let words = with_sources(reason);
    match reason {
        TransportError::Certificates {
            named_by: CertificateSource::Connections,
            path,
            reason,
        } => format!(
            "cannot use the certificates in `{}`, which --ca-cert (ca_cert in [get]) names: {reason}",
            path.display()
        ),
        TransportError::Connect {
            origin,
            source: ConnectError::NotTls,
        } => {
            let url = with_scheme("http", origin);
            format!("{words}; if it serves plain HTTP, write {url} instead")
        }
        TransportError::Exchange { origin, source } if may_speak_tls(origin, source) => {
            let url = with_scheme("https", origin);
            format!("{words}; if the port speaks TLS, write {url} instead")
        }
        TransportError::Address(_)
        | TransportError::Body(_)
        | TransportError::Certificates { .. }
        | TransportError::Connect { .. }
        | TransportError::CutOff { .. }
        | TransportError::Exchange { .. }
        | TransportError::Onion { .. }
        | TransportError::OutOfTime { .. }
        | TransportError::Redirect { .. }
        | TransportError::Reset { .. }
        | TransportError::Stalled { .. }
        | TransportError::Timeout { .. }
        | TransportError::Tls(_)
        | _ => words,
    }
}

fn with_scheme(scheme: &str, origin: &Origin) -> String {
    let whole = origin.to_string();
    let authority = whole.split_once("://").map_or("", |(_, rest)| rest);
    format!("{scheme}://{authority}")
}

/// Returns what the command line offers where the client can only stop.
fn advice(error: &Error) -> Option<&'static str> {
    match error {
        Error::NotPaid(reason) => not_paid_advice(reason),
        Error::PaymentFailed { reason, .. } if is_denial(reason) => None,
        Error::PaymentFailed { .. } => Some(
            "a route may need a higher --max-fee (max_fee in [get]) or a longer --payment-timeout",
        ),
        Error::PaymentUnknown { .. } => Some("`tollway purchases list` shows what to do"),
        Error::Transport(TransportError::OutOfTime { .. }) => Some("--max-time gives it longer"),
        Error::Wallet(WalletError::Unreachable { .. }) => {
            Some("--wallet (wallet in [get]) chooses another one")
        }
        Error::Busy { .. }
        | Error::PaidButRefused { .. }
        | Error::PaidButUndelivered { .. }
        | Error::Storage(_)
        | Error::Transport(_)
        | Error::Wallet(_) => None,
    }
}

/// Returns true when a server that was sent plain HTTP responds as one does that speaks TLS: with
/// bytes that do not begin like HTTP, as an alert, or, on a port for TLS, with nothing.
fn may_speak_tls(origin: &Origin, error: &dyn std::error::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    let is_tls = |cause: &hyper::Error| {
        let is_no_http = cause.is_parse() && cause.to_string() == NO_STATUS_LINE;
        is_no_http || cause.is_incomplete_message() && TLS_PORTS.contains(&origin.port())
    };
    origin.protocol() == Protocol::Http && cause.is_some_and(is_tls)
}

fn not_paid_advice(reason: &NotPaid) -> Option<&'static str> {
    match reason {
        NotPaid::OverLimit(over) => over_limit_advice(over),
        NotPaid::PaidBefore(brake) => Some(match brake.cause {
            BrakeCause::ExhaustedEarly => {
                "contact the seller unless it was used elsewhere; --buy-after-refusal buys again, and ends this once it is delivered"
            }
            BrakeCause::Redirected(_) | BrakeCause::Undelivered => {
                "--buy-after-refusal buys again, and ends this once it is delivered"
            }
            BrakeCause::BroughtNothing(_)
            | BrakeCause::Contradicted(_)
            | BrakeCause::Forbidden
            | BrakeCause::Refused(_)
            | BrakeCause::RefusedAgain(_) => {
                "contact the seller; --buy-after-refusal buys again, and ends this once it is delivered"
            }
        }),
        NotPaid::PayingIsOff { .. } => Some("leave out --no-pay to buy"),
        NotPaid::AlreadyPaid { .. }
        | NotPaid::BodyNotReplayable { .. }
        | NotPaid::Challenge(_)
        | NotPaid::ClearText { .. }
        | NotPaid::Declined { .. }
        | NotPaid::FeeNotCapped { .. }
        | NotPaid::HostNotAllowed { .. }
        | NotPaid::Misfit { .. }
        | NotPaid::NoChallenge
        | NotPaid::NoWallet { .. }
        | NotPaid::Quote(_)
        | NotPaid::Redirected { .. }
        | NotPaid::Stopped { .. }
        | _ => None,
    }
}

/// Names what raises a limit, and the fee ceiling where the price alone would fit.
fn over_limit_advice(over: &OverLimit) -> Option<&'static str> {
    match (over, fits_without_fee(over)) {
        (OverLimit::Price { .. }, _) => Some("--max-cost (max_cost in [get]) raises it"),
        (OverLimit::Daily { .. }, true) => Some(
            "--max-fee (max_fee in [get]) lowers the fee ceiling, --max-per-day (max_per_day) raises the limit",
        ),
        (OverLimit::Daily { .. }, false) => {
            Some("--max-per-day (max_per_day in [get]) raises the limit")
        }
        (OverLimit::Host { .. }, true) => Some(
            "--max-fee (max_fee in [get]) lowers the fee ceiling, max_per_host raises the limit",
        ),
        (OverLimit::Host { .. }, false) => Some("max_per_host in [get] raises the limit"),
        (OverLimit::Total { .. }, true) => {
            Some("--max-fee (max_fee in [get]) lowers the fee ceiling, max_total raises the limit")
        }
        (OverLimit::Total { .. }, false) => Some("max_total in [get] raises the limit"),
        _ => None,
    }
}

fn fits_without_fee(over: &OverLimit) -> bool {
    match over {
        OverLimit::Daily {
            price, used, limit, ..
        }
        | OverLimit::Host {
            price, used, limit, ..
        }
        | OverLimit::Total {
            price, used, limit, ..
        } => used.checked_add(*price).is_some_and(|sum| sum <= *limit),
        OverLimit::Price { .. } | _ => false,
    }
}

/// Adds what a program compares or could pay itself. Amounts are in millisatoshis.
fn with_details(failure: Failure, error: &Error) -> Failure {
    if let Error::PaidButRefused { status, .. } = error {
        return failure.with("status", status.as_u16());
    }
    if let Error::NotPaid(NotPaid::PayingIsOff {
        origin,
        price,
        invoice,
        terms,
    }) = error
    {
        return failure
            .with("price_msat", price.as_msat())
            .with("invoice", invoice.as_str())
            .with("payment_hash", invoice.payment_hash().to_string())
            .with("expires_at", invoice.expires_at().as_secs())
            .with("offered", payments::terms_json(terms))
            .with("origin", origin.to_string());
    }
    if let Error::NotPaid(NotPaid::PaidBefore(brake)) = error {
        return failure.with("until", brake.until.as_secs());
    }
    let Error::NotPaid(NotPaid::OverLimit(over)) = error else {
        return failure;
    };
    match over {
        OverLimit::Price { price, limit } => failure
            .with("price_msat", price.as_msat())
            .with("limit_msat", limit.as_msat()),
        OverLimit::Daily {
            price,
            fee_max,
            used,
            limit,
        }
        | OverLimit::Host {
            price,
            fee_max,
            used,
            limit,
            ..
        }
        | OverLimit::Total {
            price,
            fee_max,
            used,
            limit,
        } => {
            let needed = price.checked_add(*fee_max).unwrap_or(Msat::MAX);
            failure
                .with("price_msat", price.as_msat())
                .with("fee_max_msat", fee_max.as_msat())
                .with("needed_msat", needed.as_msat())
                .with("used_msat", used.as_msat())
                .with("limit_msat", limit.as_msat())
        }
        _ => failure,
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
        Error::Busy { .. }
        | Error::NotPaid(_)
        | Error::PaidButRefused { .. }
        | Error::PaidButUndelivered { .. }
        | Error::PaymentFailed { .. }
        | Error::Storage(_)
        | Error::Transport(_)
        | Error::Wallet(_) => None,
    }
}

/// What hyper reports of bytes that do not begin with `HTTP/`. It has no kind of its own for it.
const NO_STATUS_LINE: &str = "invalid HTTP version parsed";
const TLS_PORTS: &[u16] = &[443, 8443];
