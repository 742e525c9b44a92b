//! Response body within the time limits of its client.
//!
//! The body streams. It ends with an error when it pauses for longer than
//! [`Connections::idle_timeout`](crate::Connections::idle_timeout), and when it is not whole at
//! the deadline of its request. The pause is counted while a reader waits, so a slow reader is
//! no error. After an error the connection is closed.
//!
//! That a body did not arrive whole is stored before its reader learns it, for the credential that
//! it was the response to.
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
use l402::PaymentHash;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};
use tokio_util::task::TaskTracker;

use crate::book::Book;
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
    delivery: Option<Delivery>,
    /// The error that ends the body, until it is stored that it did.
    failing: Option<(JoinHandle<()>, Error)>,
}

/// Where it is stored that a response did not arrive whole.
pub(crate) struct Delivery {
    pub(crate) book: Book,
    pub(crate) tasks: TaskTracker,
    /// The credential that was presented.
    pub(crate) payment_hash: PaymentHash,
}

impl Delivery {
    fn fail(self) -> JoinHandle<()> {
        let (book, hash) = (self.book, self.payment_hash);
        self.tasks.spawn_blocking(move || {
            // Failing to may cost money only where a seller takes a use for an error.
            let _ = book.set_undelivered(&hash, true);
        })
    }
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
            failing: None,
        }
    }

    fn fail(
        &mut self,
        error: TransportError,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.incoming = None;
        let error = Error::of_request(error, self.receipt.as_ref());
        let Some(delivery) = self.delivery.take() else {
            return Poll::Ready(Some(Err(error)));
        };
        self.failing = Some((delivery.fail(), error));
        self.poll_failing(cx)
    }

    /// Returns the error that ends the body, once it is stored that it did.
    fn poll_failing(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some((stored, _error)) = &mut self.failing {
            let _stored_or_shutting_down = ready!(Pin::new(stored).poll(cx));
        }
        Poll::Ready(self.failing.take().map(|(_stored, error)| Err(error)))
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
        if this.failing.is_some() {
            return this.poll_failing(cx);
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
            None => {
                this.incoming = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failing.is_none() && self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.incoming.as_ref().map(Body::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
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
