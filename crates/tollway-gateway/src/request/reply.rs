//! Bodies of responses to the client: streamed from an upstream, or made by the gateway.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tollway_server::Settlement;
use tollway_server::paywall::SettledBody;

use crate::admin::telemetry::CoreStats;
use crate::conn::registry::Connection;
use crate::upstream::response::ResponseBody;

/// A request being served, until the last byte of its response is sent.
#[derive(Debug)]
pub(crate) struct InFlight {
    connection: Rc<Connection>,
    stats: Arc<CoreStats>,
}

impl InFlight {
    pub(crate) fn begin(connection: &Rc<Connection>, stats: &Arc<CoreStats>) -> Self {
        connection.request_began();
        stats.in_flight.up();
        Self {
            connection: Rc::clone(connection),
            stats: Arc::clone(stats),
        }
    }

    /// Counts the response.
    pub(crate) fn responded(&self, status: StatusCode) {
        self.stats.responded(status);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.connection.request_ended();
        self.stats.in_flight.down();
    }
}

/// The body of any response. While it exists, its request is in flight.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    source: Source,
    #[expect(dead_code, reason = "ends when it is dropped with the body")]
    in_flight: Option<InFlight>,
}

#[derive(Debug)]
enum Source {
    Local(Full<Bytes>),
    Upstream(SettledBody<ResponseBody>),
}

impl ReplyBody {
    pub(crate) fn local(body: Full<Bytes>, in_flight: InFlight) -> Self {
        Self {
            source: Source::Local(body),
            in_flight: Some(in_flight),
        }
    }

    pub(crate) fn upstream(
        body: ResponseBody,
        settlement: Option<Settlement>,
        in_flight: InFlight,
    ) -> Self {
        Self {
            source: Source::Upstream(SettledBody::new(body, settlement)),
            in_flight: Some(in_flight),
        }
    }

    /// An empty body: `in_flight` belongs to the tunnel.
    pub(crate) fn tunnel() -> Self {
        Self {
            source: Source::Local(Full::default()),
            in_flight: None,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.source {
            Source::Local(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never: Infallible| match never {}),
            Source::Upstream(body) => Pin::new(body).poll_frame(cx),
        }
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
