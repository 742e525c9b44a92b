//! Response body within the time limits of its client.
//!
//! The body streams. It ends with an error when it pauses for longer than
//! [`Connections::idle_timeout`](crate::Connections::idle_timeout), and when it is not whole at
//! the deadline of its request. The pause is counted while a reader waits, so a slow reader is
//! no error. After an error the connection is closed.
//!
//! That a body did, or did not, arrive whole is written before its reader learns it, where that
//! matters: see [`Delivery`].
//!
//! A body is whole when the protocol has marked its end: the length that the head states, the
//! last chunk, END_STREAM. `hyper` and `h2` compare the lengths. One end is left to check: a
//! stream of HTTP/2 that the server resets with NO_ERROR or CANCEL ends without an error in
//! `hyper`, wherever the body was.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::delivery::{Confirmation, Delivery, Written};
use crate::error::{Error, Receipt, TransportError};
use crate::origin::Origin;

/// The body of a response, as it arrives.
///
/// Its errors are those of [`Client::send`](crate::Client::send):
/// [`Error::PaidButUndelivered`] when the request was paid for, [`Error::Transport`] otherwise.
pub struct ResponseBody {
    /// `None` after the end and after an error.
    incoming: Option<Incoming>,
    version: Version,
    origin: Origin,
    /// What the request has paid.
    receipt: Option<Receipt>,
    idle_timeout: Duration,
    /// Runs while the next frame is waited for.
    pause: Option<Pin<Box<Sleep>>>,
    deadline: Option<(Deadline, Pin<Box<Sleep>>)>,
    /// `None` where nothing is to be written, or the caller has taken it.
    delivery: Option<Delivery>,
    /// What is being written about the end of the body, and the error that it ends with.
    ending: Option<(Written, Option<Error>)>,
}

/// When a request has to be finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    /// The time that the request was given, for errors.
    limit: Duration,
}

impl Deadline {
    /// Returns the deadline of a request that starts at this moment; `None` when it is too far
    /// away to be represented.
    pub(crate) fn after(limit: Duration) -> Option<Self> {
        let at = Instant::now().checked_add(limit)?;
        Some(Self { at, limit })
    }

    pub(crate) fn error(&self, origin: &Origin) -> TransportError {
        TransportError::OutOfTime {
            origin: origin.clone(),
            limit: self.limit,
        }
    }
}

impl ResponseBody {
    pub(crate) fn new(
        incoming: Incoming,
        version: Version,
        origin: Origin,
        receipt: Option<Receipt>,
        idle_timeout: Duration,
        deadline: Option<Deadline>,
        delivery: Option<Delivery>,
    ) -> Self {
        let timer =
            |deadline: Deadline| (deadline, Box::pin(tokio::time::sleep_until(deadline.at)));
        Self {
            incoming: Some(incoming),
            version,
            origin,
            receipt,
            idle_timeout,
            pause: None,
            deadline: deadline.map(timer),
            delivery,
            ending: None,
        }
    }

    /// Takes what records the delivery of the response out of the body, where the caller
    /// [confirms it](crate::ClientBuilder::confirm_deliveries). `None` where nothing is to be
    /// recorded, and when it was taken.
    #[must_use]
    pub fn take_delivery(&mut self) -> Option<Delivery> {
        self.delivery
            .take_if(|delivery| delivery.confirmation() == Confirmation::ByCaller)
    }

    fn fail(
        &mut self,
        error: TransportError,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.incoming = None;
        let error = Error::of_request(error, self.receipt.as_ref());
        let delivery = self.delivery.take();
        match delivery.and_then(|mut delivery| delivery.end_lost()) {
            Some(written) => {
                self.ending = Some((written, Some(error)));
                self.poll_ending(cx)
            }
            None => Poll::Ready(Some(Err(error))),
        }
    }

    /// Ends a body that has arrived whole.
    fn end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.incoming = None;
        let ended = self
            .own_delivery()
            .and_then(|mut delivery| delivery.end_whole());
        match ended {
            Some(written) => {
                self.ending = Some((written, None));
                self.poll_ending(cx)
            }
            None => Poll::Ready(None),
        }
    }

    /// Takes the delivery, if the end of the body decides about it.
    fn own_delivery(&mut self) -> Option<Delivery> {
        self.delivery
            .take_if(|delivery| delivery.confirmation() == Confirmation::AtEnd)
    }

    /// Returns the end of the body, once it is written.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some((written, _error)) = &mut self.ending {
            // Failing to counts the use as lost: nothing is bought in its place unasked.
            let _written_or_shutting_down = ready!(Pin::new(written).poll(cx));
        }
        let error = self.ending.take().and_then(|(_written, error)| error);
        Poll::Ready(error.map(Err))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this.ending.is_some() {
            return this.poll_ending(cx);
        }
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        if let Some((deadline, timer)) = &mut this.deadline
            && timer.as_mut().poll(cx).is_ready()
        {
            let error = deadline.error(&this.origin);
            return this.fail(error, cx);
        }
        let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) else {
            let idle = this.idle_timeout;
            let pause = this
                .pause
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
            ready!(pause.as_mut().poll(cx));
            let origin = this.origin.clone();
            let stalled = TransportError::Stalled {
                origin,
                limit: idle,
            };
            return this.fail(stalled, cx);
        };
        this.pause = None;
        match frame {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(source)) => {
                let origin = this.origin.clone();
                this.fail(TransportError::CutOff { origin, source }, cx)
            }
            None if this.version == Version::HTTP_2 && !incoming.is_end_stream() => {
                let origin = this.origin.clone();
                this.fail(TransportError::Reset { origin }, cx)
            }
            None => this.end(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        // A reader that stops here would not wait until its end is written.
        let delivery = self.delivery.as_ref();
        let is_to_be_written =
            delivery.is_some_and(|delivery| delivery.confirmation() == Confirmation::AtEnd);
        let has_ended = self.incoming.as_ref().is_none_or(Body::is_end_stream);
        self.ending.is_none() && !is_to_be_written && has_ended
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.incoming.as_ref().map(Body::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let has_ended = self.incoming.as_ref().is_some_and(Body::is_end_stream);
        if has_ended && let Some(mut delivery) = self.own_delivery() {
            // The reader knew by the length that there is nothing more.
            drop(delivery.end_whole());
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("origin", &self.origin)
            .field("receipt", &self.receipt)
            .finish_non_exhaustive()
    }
}
