//! HTTP/2 connection that several requests share.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use hyper::client::conn::http2;

use crate::upstream::connect::ConnectError;
use crate::upstream::upload::Upload;

/// Sends requests on one HTTP/2 connection.
pub(crate) type Http2Sender = http2::SendRequest<Upload>;

/// An HTTP/2 connection, open or being opened.
pub(crate) struct SharedConnection {
    sender: Shared<LocalBoxFuture<'static, Result<Http2Sender, ConnectError>>>,
    streams: Cell<usize>,
}

impl SharedConnection {
    pub(crate) fn new(
        opening: impl Future<Output = Result<Http2Sender, ConnectError>> + 'static,
    ) -> Rc<Self> {
        Rc::new(Self {
            sender: opening.boxed_local().shared(),
            streams: Cell::new(0),
        })
    }

    /// Counts one more stream, until the guard is dropped.
    pub(crate) fn join(self: &Rc<Self>) -> StreamGuard {
        self.streams.set(self.streams.get().saturating_add(1));
        StreamGuard(Rc::clone(self))
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Waits until the connection is open. All waiting requests share one attempt.
    pub(crate) async fn sender(&self) -> Result<Http2Sender, ConnectError> {
        self.sender.clone().await
    }

    pub(crate) fn is_dead(&self) -> bool {
        match self.sender.peek() {
            Some(Ok(sender)) => sender.is_closed(),
            Some(Err(_)) => true,
            None => false,
        }
    }
}

impl fmt::Debug for SharedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedConnection")
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

/// One stream on a shared connection.
#[derive(Debug)]
pub(crate) struct StreamGuard(Rc<SharedConnection>);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
    }
}
