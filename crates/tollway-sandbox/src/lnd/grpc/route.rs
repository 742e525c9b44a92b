//! Payments and their routes as LND describes them.

use l402::Msat;
use tollway_lightning::lnd::proto::lnrpc;
use tollway_lightning::lnd::proto::lnrpc::failure::FailureCode;
use tollway_lightning::lnd::proto::lnrpc::htlc_attempt::HtlcStatus;
use tollway_lightning::lnd::proto::lnrpc::payment::PaymentStatus as LndStatus;

use super::amount::whole_sat;
use super::int64;
use crate::wallet::{Attempt, AttemptStatus, FailureReason, Hop, PaymentRecord, PaymentStatus};

/// Describes a payment for every call.
pub(super) fn describe(record: &PaymentRecord) -> lnrpc::Payment {
    let (status, preimage, fee) = match &record.status {
        PaymentStatus::Failed(_) => (LndStatus::Failed, UNKNOWN_PREIMAGE.to_owned(), Msat::ZERO),
        PaymentStatus::InFlight => (LndStatus::InFlight, UNKNOWN_PREIMAGE.to_owned(), Msat::ZERO),
        PaymentStatus::Succeeded { preimage, fee } => {
            (LndStatus::Succeeded, preimage.expose_hex(), *fee)
        }
    };
    let mut payment = lnrpc::Payment {
        payment_hash: record.hash.to_string(),
        value_sat: int64(whole_sat(record.amount)),
        value_msat: int64(record.amount.as_msat()),
        creation_date: int64(record.created_at_nanos.div_euclid(NANOS_PER_SEC)),
        creation_time_ns: int64(record.created_at_nanos),
        payment_preimage: preimage,
        payment_request: record.bolt11.to_string(),
        fee_sat: int64(whole_sat(fee)),
        fee_msat: int64(fee.as_msat()),
        htlcs: attempts(record),
        payment_index: record.payment_index,
        ..lnrpc::Payment::default()
    };
    payment.set_status(status);
    payment.set_failure_reason(failure_reason(&record.status));
    payment
}

/// The route of the attempt that succeeded, if one has.
pub(super) fn taken(record: &PaymentRecord) -> Option<lnrpc::Route> {
    let succeeded = |attempt: &&Attempt| matches!(attempt.status, AttemptStatus::Succeeded { .. });
    let attempt = record.attempts.iter().find(succeeded)?;
    Some(route(attempt))
}

/// Why a payment failed, as LND's newer calls name it.
pub(super) const fn failure_reason(status: &PaymentStatus) -> lnrpc::PaymentFailureReason {
    use lnrpc::PaymentFailureReason as Lnd;
    match status {
        PaymentStatus::Failed(reason) => match reason {
            FailureReason::Error => Lnd::FailureReasonError,
            FailureReason::IncorrectPaymentDetails => Lnd::FailureReasonIncorrectPaymentDetails,
            FailureReason::InsufficientBalance => Lnd::FailureReasonInsufficientBalance,
            FailureReason::NoRoute => Lnd::FailureReasonNoRoute,
            FailureReason::Timeout => Lnd::FailureReasonTimeout,
        },
        PaymentStatus::InFlight | PaymentStatus::Succeeded { .. } => Lnd::FailureReasonNone,
    }
}

/// Why a payment failed, as LND's older call words it.
pub(super) const fn failure_text(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::Error => "error",
        FailureReason::IncorrectPaymentDetails => "incorrect_payment_details",
        FailureReason::InsufficientBalance => "insufficient_balance",
        FailureReason::NoRoute => "no_route",
        FailureReason::Timeout => "timeout",
    }
}

/// The attempts that have a route: lncli reads the last hop of each without looking.
fn attempts(record: &PaymentRecord) -> Vec<lnrpc::HtlcAttempt> {
    record
        .attempts
        .iter()
        .filter(|attempt| !attempt.hops.is_empty())
        .map(|attempt| self::attempt(record, attempt))
        .collect()
}

fn attempt(record: &PaymentRecord, attempt: &Attempt) -> lnrpc::HtlcAttempt {
    let (status, resolved_at) = match attempt.status {
        AttemptStatus::Failed { at_nanos } => (HtlcStatus::Failed, at_nanos),
        AttemptStatus::InFlight => (HtlcStatus::InFlight, 0),
        AttemptStatus::Succeeded { at_nanos } => (HtlcStatus::Succeeded, at_nanos),
    };
    let preimage = match (&record.status, status) {
        (PaymentStatus::Succeeded { preimage, .. }, HtlcStatus::Succeeded) => {
            preimage.expose().to_vec()
        }
        (_, HtlcStatus::Failed | HtlcStatus::InFlight | HtlcStatus::Succeeded) => vec![],
    };
    lnrpc::HtlcAttempt {
        attempt_id: attempt.id,
        status: status.into(),
        route: Some(route(attempt)),
        attempt_time_ns: int64(attempt.sent_at_nanos),
        resolve_time_ns: int64(resolved_at),
        failure: (status == HtlcStatus::Failed).then(|| failure(record, attempt)),
        preimage,
    }
}

/// What is known of a failed attempt: that the payee refused, or nothing.
fn failure(record: &PaymentRecord, attempt: &Attempt) -> lnrpc::Failure {
    let refused = record.status == PaymentStatus::Failed(FailureReason::IncorrectPaymentDetails);
    let (code, source) = if refused {
        let payee = u32::try_from(attempt.hops.len()).unwrap_or_default();
        (FailureCode::IncorrectOrUnknownPaymentDetails, payee)
    } else {
        (FailureCode::UnknownFailure, 0)
    };
    lnrpc::Failure {
        code: code.into(),
        failure_source_index: source,
        ..lnrpc::Failure::default()
    }
}

fn route(attempt: &Attempt) -> lnrpc::Route {
    lnrpc::Route {
        total_time_lock: attempt.total_time_lock,
        total_fees: int64(whole_sat(attempt.fee)),
        total_fees_msat: int64(attempt.fee.as_msat()),
        total_amt: int64(whole_sat(attempt.total)),
        total_amt_msat: int64(attempt.total.as_msat()),
        hops: attempt.hops.iter().map(hop).collect(),
        ..lnrpc::Route::default()
    }
}

fn hop(hop: &Hop) -> lnrpc::Hop {
    lnrpc::Hop {
        chan_id: hop.channel_id,
        expiry: hop.expiry_height,
        amt_to_forward_msat: int64(hop.forwards.as_msat()),
        fee_msat: int64(hop.fee.as_msat()),
        pub_key: hop.node.to_string(),
        tlv_payload: true,
        ..lnrpc::Hop::default()
    }
}

const NANOS_PER_SEC: u64 = 1_000_000_000;
/// What LND shows before it knows the preimage.
const UNKNOWN_PREIMAGE: &str = "0000000000000000000000000000000000000000000000000000000000000000";
