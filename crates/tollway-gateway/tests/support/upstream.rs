//! Upstreams for tests: well-behaved, slow and broken.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::any_port;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An upstream with one response for every request, which reports what it received.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
}

/// A request as it arrived at an upstream.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
}

impl Upstream {
    /// Responds 200 with `sunny`.
    pub(crate) async fn sunny() -> Self {
        Self::responding(|_| Response::new(Full::new(Bytes::from_static(b"sunny")).boxed_unsync()))
            .await
    }

    pub(crate) async fn responding(
        answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let (notify, seen) = mpsc::unbounded_channel();
        let answer = Arc::new(answer);
        let address = serve(move |request| {
            let (notify, answer) = (notify.clone(), Arc::clone(&answer));
            async move {
                let (head, body) = request.into_parts();
                let body = body
                    .collect()
                    .await
                    .map(|body| body.to_bytes())
                    .unwrap_or_default();
                let seen = Seen { head, body };
                let response = answer(&seen);
                notify.send(seen).unwrap();
                response
            }
        })
        .await;
        Self { address, seen }
    }

    /// The next request that arrived.
    pub(crate) async fn seen(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    /// Every request that has arrived since the last was looked at.
    pub(crate) fn all_seen(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }
}

/// Serves HTTP/1.1 with a handler of the test's own.
pub(crate) async fn serve<F, R>(handler: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = std::net::TcpListener::bind(any_port()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    serve_on(listener, handler);
    address
}

/// The same on a socket of the test's own, which does not block.
pub(crate) fn serve_on<F, R>(listener: std::net::TcpListener, handler: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::from_std(listener).unwrap();
    accept_on(listener, move |stream| {
        let handler = handler.clone();
        async move { serve_http1(stream, handler).await }
    });
}

/// The same on one connection.
pub(crate) async fn serve_http1<S, F, R>(stream: S, handler: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<Body>>,
{
    let service = service_fn(move |request| {
        let response = handler(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let _ended = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// The same over HTTP/2 with prior knowledge.
pub(crate) async fn serve_h2c<F, R>(handler: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    accept(move |stream| {
        let handler = handler.clone();
        async move {
            let service = service_fn(move |request| {
                let response = handler(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            let _ended = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await
}

/// Hands every connection to a handler, which speaks whatever it wants.
pub(crate) async fn accept<F, R>(handler: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let address = listener.local_addr().unwrap();
    accept_on(listener, handler);
    address
}

fn accept_on<F, R>(listener: TcpListener, handler: F)
where
    F: Fn(TcpStream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handler(stream));
        }
    });
}
