//! Response check: a response that carries no gRPC status is a broken connection.
//!
//! A proxy in front of the node may respond with an HTTP error of its own, or cut a stream
//! short, while the node goes on with the request. The gRPC client would turn either into a
//! status that looks like the node's, and a payment in doubt into a refused one. Here both end
//! in an error with a source, which [`status`](super::status) reads as "outcome unknown".

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::TryFutureExt as _;
use futures_util::future::MapOk;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use tokio::task::coop;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

/// Wraps a connection so that every response ends in a gRPC status or an error.
#[derive(Clone, Debug)]
pub(super) struct RequireStatus<S>(pub(super) S);

impl<S> Service<Request<Body>> for RequireStatus<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<StatusBody>;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(Response<Body>) -> Response<StatusBody>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.call(request).map_ok(check)
    }
}

fn check(response: Response<Body>) -> Response<StatusBody> {
    let http = response.status();
    let found = has_status(response.headers());
    response.map(|inner| StatusBody { inner, http, found })
}

/// A response body that does not end without a gRPC status.
#[derive(Debug, Default)]
pub(super) struct StatusBody {
    inner: Body,
    http: StatusCode,
    /// A gRPC status was in the headers or the trailers, or its absence was reported.
    found: bool,
}

impl StatusBody {
    fn missing(&mut self) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        self.found = true;
        let error = StatusMissing { http: self.http };
        Poll::Ready(Some(Err(Status::from_error(Box::new(error)))))
    }
}

impl http_body::Body for StatusBody {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        if !self.found && self.http != StatusCode::OK {
            return self.missing();
        }
        // A peer that sends without end would otherwise keep its reader from ever returning to
        // the deadline around it.
        let progress = ready!(coop::poll_proceed(cx));
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        progress.made_progress();
        match &frame {
            Some(Ok(frame)) => {
                self.found |= frame.trailers_ref().is_some_and(has_status);
            }
            None if !self.found => return self.missing(),
            Some(Err(_)) | None => {}
        }
        Poll::Ready(frame)
    }
}

fn has_status(headers: &HeaderMap) -> bool {
    headers.contains_key("grpc-status")
}

/// What responded was not the node, or not all of its response arrived.
#[derive(Debug, thiserror::Error)]
#[error("HTTP {} without a gRPC status: a proxy responded, or cut the response short", http.as_u16())]
struct StatusMissing {
    http: StatusCode,
}
