//! Payment requests.
//!
//! A restriction on the route that cannot be kept is refused, never dropped: its caller relies
//! on it. `max_parts` is not one: into how many parts a payment is split costs its payer nothing.
//! Whether the invoice may be paid is the wallet's to check.

use std::time::Duration;

use l402::{Msat, PaymentHash};
use tollway_lightning::lnd::proto::{lnrpc, routerrpc};
use tonic::Status;

use super::{amount, refuse_set, refused};
use crate::wallet::{NewPayment, SelfPayment, parse_invoice};

/// Reads a payment as LND's newer call takes it.
pub(super) fn parse_request(request: &routerrpc::SendPaymentRequest) -> Result<NewPayment, Status> {
    refuse_set(&[
        ("dest", !request.dest.is_empty()),
        ("payment_hash", !request.payment_hash.is_empty()),
        ("final_cltv_delta", request.final_cltv_delta != 0),
        ("outgoing_chan_id", request.outgoing_chan_id != 0),
        ("outgoing_chan_ids", !request.outgoing_chan_ids.is_empty()),
        ("last_hop_pubkey", !request.last_hop_pubkey.is_empty()),
        ("cltv_limit", is_too_low(i64::from(request.cltv_limit))),
        ("max_shard_size_msat", request.max_shard_size_msat != 0),
        (
            "dest_custom_records",
            !request.dest_custom_records.is_empty(),
        ),
        (
            "first_hop_custom_records",
            !request.first_hop_custom_records.is_empty(),
        ),
    ])?;
    let fee_max = amount::either(request.fee_limit_sat, request.fee_limit_msat).map_err(refused)?;
    let amount = amount::either(request.amt, request.amt_msat).map_err(refused)?;
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
    refuse_set(&[
        ("outgoing_chan_id", request.outgoing_chan_id != 0),
        ("last_hop_pubkey", !request.last_hop_pubkey.is_empty()),
        ("cltv_limit", is_too_low(i64::from(request.cltv_limit))),
        (
            "dest_custom_records",
            !request.dest_custom_records.is_empty(),
        ),
    ])?;
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

/// Whether a limit on the time lock, zero for none, could bind.
const fn is_too_low(cltv_limit: i64) -> bool {
    cltv_limit != 0 && cltv_limit < CLTV_ALWAYS_KEPT
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

/// No route of the sandbox locks money for more blocks: a week.
const CLTV_ALWAYS_KEPT: i64 = 1_008;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn code<T>(refused: Result<T, Status>) -> Code {
        refused.err().unwrap().code()
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
    fn restrictions_that_cannot_be_kept_are_refused() {
        for request in [
            with(|new| new.dest = vec![2; 33]),
            with(|new| new.payment_hash = vec![2; 32]),
            with(|new| new.final_cltv_delta = 1),
            with(|new| new.outgoing_chan_id = 1),
            with(|new| new.outgoing_chan_ids = vec![1]),
            with(|new| new.last_hop_pubkey = vec![2; 33]),
            with(|new| new.cltv_limit = 40),
            with(|new| new.cltv_limit = -1),
            with(|new| new.max_shard_size_msat = 1),
            with(|new| drop(new.dest_custom_records.insert(65_536, vec![1]))),
            with(|new| drop(new.first_hop_custom_records.insert(65_536, vec![1]))),
        ] {
            assert_eq!(code(parse_request(&request)), Code::Unimplemented);
        }
        // Refused for its text alone.
        let no_limit = with(|new| new.cltv_limit = 1_008);
        assert_eq!(code(parse_request(&no_limit)), Code::Unknown);
    }

    #[test]
    fn the_older_call_refuses_restrictions_too() {
        let blank = lnrpc::SendRequest::default;
        for request in [
            lnrpc::SendRequest {
                cltv_limit: 40,
                ..blank()
            },
            lnrpc::SendRequest {
                outgoing_chan_id: 1,
                ..blank()
            },
            lnrpc::SendRequest {
                last_hop_pubkey: vec![2; 33],
                ..blank()
            },
        ] {
            assert_eq!(code(parse_sync_request(&request)), Code::Unimplemented);
        }
        assert_eq!(code(parse_sync_request(&blank())), Code::Unknown);
    }

    #[test]
    fn every_timeout_is_positive() {
        assert_eq!(timeout(0), DEFAULT_TIMEOUT);
        assert_eq!(timeout(i32::MIN), DEFAULT_TIMEOUT);
        assert_eq!(timeout(5), Duration::from_secs(5));
    }
}
