//! Response of an upstream, whose body holds the connection it arrives on.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::conn::rewind::Rewind;
use crate::upstream::error::ExchangeError;
use crate::upstream::h1::exchange::Connection;
use crate::upstream::h2::exchange::Body as Http2Body;
use crate::upstream::idle::IdleConnections;
use crate::upstream::slots::Slot;
use crate::upstream::stream::Stream;
use crate::upstream::upload::Progress;

/// A response whose body holds the connection it arrives on.
pub(crate) type Response = http::Response<ResponseBody>;

/// The body of an upstream's response, with what is left of the request's.
///
/// The connection goes back to its pool with the last frame. Dropped earlier, it is
/// closed (HTTP/1.1) or the stream is reset (HTTP/2), so that the upstream stops sending.
#[derive(Debug)]
pub(crate) struct ResponseBody(Source);

#[derive(Debug)]
enum Source {
    Ended,
    Http1 {
        connection: Box<Connection>,
        idle: Rc<IdleConnections>,
    },
    Http2(Box<Http2Body>),
}

/// A connection that has left HTTP.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub(crate) stream: Rewind<Stream>,
    /// Counts the connection until it is dropped.
    pub(crate) slot: Slot,
}

impl ResponseBody {
    pub(crate) fn http1(connection: Box<Connection>, idle: &Rc<IdleConnections>) -> Self {
        let mut this = Self(Source::Http1 {
            connection,
            idle: Rc::clone(idle),
        });
        this.release_at_end();
        this
    }

    /// The empty body of a connection that leaves HTTP.
    pub(crate) fn switched(connection: Box<Connection>, idle: &Rc<IdleConnections>) -> Self {
        Self(Source::Http1 {
            connection,
            idle: Rc::clone(idle),
        })
    }

    pub(crate) fn http2(body: Http2Body) -> Self {
        let mut this = Self(Source::Http2(Box::new(body)));
        this.release_at_end();
        this
    }

    /// Leaves HTTP, after `101 Switching Protocols`.
    pub(crate) fn into_upgraded(self) -> Option<Upgraded> {
        match self.0 {
            Source::Http1 { connection, .. } => {
                let (stream, read, slot) = connection.into_parts();
                let stream = Rewind::new(read, stream);
                Some(Upgraded { stream, slot })
            }
            Source::Ended | Source::Http2(_) => None,
        }
    }

    fn release_at_end(&mut self) {
        let has_ended = match &self.0 {
            Source::Ended => false,
            Source::Http1 { connection, .. } => connection.has_ended(),
            Source::Http2(body) => body.has_ended(),
        };
        if has_ended {
            self.release();
        }
    }

    /// Returns the connection for another exchange. If the request is still being sent, that is
    /// waited for while it moves.
    fn release(&mut self) {
        match std::mem::replace(&mut self.0, Source::Ended) {
            Source::Ended => {}
            Source::Http1 {
                mut connection,
                idle,
            } if connection.is_sending() => settle(connection.progress(), async move {
                poll_fn(|cx| connection.poll_rest(cx)).await;
                keep(connection, &idle);
            }),
            Source::Http1 { connection, idle } => keep(connection, &idle),
            Source::Http2(mut body) if body.is_sending() => {
                settle(body.progress(), async move {
                    poll_fn(|cx| body.poll_rest(cx)).await;
                });
            }
            Source::Http2(_) => {}
        }
    }
}

fn keep(mut connection: Box<Connection>, idle: &IdleConnections) {
    if connection.end() {
        idle.put(connection);
    }
}

/// Sends the rest of a request for as long as any of it moves.
fn settle(progress: Progress, rest: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(async move {
        let _timed_out = progress.limit(SETTLING_TIME_MAX, rest).await;
    });
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ExchangeError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        let polled = match &mut self.0 {
            Source::Ended => return Poll::Ready(None),
            Source::Http1 { connection, .. } => connection.poll_frame(cx),
            Source::Http2(body) => body.poll_frame(cx),
        };
        match &polled {
            Poll::Ready(None) => self.release(),
            Poll::Ready(Some(Ok(_))) => self.release_at_end(),
            // What has failed cannot be used again: dropping ends it.
            Poll::Ready(Some(Err(_))) => self.0 = Source::Ended,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Source::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        let left = match &self.0 {
            Source::Ended => Some(0),
            Source::Http1 { connection, .. } => connection.body_left(),
            Source::Http2(body) => body.left(),
        };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// How long a connection waits for more of a request that has been responded to.
const SETTLING_TIME_MAX: Duration = Duration::from_secs(5);
