//! What becomes of an upload nobody wants?
//!
//! A request may be refused before its body has arrived. Closing the connection over the
//! unread rest would make the kernel reset it, and the client could lose the very answer
//! that tells it what to pay. So a little is read and thrown away: enough for an ordinary
//! request, which can then be repeated on the same connection, and no more.

use std::time::Duration;

use http::request::Parts;
use http::{Version, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// Gets rid of the body of a refused request.
pub(crate) fn discard(head: &Parts, mut body: Incoming) {
    // A client that waits for leave to send has sent nothing, and gets no leave. HTTP/2
    // can end one stream and keep the connection.
    let waits = head.headers.contains_key(header::EXPECT);
    if body.is_end_stream() || waits || head.version == Version::HTTP_2 {
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
