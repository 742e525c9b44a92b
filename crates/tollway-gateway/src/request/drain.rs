//! Drains the body of a refused request.
//!
//! A request may be refused before its body has arrived. Closing the connection over
//! unread data makes the kernel reset it, and the client could lose the response that
//! states the price. A body of ordinary length is read and discarded, so that the request
//! can be repeated on the same connection. After a longer one the connection closes, as
//! [`ClientTcp`](crate::conn::tcp::ClientTcp) does it.

use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::{Version, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::conn::registry::Connection;
use crate::request::in_flight::InFlight;
use crate::upstream::upload::Upload;

/// Reads and discards the body of a refused request, within limits, in a task of its own.
pub(crate) fn drain(
    connection: &Connection,
    in_flight: &mut InFlight,
    head: &Parts,
    body: Incoming,
) {
    // A client that expects `100 Continue` has sent nothing. HTTP/2 can end one stream
    // and keep the connection.
    let expects_continue = head.headers.contains_key(header::EXPECT);
    if body.is_end_stream() || expects_continue || head.version == Version::HTTP_2 {
        return;
    }
    if body.size_hint().lower() > BYTES_MAX {
        connection.set_last();
        return;
    }
    let mut body = Upload::new(body, Rc::clone(in_flight.active().activity()));
    in_flight.uploads(body.progress());
    tokio::task::spawn_local(async move {
        let _timed_out = tokio::time::timeout(TIME_MAX, async {
            let mut left = BYTES_MAX;
            while let Some(Ok(frame)) = body.frame().await {
                let len = frame.data_ref().map_or(0, bytes::Bytes::len);
                left = match left.checked_sub(u64::try_from(len).unwrap_or(u64::MAX)) {
                    Some(left) => left,
                    None => return,
                };
            }
        })
        .await;
    });
}

const BYTES_MAX: u64 = 256 * 1024;
const TIME_MAX: Duration = Duration::from_secs(5);
