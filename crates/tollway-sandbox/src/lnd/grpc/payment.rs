//! How are payments made, watched and listed through LND's API?
//!
//! Nothing here decides about money: `new_payment` reads the limits from the request, and
//! the wallet keeps to them.

use futures_util::{StreamExt as _, stream};
use l402::PaymentHash;
use time::OffsetDateTime;
use tollway_lightning::lnd::proto::{lnrpc, routerrpc};
use tonic::Status;

use super::page::{self, Direction, Page};
use super::{LndService, ResponseStream, new_payment, payreq, refused, route};
use crate::wallet::{PayError, PaymentRecord, PaymentStatus, PaymentWatch};

impl LndService {
    /// Pays and answers with every step, the last of them final.
    pub(super) fn pay(
        &self,
        request: &routerrpc::SendPaymentRequest,
    ) -> Result<ResponseStream<lnrpc::Payment>, Status> {
        let new = new_payment::parse_request(request)?;
        let watch = self.wallet.pay(&new).map_err(not_begun)?;
        Ok(self.follow(watch, Updates::asked(request.no_inflight_updates)))
    }

    pub(super) fn watch_payment(
        &self,
        request: &routerrpc::TrackPaymentRequest,
    ) -> Result<ResponseStream<lnrpc::Payment>, Status> {
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
        let (new, hash) = new_payment::parse_sync_request(request)?;
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

    fn follow(&self, watch: PaymentWatch, updates: Updates) -> ResponseStream<lnrpc::Payment> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
