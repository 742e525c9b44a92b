//! How are payments made, watched and listed through LND's API?
//!
//! Nothing here decides about money: limits are read from the request, and the wallet keeps
//! to them. A restriction that cannot be kept is refused, never dropped.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use l402::{Msat, PaymentHash};
use lightning_invoice::Bolt11Invoice;
use time::OffsetDateTime;
use tollway_lightning::lnd::proto::{lnrpc, routerrpc};
use tonic::Status;

use super::amount;
use super::page::{self, Direction, Page};
use super::{Answers, Node, payreq, refused, route};
use crate::wallet::{
    NewPayment, PayError, PaymentRecord, PaymentStatus, PaymentWatch, SelfPayment,
};

impl Node {
    /// Pays and answers with every step, the last of them final.
    pub(super) fn pay(
        &self,
        request: &routerrpc::SendPaymentRequest,
    ) -> Result<Answers<lnrpc::Payment>, Status> {
        let new = read_new(request)?;
        let watch = self.wallet.pay(&new).map_err(not_begun)?;
        Ok(self.follow(watch, Updates::asked(request.no_inflight_updates)))
    }

    pub(super) fn watch_payment(
        &self,
        request: &routerrpc::TrackPaymentRequest,
    ) -> Result<Answers<lnrpc::Payment>, Status> {
        let hash = <[u8; 32]>::try_from(request.payment_hash.as_slice()).map_err(|_wrong| {
            let len = request.payment_hash.len();
            refused(format!("invalid hash length of {len}, want 32"))
        })?;
        let watch = self
            .wallet
            .watch_payment(&PaymentHash::new(hash))
            .ok_or_else(|| Status::not_found("payment isn't initiated"))?;
        Ok(self.follow(watch, Updates::asked(request.no_inflight_updates)))
    }

    /// Pays and answers when it is over; most failures are part of the answer.
    pub(super) async fn pay_and_wait(
        &self,
        request: &lnrpc::SendRequest,
    ) -> Result<lnrpc::SendResponse, Status> {
        let (new, hash) = read_new_sync(request)?;
        let watch = match self.wallet.pay(&new) {
            Ok(watch) => watch,
            Err(error @ (PayError::AlreadyPaid { .. } | PayError::InFlight { .. })) => {
                return Ok(unpaid(hash, error.to_string()));
            }
            Err(error) => return Err(not_begun(error)),
        };
        let record = watch.ended().await;
        match &record.status {
            PaymentStatus::Failed(reason) => Ok(unpaid(hash, route::failure_text(*reason))),
            PaymentStatus::InFlight => Err(Status::unavailable(
                "the sandbox stopped while the payment was in transition",
            )),
            PaymentStatus::Succeeded { preimage, .. } => Ok(lnrpc::SendResponse {
                payment_error: String::new(),
                payment_preimage: preimage.expose().to_vec(),
                payment_route: route::taken(&record),
                payment_hash: hash.as_bytes().to_vec(),
            }),
        }
    }

    pub(super) fn page_of_payments(
        &self,
        request: &lnrpc::ListPaymentsRequest,
    ) -> Result<lnrpc::ListPaymentsResponse, Status> {
        let (start, end) = (request.creation_date_start, request.creation_date_end);
        page::check_dates(start, end).map_err(refused)?;
        let page = Page {
            offset: request.index_offset,
            limit: request.max_payments,
            direction: if request.reversed {
                Direction::Reversed
            } else {
                Direction::Forward
            },
        };
        let shown = |record: &PaymentRecord| {
            let succeeded = matches!(record.status, PaymentStatus::Succeeded { .. });
            let created_at = record.created_at_nanos.div_euclid(1_000_000_000);
            page::in_dates(created_at, start, end) && (succeeded || request.include_incomplete)
        };
        let all = self.wallet.payments(0, usize::MAX);
        let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
        let records = page::select(page, all, |record| record.payment_index, shown);
        let index = |record: Option<&PaymentRecord>| record.map_or(0, |found| found.payment_index);
        Ok(lnrpc::ListPaymentsResponse {
            payments: records.iter().map(route::describe).collect(),
            first_index_offset: index(records.first()),
            last_index_offset: index(records.last()),
            total_num_payments: if request.count_total_payments {
                total
            } else {
                0
            },
        })
    }

    fn follow(&self, watch: PaymentWatch, updates: Updates) -> Answers<lnrpc::Payment> {
        let begun = Some((Some(watch.current()), watch));
        let steps = stream::unfold(begun, |going_on| async move {
            let (first, mut watch) = going_on?;
            let record = match first {
                Some(first) => first,
                None => watch.changed().await?,
            };
            let going_on = record.status == PaymentStatus::InFlight;
            Some((record, going_on.then_some((None, watch))))
        });
        let answers = steps.filter_map(move |record| async move {
            updates
                .include(&record)
                .then(|| Ok(route::describe(&record)))
        });
        self.until_stopped(answers)
    }
}

/// Which steps of a payment a client wants to see.
#[derive(Clone, Copy)]
enum Updates {
    All,
    FinalOnly,
}

impl Updates {
    const fn asked(no_inflight_updates: bool) -> Self {
        if no_inflight_updates {
            Self::FinalOnly
        } else {
            Self::All
        }
    }

    fn include(self, record: &PaymentRecord) -> bool {
        match self {
            Self::All => true,
            Self::FinalOnly => record.status != PaymentStatus::InFlight,
        }
    }
}

