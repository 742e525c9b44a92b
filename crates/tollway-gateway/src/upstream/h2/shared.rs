//! HTTP/2 connection that several requests share.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use tokio::sync::Notify;

use crate::upstream::connect::ConnectError;
use crate::upstream::h2::connection::Http2Sender;

/// An HTTP/2 connection, open or being opened.
pub(crate) struct SharedConnection {
    sender: Shared<LocalBoxFuture<'static, Result<Http2Sender, ConnectError>>>,
    streams: Cell<usize>,
    /// Whether a request on it was responded to.
    has_responded: Cell<bool>,
    stream_ended: Rc<Notify>,
}

impl SharedConnection {
    /// `stream_ended` is notified whenever a stream ends.
    pub(crate) fn new(
        opening: impl Future<Output = Result<Http2Sender, ConnectError>> + 'static,
        stream_ended: Rc<Notify>,
    ) -> Rc<Self> {
        Rc::new(Self {
            sender: opening.boxed_local().shared(),
            streams: Cell::new(0),
            has_responded: Cell::new(false),
            stream_ended,
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

    /// Returns whether the upstream allows another stream, as far as is known.
    pub(crate) fn has_room(&self) -> bool {
        match self.sender.peek() {
            Some(Ok(sender)) => self.streams() < sender.requests.current_max_send_streams(),
            Some(Err(_)) | None => self.streams() < STREAMS_MAX_UNSTATED,
        }
    }

    /// Waits until the connection is open. All waiting requests share one attempt.
    pub(crate) async fn sender(&self) -> Result<Http2Sender, ConnectError> {
        self.sender.clone().await
    }

    pub(crate) fn is_dead(&self) -> bool {
        match self.sender.peek() {
            Some(Ok(sender)) => sender.has_ended.get(),
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

impl StreamGuard {
    /// Records a response.
    pub(crate) fn mark_responded(&self) {
        self.0.has_responded.set(true);
    }

    /// Returns whether the connection has served a request before.
    pub(crate) fn is_reused(&self) -> bool {
        self.0.has_responded.get()
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
        self.0.stream_ended.notify_one();
    }
}

/// Streams before the upstream has stated its limit: what most allow.
const STREAMS_MAX_UNSTATED: usize = 100;
