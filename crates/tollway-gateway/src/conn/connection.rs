//! What does one client connection go through?
//!
//! TLS or a look at the first bytes, then HTTP/1 or HTTP/2, each request a call of
//! [`exchange::answer`]. How long it may take over any of this is decided by
//! [`Connections`](crate::conn::registry::Connections).

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;

use futures_util::FutureExt;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::config::Limits;
use crate::conn::client::{Port, Visitor};
use crate::conn::detect::{Protocol, sniff};
use crate::conn::executor::LocalExecutor;
use crate::conn::tcp::Tcp;
use crate::conn::tls::ALPN_HTTP2;
use crate::request::exchange;

impl Visitor {
    /// Speaks HTTP with the client until the connection ends.
    pub(crate) async fn visit(
        self: Rc<Self>,
        stream: TcpStream,
        port: Port,
        machinery: &Machinery,
    ) {
        match port {
            Port::Plain => self.speak_plainly(stream, machinery).await,
            Port::Tls(acceptor) => self.speak_privately(stream, acceptor, machinery).await,
        }
    }

    async fn speak_plainly(self: Rc<Self>, stream: TcpStream, machinery: &Machinery) {
        // A client that leaves before saying anything is no event.
        if let Ok((protocol, stream)) = sniff(Tcp(stream)).await {
            self.speak(protocol, stream, machinery).await;
        }
    }

    async fn speak_privately(
        self: Rc<Self>,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        machinery: &Machinery,
    ) {
        match acceptor.accept(stream).await {
            Ok(stream) => {
                let chosen = stream.get_ref().1.alpn_protocol();
                let is_http2 = chosen == Some(ALPN_HTTP2);
                let protocol = if is_http2 {
                    Protocol::Http2
                } else {
                    Protocol::Http1
                };
                self.speak(protocol, stream, machinery).await;
            }
            Err(error) => tracing::debug!(%error, "TLS was not agreed on"),
        }
    }

    async fn speak<S>(self: Rc<Self>, protocol: Protocol, stream: S, machinery: &Machinery)
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
                let machinery = machinery.http1.serve_connection(stream, service);
                let finish = http1::UpgradeableConnection::graceful_shutdown;
                let machinery = pin!(machinery.with_upgrades());
                self.connection.serve(machinery, finish).await
            }
            Protocol::Http2 => {
                let machinery = machinery.http2.serve_connection(stream, service);
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

/// What one stream may send ahead of its upstream, and all streams of a connection together.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const STREAMS_MAX: u32 = 256;
