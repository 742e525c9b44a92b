//! Payment requests.
//!
//! A restriction on the route that cannot be kept is refused, never dropped: its caller relies
//! on it. Whether the invoice may be paid is the wallet's to check.

use std::time::Duration;

use l402::{Msat, PaymentHash};
use tollway_lightning::lnd::proto::{lnrpc, routerrpc};
use tonic::Status;

use super::{amount, refused};
use crate::wallet::{NewPayment, SelfPayment, parse_invoice};

/// Reads a payment as LND's newer call takes it.
pub(super) fn parse_request(request: &routerrpc::SendPaymentRequest) -> Result<NewPayment, Status> {
    check_restrictions(request)?;
    let fee_max = amount::either(request.fee_limit_sat, request.fee_limit_msat).map_err(refused)?;
    let amount = amount::either(request.amt, request.amt_msat).map_err(refused)?;
    check_target(request)?;
    Ok(NewPayment {
        invoice: parse_invoice(&request.payment_request).map_err(refused)?,
        amount: Some(amount).filter(|amount| !amount.is_zero()),
        fee_max,
        timeout: timeout(request.timeout_seconds),
        self_payment: self_payment(request.allow_self_payment),
    })
}

/// Reads a payment as LND's older call takes it: an amount given with an invoice that names
/// one is ignored.
pub(super) fn parse_sync_request(
    request: &lnrpc::SendRequest,
) -> Result<(NewPayment, PaymentHash), Status> {
    if request.payment_request.is_empty() {
        return Err(refused("invalid key length"));
    }
    if request.outgoing_chan_id != 0 {
        return Err(unsupported_field("outgoing_chan_id"));
    }
    if !request.last_hop_pubkey.is_empty() {
        return Err(unsupported_field("last_hop_pubkey"));
    }
    check_cltv_limit(i64::from(request.cltv_limit))?;
    if !request.dest_custom_records.is_empty() {
        return Err(unsupported_field("dest_custom_records"));
    }
    let invoice = parse_invoice(&request.payment_request).map_err(refused)?;
    let named = invoice.amount_milli_satoshis().map(Msat::from_msat);
    let given = match named {
        Some(_) => None,
        None => Some(amount::either(request.amt, request.amt_msat).map_err(refused)?)
            .filter(|given| !given.is_zero()),
    };
    let amount = named.or(given).unwrap_or(Msat::ZERO);
    let hash = PaymentHash::new(*invoice.payment_hash().as_ref());
    let new = NewPayment {
        invoice,
        amount: given,
        fee_max: amount::fee_max(request.fee_limit.as_ref(), amount).map_err(refused)?,
        timeout: DEFAULT_TIMEOUT,
        self_payment: self_payment(request.allow_self_payment),
    };
    Ok((new, hash))
}

/// Restrictions on the route, in the order LND looks at them.
///
/// `max_parts` is not one: into how many parts a payment is split costs its payer nothing.
fn check_restrictions(request: &routerrpc::SendPaymentRequest) -> Result<(), Status> {
    if !(-1.0..=1.0).contains(&request.time_pref) {
        return Err(refused("time preference out of range"));
    }
    if request.outgoing_chan_id != 0 && !request.outgoing_chan_ids.is_empty() {
        return Err(refused(
            "outgoing_chan_id and outgoing_chan_ids are mutually exclusive",
        ));
    }
    if request.outgoing_chan_id != 0 || !request.outgoing_chan_ids.is_empty() {
        return Err(unsupported_field("outgoing_chan_ids"));
    }
    match request.last_hop_pubkey.len() {
        0 => {}
        PUBKEY_LEN => return Err(unsupported_field("last_hop_pubkey")),
        len => return Err(wrong_vertex(len)),
    }
    check_cltv_limit(i64::from(request.cltv_limit))?;
    if request.max_shard_size_msat != 0 {
        return Err(unsupported_field("max_shard_size_msat"));
    }
    if !request.dest_custom_records.is_empty() {
        return Err(unsupported_field("dest_custom_records"));
    }
    if !request.first_hop_custom_records.is_empty() {
        return Err(unsupported_field("first_hop_custom_records"));
    }
    Ok(())
}

fn check_cltv_limit(limit: i64) -> Result<(), Status> {
    match u32::try_from(limit) {
        Ok(0 | CLTV_ALWAYS_KEPT..=CLTV_LIMIT_MAX) => Ok(()),
        Ok(1..CLTV_ALWAYS_KEPT) => Err(unsupported_field("cltv_limit")),
        Ok(_) | Err(_) => Err(refused(format!(
            "total time lock of {limit} exceeds max allowed {CLTV_LIMIT_MAX}"
        ))),
    }
}

/// Who is paid: the sandbox pays invoices, and refuses the rest after LND's own checks.
fn check_target(request: &routerrpc::SendPaymentRequest) -> Result<(), Status> {
    if request.payment_request.is_empty() {
        return match request.dest.len() {
            PUBKEY_LEN => Err(Status::unimplemented(
                "the sandbox pays invoices only: set payment_request",
            )),
            len => Err(wrong_vertex(len)),
        };
    }
    let doubled = if !request.dest.is_empty() {
        "dest"
    } else if !request.payment_hash.is_empty() {
        "payment_hash"
    } else if request.final_cltv_delta != 0 {
        "final_cltv_delta"
    } else {
        return Ok(());
    };
    Err(refused(format!(
        "{doubled} and payment_request cannot appear together"
    )))
}

