//! Request body on its way to an upstream.
//!
//! The client's incoming body, with a count of the frames that have left. Data and
//! trailers are passed on as they arrive.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::conn::activity::Activity;

/// The body of a request on its way to an upstream.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Option<Incoming>,
    progress: Progress,
    /// Of the request that the body belongs to.
    activity: Option<Rc<Activity>>,
}

impl Upload {
    pub(crate) fn new(body: Incoming, activity: Rc<Activity>) -> Self {
        if body.is_end_stream() {
            return Self::empty();
        }
        Self {
            body: Some(body),
            progress: Progress(Some(Rc::default())),
            activity: Some(activity),
        }
    }

    pub(crate) fn empty() -> Self {
        Self {
            body: None,
            progress: Progress(None),
            activity: None,
        }
    }

    /// Returns the frame counter, to be read while waiting for the response.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if let (Poll::Ready(_), Some(activity)) = (&polled, &self.activity) {
            activity.touch();
        }
        match polled.is_ready() {
            true => self.progress.advance(),
            false => self.progress.wait(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The number of frames sent so far; without a counter when the body is empty.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Option<Rc<Counter>>);

#[derive(Debug, Default)]
struct Counter {
    frames: Cell<u64>,
    /// Whether the next frame has not arrived from the client.
    is_waiting: Cell<bool>,
}

impl Progress {
    /// Returns whether the body is empty.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn frames(&self) -> u64 {
        self.0.as_ref().map_or(0, |counter| counter.frames.get())
    }

    /// Returns whether the upstream would take more of the body than the client has sent.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|counter| counter.is_waiting.get())
    }

    fn advance(&self) {
        if let Some(counter) = &self.0 {
            counter.frames.set(counter.frames.get().wrapping_add(1));
            counter.is_waiting.set(false);
        }
    }

    fn wait(&self) {
        if let Some(counter) = &self.0 {
            counter.is_waiting.set(true);
        }
    }
}
