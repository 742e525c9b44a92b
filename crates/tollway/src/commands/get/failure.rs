//! Failures of a client, as a command reports them.
//!
//! The one place that decides which code a client's error has, which fields a program reads
//! with it, and which flag or key of the configuration would have changed the outcome.

use std::error::Error as _;
use std::io;

use l402::{Msat, OverLimit};
use rustls::CertificateError;
use tollway_client::{Error, NotPaid, TransportError};
use tollway_lightning::WalletError;

use super::payments;
use crate::exit::{Failure, FailureKind, with_sources};
use crate::moment;
use crate::payment::{Payment, PaymentState};

/// Returns the failure that a client's error is, with the payment it is about.
pub(crate) fn of(error: Error) -> Failure {
    let mut message = with_sources(&error);
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
        WalletError::Denied { .. } => FailureKind::WalletDenied,
        WalletError::Misconfigured { .. } => FailureKind::Usage,
        WalletError::Unreachable { .. } => FailureKind::WalletUnreachable,
        WalletError::Refused { .. } | WalletError::Unsupported { .. } | _ => {
            FailureKind::PaymentFailed
        }
    }
}

const fn not_paid(reason: &NotPaid) -> FailureKind {
    match reason {
        NotPaid::AlreadyPaid { .. }
        | NotPaid::Challenge(_)
        | NotPaid::NoChallenge
        | NotPaid::Quote(_) => FailureKind::BadChallenge,
        NotPaid::ClearText { .. } => FailureKind::ClearText,
        NotPaid::OverLimit(OverLimit::Daily { .. }) => FailureKind::OverDayLimit,
        NotPaid::OverLimit(OverLimit::Host { .. }) => FailureKind::OverHostLimit,
        NotPaid::OverLimit(OverLimit::Total { .. }) => FailureKind::OverTotalLimit,
        NotPaid::OverLimit(OverLimit::Price { .. }) => FailureKind::OverLimit,
        NotPaid::PayingIsOff { .. } => FailureKind::PaymentRequired,
        NotPaid::Stopped { .. } => FailureKind::Stopped,
        NotPaid::BodyNotReplayable { .. }
        | NotPaid::Declined { .. }
        | NotPaid::FeeNotCapped { .. }
        | NotPaid::HostNotAllowed { .. }
        | NotPaid::NoWallet { .. }
        | NotPaid::PaidBefore(_)
        | NotPaid::Redirected { .. }
        | _ => FailureKind::NotAllowed,
    }
}

const fn transport(reason: &TransportError) -> FailureKind {
    match reason {
        TransportError::Address(_)
        | TransportError::Body(_)
        | TransportError::Certificates { .. }
        | TransportError::Onion { .. } => FailureKind::Usage,
        TransportError::OutOfTime { .. }
        | TransportError::Stalled { .. }
        | TransportError::Timeout { .. } => FailureKind::Timeout,
        TransportError::Connect { .. }
        | TransportError::CutOff { .. }
        | TransportError::Exchange { .. }
        | TransportError::Redirect { .. }
        | TransportError::Tls(_)
        | _ => FailureKind::Network,
    }
}

/// Returns what the command line offers where the client can only stop.
fn advice(error: &Error) -> Option<&'static str> {
    match error {
        Error::NotPaid(reason) => not_paid_advice(reason),
        Error::PaymentFailed { .. } => Some(
            "a route may need a higher --max-fee (max_fee in [get]) or a longer --payment-timeout",
        ),
        Error::PaymentUnknown { .. } => Some("`tollway purchases list` shows what to do"),
        Error::Transport(TransportError::OutOfTime { .. }) => Some("--max-time gives it longer"),
        Error::Transport(TransportError::Connect { .. }) => certificate_advice(error),
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

fn not_paid_advice(reason: &NotPaid) -> Option<&'static str> {
    match reason {
        NotPaid::ClearText { .. } => Some("--allow-insecure allows it"),
        NotPaid::OverLimit(over) => over_limit_advice(over),
        NotPaid::PaidBefore(_) => Some("contact the seller, or buy again with --buy-after-refusal"),
        NotPaid::PayingIsOff { .. } => Some("leave out --no-pay to buy"),
        NotPaid::AlreadyPaid { .. }
        | NotPaid::BodyNotReplayable { .. }
        | NotPaid::Challenge(_)
        | NotPaid::Declined { .. }
        | NotPaid::FeeNotCapped { .. }
        | NotPaid::HostNotAllowed { .. }
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

/// Returns what to do about a server's certificate that TLS refused.
fn certificate_advice(error: &Error) -> Option<&'static str> {
    let mut source = error.source();
    while let Some(cause) = source {
        match refused_certificate(cause) {
            // Only the text of webpki's own reasons is public.
            Some(reason) if format!("{reason:?}").contains("CaUsedAsEndEntity") => {
                return Some(
                    "the certificate is an authority's, which no server may use: issue it with basicConstraints=CA:FALSE",
                );
            }
            Some(_) => return Some("--ca-cert FILE trusts another certificate authority"),
            None => source = cause.source(),
        }
    }
    None
}

/// Returns why TLS refused a certificate, from inside I/O errors, which hide what they hold.
fn refused_certificate<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a CertificateError> {
    if let Some(rustls::Error::InvalidCertificate(reason)) = error.downcast_ref() {
        return Some(reason);
    }
    let hidden = error.downcast_ref::<io::Error>()?.get_ref()?;
    refused_certificate(hidden)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_certificate_is_found_inside_io_errors() {
        let refused = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::other(refused));

        let found = refused_certificate(&error);

        assert_eq!(found, Some(&CertificateError::UnknownIssuer));
        assert_eq!(refused_certificate(&io::Error::other("reset")), None);
    }
}
