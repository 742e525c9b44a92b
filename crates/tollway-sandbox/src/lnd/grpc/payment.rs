//! Payments through LND's API: paying, tracking and listing.
//!
//! Nothing here decides about money: `new_payment` reads the limits from the request, and
//! the wallet keeps to them.

use futures_util::{StreamExt as _, stream};
use l402::PaymentHash;
use tollway_lightning::lnd::proto::{lnrpc, routerrpc};
use tonic::Status;

use super::{LndService, ResponseStream, listing, new_payment, refused, route};
use crate::wallet::{PaymentRecord, PaymentStatus, PaymentWatch, SendError};

impl LndService {
    /// Pays, and returns every step, the last of them final.
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

    /// Pays, and returns when the payment has ended; most failures are part of the response.
    pub(super) async fn pay_and_wait(
        &self,
        request: &lnrpc::SendRequest,
    ) -> Result<lnrpc::SendResponse, Status> {
        let (new, hash) = new_payment::parse_sync_request(request)?;
        let watch = match self.wallet.pay(&new) {
            Ok(watch) => watch,
            Err(error @ (SendError::AlreadyPaid { .. } | SendError::InFlight { .. })) => {
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
    ) -> lnrpc::ListPaymentsResponse {
        let page = listing::page(request.index_offset, request.max_payments, request.reversed);
        let records = self.wallet.page_of_payments(page, &|record| {
            let succeeded = matches!(record.status, PaymentStatus::Succeeded { .. });
            let created_at = record.created_at_nanos.div_euclid(1_000_000_000);
            let (start, end) = (request.creation_date_start, request.creation_date_end);
            listing::is_between(created_at, start, end) && (succeeded || request.include_incomplete)
        });
        let total = u64::try_from(self.wallet.payment_count()).unwrap_or(u64::MAX);
        let index = |record: Option<&PaymentRecord>| record.map_or(0, |found| found.payment_index);
        lnrpc::ListPaymentsResponse {
            payments: records.iter().map(route::describe).collect(),
            first_index_offset: index(records.first()),
            last_index_offset: index(records.last()),
            total_num_payments: if request.count_total_payments {
                total
            } else {
                0
            },
        }
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

/// Which steps of a payment are sent.
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

/// The status of a payment that was not begun, with LND's code and text.
fn not_begun(error: SendError) -> Status {
    match error {
        SendError::AlreadyPaid { .. } | SendError::InFlight { .. } => {
            Status::already_exists(error.to_string())
        }
        SendError::AmountGiven
        | SendError::AmountMissing
        | SendError::Expired { .. }
        | SendError::SelfPayment
        | SendError::WrongNetwork(_) => refused(error),
        SendError::Stopped => Status::unavailable(error.to_string()),
    }
}
