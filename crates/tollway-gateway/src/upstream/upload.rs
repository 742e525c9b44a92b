//! Request body on its way to an upstream.
//!
//! The client's incoming body, with a count of the frames that have left. Data and
//! trailers are passed on as they arrive. The first data is kept until there is more: a
//! request that an upstream has not processed can be sent again.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::admin::access_log::EndedLine;
use crate::conn::activity::Activity;
use crate::request::headers;

/// The body of a request on its way to an upstream.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Option<Incoming>,
    taken: Taken,
    progress: Progress,
    /// Of the request that the body belongs to.
    activity: Option<Rc<Activity>>,
}

/// What has been taken of a body.
#[derive(Debug)]
enum Taken {
    Nothing,
    /// One piece of data.
    First(Bytes),
    /// The same, which is the next to be taken once more.
    Returned(Bytes),
    More,
}

impl Upload {
    pub(crate) fn new(body: Incoming, activity: Rc<Activity>) -> Self {
        if body.is_end_stream() {
            return Self::empty();
        }
        Self {
            body: Some(body),
            taken: Taken::Nothing,
            progress: Progress(Some(Rc::default())),
            activity: Some(activity),
        }
    }

    pub(crate) fn empty() -> Self {
        Self {
            body: None,
            taken: Taken::Nothing,
            progress: Progress(None),
            activity: None,
        }
    }

    /// Returns the frame counter, to be read while waiting for the response.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Returns whether there is no body at all.
    pub(crate) fn is_none(&self) -> bool {
        self.body.is_none()
    }

    /// Returns whether any data has been taken.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.taken, Taken::First(_) | Taken::More)
    }

    /// Begins again. Returns whether that is possible.
    pub(crate) fn restart(&mut self) -> bool {
        self.taken = match std::mem::replace(&mut self.taken, Taken::More) {
            Taken::First(data) | Taken::Returned(data) => Taken::Returned(data),
            taken @ (Taken::Nothing | Taken::More) => taken,
        };
        !matches!(self.taken, Taken::More)
    }

    /// Records that bytes of the body have been written to the upstream.
    pub(crate) fn touch(&self) {
        self.progress.touch();
        if let Some(activity) = &self.activity {
            activity.touch();
        }
    }

    fn receive(&self, frame: &Option<Result<Frame<Bytes>, hyper::Error>>) {
        let data = frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.progress.advance(data.map_or(0, Bytes::len));
        if let Some(activity) = &self.activity {
            activity.received();
        }
    }

    fn wait(&self) {
        if let Some(activity) = &self.activity {
            activity.wait_for_client();
        }
    }

    fn record(&mut self, frame: &Frame<Bytes>) {
        self.taken = match (&self.taken, frame.data_ref()) {
            (Taken::Nothing, Some(data)) => Taken::First(data.clone()),
            (Taken::First(_), Some(data)) if data.is_empty() => return,
            _ => Taken::More,
        };
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Taken::Returned(data) = &self.taken {
            let data = data.clone();
            self.taken = Taken::First(data.clone());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        let mut frame = match polled {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                self.wait();
                return Poll::Pending;
            }
        };
        self.receive(&frame);
        if let Some(Ok(frame)) = &mut frame {
            if let Some(trailers) = frame.trailers_mut() {
                headers::prepare_trailers(trailers);
            }
            self.record(frame);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        !matches!(self.taken, Taken::Returned(_))
            && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self
            .body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        match (&self.taken, rest.exact()) {
            (Taken::Returned(data), Some(rest)) => {
                let data = u64::try_from(data.len()).unwrap_or(u64::MAX);
                SizeHint::with_exact(rest.saturating_add(data))
            }
            (Taken::Returned(_), None) => SizeHint::default(),
            (Taken::Nothing | Taken::First(_) | Taken::More, _) => rest,
        }
    }
}

/// What has been sent so far; without a counter when the body is empty.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Option<Rc<Counter>>);

#[derive(Debug, Default)]
struct Counter {
    /// Frames taken from the client, and writes to the upstream.
    moves: Cell<u64>,
    bytes: Cell<u64>,
    /// Written once no more of the body is read.
    line: RefCell<Option<Box<EndedLine>>>,
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.write(self.bytes.get());
        }
    }
}

impl Progress {
    /// Creates the progress of an empty body.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    fn moves(&self) -> u64 {
        self.0.as_ref().map_or(0, |counter| counter.moves.get())
    }

    fn touch(&self) {
        if let Some(counter) = &self.0 {
            counter.moves.set(counter.moves.get().wrapping_add(1));
        }
    }

    /// Writes the line of the request, as soon as no more of the body is read.
    pub(crate) fn log(&self, line: EndedLine) {
        match &self.0 {
            Some(counter) => drop(counter.line.replace(Some(Box::new(line)))),
            None => line.write(0),
        }
    }

    /// Waits for `future`, which sends the body, while any of it leaves within `limit`.
    ///
    /// Returns `None` when none does.
    pub(crate) async fn limit<T>(
        &self,
        limit: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        loop {
            let before = self.moves();
            match tokio::time::timeout(limit, future.as_mut()).await {
                Ok(ended) => return Some(ended),
                Err(_) if self.moves() != before => {}
                Err(_) => return None,
            }
        }
    }

    fn advance(&self, bytes: usize) {
        if let Some(counter) = &self.0 {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            counter.bytes.set(counter.bytes.get().saturating_add(bytes));
            self.touch();
        }
    }
}