fn wrong_vertex(len: usize) -> Status {
    refused(format!("invalid vertex length of {len}, want {PUBKEY_LEN}"))
}

/// Refuses a field that the sandbox cannot honour.
fn unsupported_field(field: &str) -> Status {
    Status::unimplemented(format!(
        "the sandbox does not support {field}: leave it out"
    ))
}

/// LND's minute for zero; it takes a negative timeout for none, with which a caller would wait
/// for ever.
fn timeout(seconds: i32) -> Duration {
    match u64::try_from(seconds) {
        Ok(0) | Err(_) => DEFAULT_TIMEOUT,
        Ok(seconds) => Duration::from_secs(seconds),
    }
}

const fn self_payment(allowed: bool) -> SelfPayment {
    if allowed {
        SelfPayment::Allow
    } else {
        SelfPayment::Refuse
    }
}

/// LND allows a route to lock money for a fortnight; the sandbox never does for over a week.
const CLTV_LIMIT_MAX: u32 = 2_016;
const CLTV_ALWAYS_KEPT: u32 = 1_008;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const PUBKEY_LEN: usize = 33;

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn refusal(request: &routerrpc::SendPaymentRequest) -> (Code, String) {
        let status = parse_request(request).unwrap_err();
        (status.code(), status.message().to_owned())
    }

    /// A request that is refused for its text, if for nothing else.
    fn with(
        change: impl FnOnce(&mut routerrpc::SendPaymentRequest),
    ) -> routerrpc::SendPaymentRequest {
        let mut request = routerrpc::SendPaymentRequest {
            payment_request: "garbage".to_owned(),
            ..routerrpc::SendPaymentRequest::default()
        };
        change(&mut request);
        request
    }

    #[test]
    fn requests_lnd_refuses_are_refused_in_its_words() {
        let both_units = "sat and msat arguments are mutually exclusive";
        let negative = "amount cannot be negative";
        let time_pref = "time preference out of range";
        for (request, reason) in [
            (
                with(|new| new.payment_request.clear()),
                "invalid vertex length of 0, want 33",
            ),
            (with(|new| (new.amt, new.amt_msat) = (1, 1)), both_units),
            (
                with(|new| (new.fee_limit_sat, new.fee_limit_msat) = (1, 1)),
                both_units,
            ),
            (with(|new| new.fee_limit_sat = -1), negative),
            (with(|new| new.amt_msat = i64::MIN), negative),
            (with(|new| new.time_pref = 1.5), time_pref),
            (with(|new| new.time_pref = f64::NAN), time_pref),
            (
                with(|new| new.dest = vec![2; 33]),
                "dest and payment_request cannot appear together",
            ),
            (
                with(|new| new.payment_hash = vec![2; 32]),
                "payment_hash and payment_request cannot appear together",
            ),
            (
                with(|new| new.final_cltv_delta = 1),
                "final_cltv_delta and payment_request cannot appear together",
            ),
            (
                with(|new| new.last_hop_pubkey = vec![2; 3]),
                "invalid vertex length of 3, want 33",
            ),
            (
                with(|new| new.cltv_limit = 2_017),
                "total time lock of 2017 exceeds max allowed 2016",
            ),
        ] {
            assert_eq!(refusal(&request), (Code::Unknown, reason.to_owned()));
        }
    }

    #[test]
    fn restrictions_that_cannot_be_kept_are_refused() {
        for request in [
            with(|new| new.outgoing_chan_id = 1),
            with(|new| new.outgoing_chan_ids = vec![1]),
            with(|new| new.last_hop_pubkey = vec![2; 33]),
            with(|new| new.cltv_limit = 40),
            with(|new| new.max_shard_size_msat = 1),
            with(|new| drop(new.dest_custom_records.insert(65_536, vec![1]))),
            with(|new| drop(new.first_hop_custom_records.insert(65_536, vec![1]))),
            with(|new| (new.payment_request, new.dest) = (String::new(), vec![2; 33])),
        ] {
            assert_eq!(refusal(&request).0, Code::Unimplemented);
        }
    }

    #[test]
    fn a_payment_without_an_invoice_is_refused_by_the_older_call_too() {
        let refused = parse_sync_request(&lnrpc::SendRequest::default()).unwrap_err();
        assert_eq!(refused.message(), "invalid key length");
    }

    #[test]
    fn the_older_call_refuses_restrictions_too() {
        let blank = || lnrpc::SendRequest {
            payment_request: "garbage".to_owned(),
            ..lnrpc::SendRequest::default()
        };
        for (request, code) in [
            (blank(), Code::Unknown),
            (
                lnrpc::SendRequest {
                    cltv_limit: 40,
                    ..blank()
                },
                Code::Unimplemented,
            ),
            (
                lnrpc::SendRequest {
                    cltv_limit: u32::MAX,
                    ..blank()
                },
                Code::Unknown,
            ),
            (
                lnrpc::SendRequest {
                    outgoing_chan_id: 1,
                    ..blank()
                },
                Code::Unimplemented,
            ),
            (
                lnrpc::SendRequest {
                    last_hop_pubkey: vec![2; 33],
                    ..blank()
                },
                Code::Unimplemented,
            ),
        ] {
            assert_eq!(parse_sync_request(&request).unwrap_err().code(), code);
        }
    }

    #[test]
    fn every_timeout_is_positive() {
        assert_eq!(timeout(0), DEFAULT_TIMEOUT);
        assert_eq!(timeout(i32::MIN), DEFAULT_TIMEOUT);
        assert_eq!(timeout(5), Duration::from_secs(5));
    }
}
