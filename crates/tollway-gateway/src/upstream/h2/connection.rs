//! Handle of an open HTTP/2 connection, whose frames a task of its own reads and writes.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::SendRequest;

/// Opens streams on one HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Http2Sender {
    pub(crate) requests: SendRequest<Bytes>,
    /// Whether no other stream can be opened.
    pub(crate) has_ended: Rc<Cell<bool>>,
}

impl Http2Sender {
    /// Returns whether the connection takes another request, now or later.
    pub(crate) fn is_open(&mut self, cx: &mut Context<'_>) -> bool {
        if matches!(self.requests.poll_ready(cx), Poll::Ready(Err(_))) {
            self.has_ended.set(true);
        }
        !self.has_ended.get()
    }
}
