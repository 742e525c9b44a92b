//! Drains the body of a refused request.
//!
//! A request may be refused before its body has arrived. Closing the connection over
//! unread data makes the kernel reset it, and the client could lose the response that
//! states the price. So a bounded part is read and discarded: enough for an ordinary
//! request, which can then be repeated on the same connection.

use std::time::Duration;

use http::request::Parts;
use http::{Version, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// Reads and discards the body of a refused request, within limits, in a task of its own.
pub(crate) fn drain(head: &Parts, mut body: Incoming) {
    // A client that expects `100 Continue` has sent nothing. HTTP/2 can end one stream
    // and keep the connection.
    let expects_continue = head.headers.contains_key(header::EXPECT);
    if body.is_end_stream() || expects_continue || head.version == Version::HTTP_2 {
        return;
    }
    tokio::task::spawn_local(async move {
        let _timed_out = tokio::time::timeout(TIME_MAX, async {
            let mut left = BYTES_MAX;
            while let Some(Ok(frame)) = body.frame().await {
                let len = frame.data_ref().map_or(0, bytes::Bytes::len);
                left = match left.checked_sub(len) {
                    Some(left) => left,
                    None => return,
                };
            }
        })
        .await;
    });
}

const BYTES_MAX: usize = 256 * 1024;
const TIME_MAX: Duration = Duration::from_secs(5);
