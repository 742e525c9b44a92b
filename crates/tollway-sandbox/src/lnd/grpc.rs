//! LND's calls, each implemented once for gRPC and REST alike.
//!
//! Codes are LND's, and so are the texts that programs written for LND match on.

mod amount;
mod invoice;
mod lightning;
mod listing;
mod new_invoice;
mod new_payment;
mod payment;
mod payreq;
mod report;
mod route;
mod router;
pub(super) mod services;
mod state;

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::watch;
use tonic::Status;

use crate::wallet::Wallet;

/// One wallet with the calls of an LND node.
#[derive(Clone, Debug)]
pub(crate) struct LndService {
    wallet: Wallet,
    stopping: watch::Receiver<bool>,
}

impl LndService {
    /// Creates the service of `wallet`, which runs until `stopping` turns true or its sender is gone.
    pub(crate) const fn new(wallet: Wallet, stopping: watch::Receiver<bool>) -> Self {
        Self { wallet, stopping }
    }

    /// Returns a stream that ends, without an error, when the server stops.
    fn until_stopped<T>(
        &self,
        messages: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> ResponseStream<T> {
        let mut stopping = self.stopping.clone();
        Box::pin(messages.take_until(async move {
            // An error means the sender is gone, which is stopping too.
            let _gone = stopping.wait_for(|stopping| *stopping).await;
        }))
    }
}

/// The messages of a streaming call.
pub(crate) type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// LND reports nearly every refusal under this one code, and the reason as its text.
fn refused(reason: impl ToString) -> Status {
    Status::unknown(reason.to_string())
}

/// Refuses a request in which a field is set that the sandbox cannot honour.
fn refuse_set(fields: &[(&str, bool)]) -> Result<(), Status> {
    match fields.iter().find(|(_, is_set)| *is_set) {
        None => Ok(()),
        Some((field, _)) => Err(Status::unimplemented(format!(
            "the sandbox does not support {field}: leave it out"
        ))),
    }
}

/// A number as the signed field it goes into; LND's own numbers never get that large.
fn int64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
