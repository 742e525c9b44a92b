//! What does one client connection go through?
//!
//! TLS or a look at the first bytes, then HTTP/1 or HTTP/2, each request a call of
//! [`exchange::answer`]. How long it may take over any of this is decided by
//! [`Connections`](crate::connections::Connections).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use futures_util::FutureExt;
use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;
use tollway_server::Peer;

use crate::config::Limits;
use crate::connections::Connection;
use crate::exchange;
use crate::forward::Introduction;
use crate::sniff::{self, Protocol};
use crate::tcp::Tcp;
use crate::tls;
use crate::worker::Worker;

/// The client at the other end of one connection.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) peer: Peer,
    pub(crate) introduction: Introduction,
    pub(crate) connection: Rc<Connection>,
    pub(crate) worker: Rc<Worker>,
}

/// The kinds of port a client may come in by.
#[derive(Clone)]
pub(crate) enum Port {
    Plain,
    Tls(TlsAcceptor),
}

impl Visitor {
    pub(crate) fn new(
        worker: Rc<Worker>,
        connection: Rc<Connection>,
        peer: SocketAddr,
        port: &Port,
    ) -> Rc<Self> {
        Rc::new(Self {
            peer: Peer::at(peer.ip().to_canonical()),
            introduction: introduction(peer, port),
            connection,
            worker,
        })
    }

    /// Speaks HTTP with the client until the connection ends.
    pub(crate) async fn visit(self: Rc<Self>, stream: TcpStream, port: Port) {
        match port {
            Port::Plain => self.speak_plainly(stream).await,
            Port::Tls(acceptor) => self.speak_privately(stream, acceptor).await,
        }
    }

    async fn speak_plainly(self: Rc<Self>, stream: TcpStream) {
        // A client that leaves before saying anything is no event.
        if let Ok((protocol, stream)) = sniff::sniff(Tcp(stream)).await {
            self.speak(protocol, stream).await;
        }
    }

    async fn speak_privately(self: Rc<Self>, stream: TcpStream, acceptor: TlsAcceptor) {
        match acceptor.accept(stream).await {
            Ok(stream) => {
                let chosen = stream.get_ref().1.alpn_protocol();
                let is_http2 = chosen == Some(tls::ALPN_HTTP2);
                let protocol = if is_http2 {
                    Protocol::Http2
                } else {
                    Protocol::Http1
                };
                self.speak(protocol, stream).await;
            }
            Err(error) => tracing::debug!(%error, "TLS was not agreed on"),
        }
    }

    async fn speak<S>(self: Rc<Self>, protocol: Protocol, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let visitor = Rc::clone(&self);
        let service = service_fn(move |request| {
            exchange::answer(Rc::clone(&visitor), request).map(Ok::<_, Infallible>)
        });
        let stream = TokioIo::new(stream);
        let served = match protocol {
            Protocol::Http1 => {
                let machinery = self
                    .worker
                    .machinery
                    .http1
                    .serve_connection(stream, service);
                let finish = http1::UpgradeableConnection::graceful_shutdown;
                let machinery = pin!(machinery.with_upgrades());
                self.connection.serve(machinery, finish).await
            }
            Protocol::Http2 => {
                let machinery = self
                    .worker
                    .machinery
                    .http2
                    .serve_connection(stream, service);
                let finish = http2::Connection::graceful_shutdown;
                let machinery = pin!(machinery);
                self.connection.serve(machinery, finish).await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a client connection broke off");
        }
    }
}

/// What speaks HTTP, set up once for all connections of a worker.
#[derive(Debug)]
pub(crate) struct Machinery {
    http1: http1::Builder,
    http2: http2::Builder<LocalExecutor>,
}

impl Machinery {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            http1: http1(limits),
            http2: http2(limits),
        }
    }
}

/// Runs the tasks of HTTP/2 connections on the worker's own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, task: F) {
        spawn_local(async move {
            task.await;
        });
    }
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut machinery = http1::Builder::new();
    machinery
        // `Connections` does this for all connections with one clock.
        .header_read_timeout(None)
        .max_header_size(limits.head_max_bytes);
    machinery
}

fn http2(limits: &Limits) -> http2::Builder<LocalExecutor> {
    let mut machinery = http2::Builder::new(LocalExecutor);
    machinery
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.head_max_bytes).unwrap_or(u32::MAX));
    machinery
}

fn introduction(peer: SocketAddr, port: &Port) -> Introduction {
    let address = peer.ip().to_canonical().to_string();
    Introduction {
        // An address is always a readable header.
        address: HeaderValue::try_from(address).unwrap_or(HeaderValue::from_static("unknown")),
        scheme: HeaderValue::from_static(match port {
            Port::Plain => "http",
            Port::Tls(_) => "https",
        }),
    }
}

/// What one stream may send ahead of its upstream, and all streams of a connection together.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const STREAMS_MAX: u32 = 256;
