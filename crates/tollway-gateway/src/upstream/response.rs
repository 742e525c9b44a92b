//! Response of an upstream, whose body holds the connection it arrives on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::upstream::lease::Lease;

/// A response whose body holds the connection it arrives on.
pub(crate) type Response = http::Response<ResponseBody>;

/// The body of an upstream's response.
///
/// The connection goes back to its pool with the last frame. Dropped earlier, it is
/// closed (HTTP/1.1) or the stream is reset (HTTP/2), so that the upstream stops sending.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    body: Incoming,
    lease: Option<Lease>,
}

impl ResponseBody {
    pub(crate) fn new(body: Incoming, lease: Lease) -> Self {
        let mut this = Self {
            body,
            lease: Some(lease),
        };
        this.release_at_end();
        this
    }

    /// The empty body of a connection that has been upgraded to another protocol.
    pub(crate) fn upgraded(body: Incoming) -> Self {
        Self { body, lease: None }
    }

    fn release_at_end(&mut self) {
        if self.body.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.release();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => {
                if let Some(lease) = self.lease.take() {
                    lease.release();
                }
            }
            Poll::Ready(Some(Ok(_))) => self.release_at_end(),
            // A connection with an unfinished response cannot be used again: dropping closes it.
            Poll::Ready(Some(Err(_))) => drop(self.lease.take()),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
