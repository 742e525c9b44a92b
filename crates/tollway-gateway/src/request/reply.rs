//! Bodies of responses to the client: streamed from an upstream, or made by the gateway.
//!
//! A body states what its request waits for: the client, which has not taken the last frame, or
//! the upstream, which has not sent the next. Either is limited, and a
//! response that takes longer ends with an error, never as if it were complete.

use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tollway_server::Settlement;
use tollway_server::paywall::SettledBody;

use crate::admin::metrics::Ended;
use crate::conn::activity::{Activity, StallLimit, WaitsFor};
use crate::conn::registry::ActiveRequest;
use crate::request::headers;
use crate::request::in_flight::InFlight;
use crate::upstream::error::ExchangeError;
use crate::upstream::response::ResponseBody;

/// The body of any response. While it exists, its request is in flight.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    source: Source,
    /// `None` for a tunnel, which holds it.
    in_flight: Option<InFlight>,
}

#[derive(Debug)]
enum Source {
    Local(Full<Bytes>),
    Upstream(SettledBody<LimitedBody>),
}

/// Why a response ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplyError {
    /// Nothing of it moved for too long.
    #[error("no more of the response arrived in time")]
    Stalled,
    /// The upstream ended it early.
    #[error(transparent)]
    Upstream(ExchangeError),
}

impl ReplyBody {
    pub(crate) fn local(body: Full<Bytes>, in_flight: InFlight) -> Self {
        let active = in_flight.active();
        active
            .activity()
            .respond_locally(active.limits().local_response);
        Self::new(Source::Local(body), in_flight)
    }

    pub(crate) fn upstream(
        body: ResponseBody,
        settlement: Option<Settlement>,
        in_flight: InFlight,
    ) -> Self {
        let body = LimitedBody::new(body, in_flight.active());
        let body = SettledBody::new(body, settlement);
        Self::new(Source::Upstream(body), in_flight)
    }

    fn new(source: Source, in_flight: InFlight) -> Self {
        let mut body = Self {
            source,
            in_flight: Some(in_flight),
        };
        // Then it is not polled.
        if body.is_end_stream() {
            body.end(Ended::Complete);
        }
        body
    }

    /// An empty body: `in_flight` belongs to the tunnel.
    pub(crate) fn tunnel() -> Self {
        Self {
            source: Source::Local(Full::default()),
            in_flight: None,
        }
    }

    /// Records what was polled.
    fn record(&mut self, frame: Option<&Result<Frame<Bytes>, ReplyError>>) {
        match frame {
            Some(Ok(frame)) => {
                if let (Some(in_flight), Some(data)) = (&mut self.in_flight, frame.data_ref()) {
                    in_flight.sent(data.len());
                }
                if self.is_end_stream() {
                    self.end(Ended::Complete);
                }
            }
            Some(Err(ReplyError::Stalled)) => self.end(Ended::Stalled),
            Some(Err(ReplyError::Upstream(_))) => self.end(Ended::UpstreamFailed),
            None => self.end(Ended::Complete),
        }
    }

    fn end(&mut self, ended: Ended) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.end(ended);
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let frame = ready!(match &mut self.source {
            Source::Local(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never: Infallible| match never {}),
            Source::Upstream(body) => Pin::new(body).poll_frame(cx),
        });
        self.record(frame.as_ref());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Local(body) => body.is_end_stream(),
            Source::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Local(body) => body.size_hint(),
            Source::Upstream(body) => body.size_hint(),
        }
    }
}

/// The body of an upstream's response, which ends with an error when it stalls.
#[derive(Debug)]
struct LimitedBody {
    body: ResponseBody,
    /// What is left of a frame that is longer than the client takes at once.
    rest: Bytes,
    activity: Rc<Activity>,
    write: StallLimit,
    /// For the next frame.
    waits_for: WaitsFor,
    /// hyper takes a frame of a stream once the client takes some of the one before, so long
    /// ones are cut: each is progress.
    frame_max: usize,
}

impl LimitedBody {
    fn new(body: ResponseBody, active: &ActiveRequest) -> Self {
        let write = active.limits().write;
        active.activity().allow(write);
        Self {
            body,
            rest: Bytes::new(),
            activity: Rc::clone(active.activity()),
            write,
            waits_for: WaitsFor::Client,
            frame_max: match active.is_stream() {
                true => STREAM_FRAME_MAX,
                false => usize::MAX,
            },
        }
    }

    /// Returns data of at most the length the client takes at once, and keeps the rest.
    fn cut(&mut self, mut data: Bytes) -> Bytes {
        if data.len() > self.frame_max {
            self.rest = data.split_off(self.frame_max);
        }
        data
    }

    fn handed_over(&mut self) {
        self.waits_for = WaitsFor::Client;
        self.activity.allow(self.write);
    }
}

impl Body for LimitedBody {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        if self.activity.is_stalled() {
            return Poll::Ready(Some(Err(ReplyError::Stalled)));
        }
        if !self.rest.is_empty() {
            let rest = mem::take(&mut self.rest);
            let data = self.cut(rest);
            self.handed_over();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match polled {
            Poll::Pending => {
                if self.waits_for == WaitsFor::Client {
                    self.waits_for = WaitsFor::Upstream;
                    self.activity.allow(self.activity.body_limit());
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.handed_over();
                let frame = match frame.into_data() {
                    Ok(data) => Frame::data(self.cut(data)),
                    Err(mut trailers) => {
                        if let Some(fields) = trailers.trailers_mut() {
                            headers::prepare_response_trailers(fields);
                        }
                        trailers
                    }
                };
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(ReplyError::Upstream(error)))),
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Asked for before the first frame.
        self.body.size_hint()
    }
}

/// The length of a frame of HTTP/2, if nothing else is agreed on.
const STREAM_FRAME_MAX: usize = 16 * 1024;
