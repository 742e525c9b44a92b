//! Body of a granted response, which finishes the settlement when it ends.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::settlement::{Ending, Settlement, Usage};

pin_project! {
    /// A response body that finishes a [`Settlement`] when it ends or is dropped.
    ///
    /// Its failure does not overtake the head and the data before it, which the committed use
    /// pays for: an HTTP server such as hyper writes nothing more once a body has failed, not
    /// even what it has buffered. It writes that when the body is pending.
    #[derive(Debug)]
    pub struct SettledBody<B: Body> {
        #[pin]
        inner: B,
        settlement: Option<Settlement>,
        bytes: u64,
        // Whether the body was pending last, so that all before it has been written.
        is_flushed: bool,
        // Returned when the body is polled again.
        failure: Option<B::Error>,
    }

    impl<B: Body> PinnedDrop for SettledBody<B> {
        fn drop(this: Pin<&mut Self>) {
            this.finish(Ending::ClientLeft);
        }
    }
}

/// What a body returns when it is polled and not pending.
type PolledFrame<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

impl<B: Body> SettledBody<B> {
    /// Wraps the body of a response whose use has been committed.
    ///
    /// `None` when there is nothing left to settle.
    pub fn new(inner: B, mut settlement: Option<Settlement>) -> Self {
        // A body known to be complete is not polled.
        if inner.is_end_stream()
            && let Some(settlement) = settlement.take()
        {
            settlement.finish(Ending::Complete, Usage::default());
        }
        Self {
            inner,
            settlement,
            bytes: 0,
            is_flushed: false,
            failure: None,
        }
    }

    /// Returns the next frame, a failure only after the body was pending.
    fn poll_flushed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PolledFrame<B>> {
        let this = self.project();
        if let Some(failure) = this.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        let polled = this.inner.poll_frame(cx);
        let was_flushed = mem::replace(this.is_flushed, polled.is_pending());
        if !was_flushed && let Poll::Ready(Some(Err(failure))) = polled {
            *this.failure = Some(failure);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }

    /// Only the first ending counts.
    fn finish(self: Pin<&mut Self>, ending: Ending) {
        let this = self.project();
        if let Some(settlement) = this.settlement.take() {
            settlement.finish(ending, Usage::of_body(*this.bytes));
        }
    }
}

impl<B: Body> Body for SettledBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PolledFrame<B>> {
        let frame = ready!(self.as_mut().poll_flushed(cx));
        match &frame {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, Buf::remaining);
                let len = u64::try_from(len).unwrap_or(u64::MAX);
                let bytes = self.as_mut().project().bytes;
                *bytes = bytes.saturating_add(len);
                if self.inner.is_end_stream() {
                    self.finish(Ending::Complete);
                }
            }
            Some(Err(_)) => self.finish(Ending::ServiceFailed),
            None => self.finish(Ending::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