/// Reads a payment as LND's newer call takes it.
fn read_new(request: &routerrpc::SendPaymentRequest) -> Result<NewPayment, Status> {
    check_restrictions(request)?;
    let fee_max = amount::either(request.fee_limit_sat, request.fee_limit_msat).map_err(refused)?;
    let amount = amount::either(request.amt, request.amt_msat).map_err(refused)?;
    check_target(request)?;
    let invoice = payreq::read(&request.payment_request).map_err(refused)?;
    let amount = Some(amount).filter(|amount| !amount.is_zero());
    match (named_amount(&invoice), amount) {
        (None, None) => Err(refused(PayError::AmountMissing)),
        (Some(_), Some(_)) => Err(refused(PayError::AmountGiven)),
        (Some(_), None) | (None, Some(_)) => Ok(NewPayment {
            bolt11: request.payment_request.clone(),
            amount,
            fee_max,
            timeout: timeout(request.timeout_seconds),
            self_payment: self_payment(request.allow_self_payment),
        }),
    }
}

/// Reads a payment as LND's older call takes it: an amount beside a named one is ignored.
fn read_new_sync(request: &lnrpc::SendRequest) -> Result<(NewPayment, PaymentHash), Status> {
    if request.payment_request.is_empty() {
        return Err(refused("invalid key length"));
    }
    if request.outgoing_chan_id != 0 {
        return Err(unkept("outgoing_chan_id"));
    }
    if !request.last_hop_pubkey.is_empty() {
        return Err(unkept("last_hop_pubkey"));
    }
    let invoice = payreq::read(&request.payment_request).map_err(refused)?;
    let given = match named_amount(&invoice) {
        Some(_) => None,
        None => Some(amount::either(request.amt, request.amt_msat).map_err(refused)?)
            .filter(|given| !given.is_zero()),
    };
    let amount = named_amount(&invoice)
        .or(given)
        .ok_or_else(|| refused(PayError::AmountMissing))?;
    let new = NewPayment {
        bolt11: request.payment_request.clone(),
        amount: given,
        fee_max: amount::fee_max(request.fee_limit.as_ref(), amount).map_err(refused)?,
        timeout: DEFAULT_TIMEOUT,
        self_payment: self_payment(request.allow_self_payment),
    };
    let hash = PaymentHash::new(*invoice.payment_hash().as_ref());
    Ok((new, hash))
}

fn named_amount(invoice: &Bolt11Invoice) -> Option<Msat> {
    invoice.amount_milli_satoshis().map(Msat::from_msat)
}

/// Restrictions on the route, in the order LND looks at them.
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
        return Err(unkept("outgoing_chan_ids"));
    }
    match request.last_hop_pubkey.len() {
        0 => {}
        PUBKEY_LEN => return Err(unkept("last_hop_pubkey")),
        len => return Err(wrong_vertex(len)),
    }
    check_cltv_limit(request.cltv_limit)?;
    if request.max_shard_size_msat != 0 {
        return Err(unkept("max_shard_size_msat"));
    }
    Ok(())
}

fn check_cltv_limit(limit: i32) -> Result<(), Status> {
    match u32::try_from(limit) {
        Ok(0 | CLTV_ALWAYS_KEPT..=CLTV_LIMIT_MAX) => Ok(()),
        Ok(1..CLTV_ALWAYS_KEPT) => Err(unkept("cltv_limit")),
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

fn unkept(field: &str) -> Status {
    Status::unimplemented(format!(
        "the sandbox chooses its route itself: leave {field} out"
    ))
}

/// LND's minute for zero; it takes a negative timeout for none, which nobody should wait for.
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

fn unpaid(hash: PaymentHash, reason: impl Into<String>) -> lnrpc::SendResponse {
    lnrpc::SendResponse {
        payment_error: reason.into(),
        payment_hash: hash.as_bytes().to_vec(),
        ..lnrpc::SendResponse::default()
    }
}

/// Why a payment was not begun, under LND's code and in its words.
fn not_begun(error: PayError) -> Status {
    match error {
        PayError::AlreadyPaid { .. } | PayError::InFlight { .. } => {
            Status::already_exists(error.to_string())
        }
        PayError::Expired { expired_at, .. } => refused(expired(expired_at.as_secs())),
        PayError::AmountGiven | PayError::AmountMissing | PayError::SelfPayment => refused(error),
        PayError::Stopped => Status::unavailable(error.to_string()),
        PayError::Unreadable { reason } => refused(reason),
        PayError::WrongNetwork { .. } => refused(payreq::PayReqError::Network),
    }
}

fn expired(at: u64) -> String {
    let at = i64::try_from(at)
        .ok()
        .and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = at.to_hms();
    let date = at.date();
    format!("invoice expired. Valid until {date} {hour:02}:{minute:02}:{second:02} +0000 UTC")
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
        let status = read_new(request).unwrap_err();
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
            (with(|_| {}), "invalid bech32 string length 7"),
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
            with(|new| (new.payment_request, new.dest) = (String::new(), vec![2; 33])),
        ] {
            assert_eq!(refusal(&request).0, Code::Unimplemented);
        }
    }

    #[test]
    fn a_payment_without_an_invoice_is_refused_by_the_older_call_too() {
        let refused = read_new_sync(&lnrpc::SendRequest::default()).unwrap_err();
        assert_eq!(refused.message(), "invalid key length");
    }

    #[test]
    fn an_expiry_is_written_as_go_writes_it() {
        assert_eq!(
            expired(1_795_212_671),
            "invoice expired. Valid until 2026-11-20 22:11:11 +0000 UTC"
        );
        assert_eq!(
            expired(u64::MAX),
            "invoice expired. Valid until 1970-01-01 00:00:00 +0000 UTC"
        );
    }

    #[test]
    fn every_timeout_is_positive() {
        assert_eq!(timeout(0), DEFAULT_TIMEOUT);
        assert_eq!(timeout(i32::MIN), DEFAULT_TIMEOUT);
        assert_eq!(timeout(5), Duration::from_secs(5));
    }
}
