//! The body of a granted response, which finishes the settlement when it ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::settlement::{Ending, Settlement, Usage};

pin_project! {
    /// A response body that finishes a [`Settlement`] when it ends or is dropped.
    #[derive(Debug)]
    pub struct SettledBody<B> {
        #[pin]
        inner: B,
        settlement: Option<Settlement>,
        bytes: u64,
    }

    impl<B> PinnedDrop for SettledBody<B> {
        fn drop(this: Pin<&mut Self>) {
            finish(this, Ending::ClientLeft);
        }
    }
}

impl<B: Body> SettledBody<B> {
    /// Wraps the body of a response. `None` when there is nothing left to settle.
    pub(super) fn new(inner: B, settlement: Option<Settlement>) -> Self {
        Self {
            inner,
            settlement,
            bytes: 0,
        }
    }
}

impl<B: Body> Body for SettledBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.as_mut().project();
        let frame = ready!(this.inner.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, Buf::remaining);
                let len = u64::try_from(len).unwrap_or(u64::MAX);
                *this.bytes = this.bytes.saturating_add(len);
                if self.inner.is_end_stream() {
                    finish(self, Ending::Complete);
                }
            }
            Some(Err(_)) => finish(self, Ending::ServiceFailed),
            None => finish(self, Ending::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Only the first ending counts.
fn finish<B>(body: Pin<&mut SettledBody<B>>, ending: Ending) {
    let this = body.project();
    if let Some(settlement) = this.settlement.take() {
        settlement.finish(ending, Usage::of_body(*this.bytes));
    }
}
