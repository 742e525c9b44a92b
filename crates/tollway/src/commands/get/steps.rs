//! The steps of a request in the log, as `-v` shows them.

use tollway_client::{Event, Presented, Resumption};
use tracing::info;

/// Logs a step. It carries neither tokens nor preimages.
#[expect(clippy::too_many_lines, reason = "a line per step")]
pub(super) fn log(event: &Event) {
    match event {
        Event::BookBusy { file } => info!("waiting for {}", file.display()),
        Event::Challenged { status, challenges } => {
            info!("asked to pay: {status}, challenges {challenges}");
        }
        Event::InUse { payment_hash } => info!(
            "every use left of the token {:.8} is held: waiting",
            payment_hash.to_string()
        ),
        Event::Kept { payment_hash } => info!("stored the token {:.8}", payment_hash.to_string()),
        Event::NotKept { reason, .. } => info!("could not store the token: {reason}"),
        Event::Paid { price, fee, .. } => info!("paid {price}, fee {fee}"),
        Event::Paying { payment_hash } => info!("paying {payment_hash}"),
        Event::Quoted {
            price,
            network,
            expires_at,
            ..
        } => info!(
            "the price is {price} on {network}, payable until {}",
            crate::moment::show(*expires_at)
        ),
        Event::Redirected { origin, path } => info!("redirected to {origin}{path}"),
        Event::Refused {
            payment_hash,
            reason,
        } => info!(
            "the token {:.8} was refused: {reason}",
            payment_hash.to_string()
        ),
        Event::Replacing {
            payment_hash,
            reason,
            ..
        } => info!(
            "the token {:.8} does not buy this: {reason}",
            payment_hash.to_string()
        ),
        Event::Reoffered {
            payment_hash,
            price,
        } => info!("offering the invoice {payment_hash} of {price} again"),
        Event::Reserved { price, fee_max, .. } => {
            info!("reserved {price} and up to {fee_max} of fee");
        }
        Event::Responded { status } => info!("responded {status}"),
        Event::Resumed {
            payment_hash,
            outcome,
            ..
        } => match outcome {
            Resumption::Kept => info!("the earlier payment {payment_hash} was made"),
            Resumption::NotPaid { reason } => {
                info!("the earlier payment {payment_hash} was not made: {reason}");
            }
            Resumption::Open { reason } => {
                info!("the earlier payment {payment_hash} is not settled: {reason}");
            }
        },
        Event::Retrying { payment_hash } => info!(
            "presenting the token {:.8} once more",
            payment_hash.to_string()
        ),
        Event::SecondAuthorization { origin } => {
            info!("the token for {origin} will be in a second Authorization header");
        }
        Event::Sending {
            origin,
            path,
            presented,
            ..
        } => match presented {
            Presented::Bought(hash) => info!(
                "sending to {origin}{path} with the token {:.8}, just bought",
                hash.to_string()
            ),
            Presented::Nothing => info!("sending to {origin}{path} without a token"),
            Presented::Stored(hash) => info!(
                "sending to {origin}{path} with the stored token {:.8}",
                hash.to_string()
            ),
        },
        Event::Waiting { origin, path } => {
            info!("waiting for another process that buys {origin}{path}");
        }
    }
}
