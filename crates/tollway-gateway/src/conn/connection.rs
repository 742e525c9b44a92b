//! Service of one client connection: who it is from, TLS or a look at the first bytes, then HTTP/1
//! or HTTP/2.
//!
//! Each request is a call of [`exchange::handle_request`]. How long the client may take is decided by
//! [`Connections`](crate::conn::registry::Connections).

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;

use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::config::{GatewayLimits, ProxiesConfig, ProxyProtocol};
use crate::conn::client::{Accepted, ClientConnection, RemoteEnd, Transport};
use crate::conn::detect::{Protocol, detect};
use crate::conn::executor::StreamExecutor;
use crate::conn::proxy_header::{self, ProxyHeaderError};
use crate::conn::registry::{Connection, Sharing};
use crate::conn::rewind::Rewind;
use crate::conn::tcp::{ClientTcp, Tcp};
use crate::conn::tls::ALPN_HTTP2;
use crate::request::exchange;
use crate::request::reply::ReplyBody;

impl Accepted {
    /// Serves HTTP requests until the connection ends.
    pub(crate) async fn serve(
        self,
        stream: TcpStream,
        transport: Transport,
        builders: &HttpBuilders,
    ) {
        let mut stream = ClientTcp::new(stream, self.connection.link().clone());
        let Some((end, seen)) = self.remote_end(&mut stream).await else {
            return;
        };
        let client = ClientConnection::new(self, end, &transport);
        match transport {
            Transport::Plaintext => client.serve_plaintext(seen, stream, builders).await,
            Transport::Tls(acceptor) => {
                let stream = Rewind::new(seen, stream);
                client.serve_tls(stream, acceptor, builders).await;
            }
        }
    }

    /// Returns the remote end, with the bytes that were read to find it; `None` when the
    /// connection must close.
    async fn remote_end(&self, stream: &mut ClientTcp) -> Option<(RemoteEnd, Vec<u8>)> {
        let ProxiesConfig { trusted, protocol } = &self.core.proxies;
        if !trusted.contain(self.peer) {
            return Some((RemoteEnd::Client(self.peer), Vec::new()));
        }
        if *protocol == ProxyProtocol::Off {
            return Some((RemoteEnd::Proxy(self.peer), Vec::new()));
        }
        let (header, seen) = match proxy_header::read(stream).await {
            Ok(read) => read,
            Err(error) => {
                self.log_proxy(&error);
                return None;
            }
        };
        let end = match header.client {
            // It may pass on what any client sent.
            None => RemoteEnd::Client(self.peer),
            Some(client) if trusted.contain(client) => RemoteEnd::Proxy(client),
            Some(client) => {
                let core = &self.core;
                let counted = core.clients.connect(client, core.index);
                if !self.connection.assign(counted) {
                    tracing::debug!(%client, "too many connections of one client: refused");
                    return None;
                }
                RemoteEnd::Client(client)
            }
        };
        Some((end, seen))
    }
}

impl Accepted {
    /// Logs why the connection of a trusted proxy is closed: once per worker for all to see, since
    /// a proxy that sends no header never will.
    fn log_proxy(&self, error: &ProxyHeaderError) {
        let proxy = self.peer;
        let is_incomplete = matches!(error, ProxyHeaderError::Incomplete(_));
        if is_incomplete || self.core.has_logged_proxy.replace(true) {
            tracing::debug!(%proxy, %error, "connection of a trusted proxy closed");
        } else {
            tracing::warn!(%proxy, %error, "connections of a trusted proxy are closed");
        }
    }
}

impl ClientConnection {
    async fn serve_plaintext(
        self: Rc<Self>,
        seen: Vec<u8>,
        stream: ClientTcp,
        builders: &HttpBuilders,
    ) {
        // A client that leaves without a byte is not worth a log line.
        if let Ok((protocol, stream)) = detect(seen, Tcp(stream)).await {
            self.serve_http(protocol, stream, builders).await;
        }
    }

    async fn serve_tls(
        self: Rc<Self>,
        stream: Rewind<ClientTcp>,
        acceptor: TlsAcceptor,
        builders: &HttpBuilders,
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
                self.serve_http(protocol, stream, builders).await;
            }
            Err(error) => tracing::debug!(%error, "TLS handshake failed"),
        }
    }

    async fn serve_http<S>(self: Rc<Self>, protocol: Protocol, stream: S, builders: &HttpBuilders)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        let served = match protocol {
            Protocol::Http1 => {
                let client = Rc::clone(&self);
                let service = service_fn(move |request: Request<Incoming>| {
                    let connection = Rc::clone(&client.connection);
                    connection
                        .link()
                        .set_upload(!request.body().is_end_stream());
                    let version = request.version();
                    let active = connection.begin_request();
                    exchange::handle_request(Rc::clone(&client), request, active).map(
                        move |response| Ok::<_, Infallible>(ends(&connection, version, response)),
                    )
                });
                let http = builders.http1.serve_connection(stream, service);
                let finish = http1::UpgradeableConnection::graceful_shutdown;
                let http = pin!(http.with_upgrades());
                self.connection
                    .serve(Sharing::Exclusive, http, finish)
                    .await
            }
            Protocol::Http2 => {
                let client = Rc::clone(&self);
                let executor = StreamExecutor::default();
                let http = builders.http2.builder(executor.clone());
                let service = service_fn(move |request| {
                    let active = client.connection.begin_request();
                    executor.next_is(active.activity());
                    exchange::handle_request(Rc::clone(&client), request, active)
                        .map(Ok::<_, Infallible>)
                });
                let http = pin!(http.serve_connection(stream, service));
                let finish = http2::Connection::graceful_shutdown;
                self.connection.serve(Sharing::Streams, http, finish).await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "client connection failed");
            if let Some(status) = status_sent_for(&error, protocol) {
                let (core, client) = (&self.core, self.peer.address);
                core.refused_unreadable(status, client);
            }
        }
    }
}

/// Returns the status that hyper itself responds with to a request that it cannot read. Over
/// HTTP/2 the stream or the connection is reset instead, or 431 is sent and not reported.
fn status_sent_for(error: &hyper::Error, protocol: Protocol) -> Option<StatusCode> {
    match protocol {
        Protocol::Http1 if error.is_parse_too_large() => {
            Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        }
        Protocol::Http1 if error.is_parse() => Some(StatusCode::BAD_REQUEST),
        Protocol::Http1 | Protocol::Http2 => None,
    }
}

/// Announces the end of a connection that closes after this response, and records whether that is
/// how its client finds the end of the response. What arrives in a tunnel belongs to it.
fn ends(
    connection: &Connection,
    version: Version,
    mut response: Response<ReplyBody>,
) -> Response<ReplyBody> {
    let link = connection.link();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        link.set_upload(false);
    } else if connection.is_last() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    if version == Version::HTTP_10 && response.body().size_hint().exact().is_none() {
        link.await_end(true);
    }
    response
}

/// HTTP settings for all client connections of a worker.
#[derive(Debug)]
pub(crate) struct HttpBuilders {
    http1: http1::Builder,
    http2: Http2Settings,
}

impl HttpBuilders {
    pub(crate) fn new(limits: &GatewayLimits) -> Self {
        Self {
            http1: http1(limits),
            http2: Http2Settings::new(limits),
        }
    }
}

fn http1(limits: &GatewayLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // `Connections` limits this for all connections with one clock.
        .header_read_timeout(None)
        // Such a client may wait for its response; `ClientTcp` reports one that has left.
        .half_close(true)
        .max_header_size(limits.head_max_bytes)
        // A head has to fit, too.
        .max_buf_size(BUFFER_BYTES_MAX.max(limits.head_max_bytes));
    builder
}

/// What all HTTP/2 connections have in common. Each has an executor of its own.
#[derive(Debug)]
struct Http2Settings {
    head_max_bytes: u32,
}

impl Http2Settings {
    fn new(limits: &GatewayLimits) -> Self {
        Self {
            head_max_bytes: u32::try_from(limits.head_max_bytes).unwrap_or(u32::MAX),
        }
    }

    fn builder(&self, executor: StreamExecutor) -> http2::Builder<StreamExecutor> {
        let mut builder = http2::Builder::new(executor);
        builder
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(self.head_max_bytes);
        builder
    }
}

/// The bytes of a response that are taken from the upstream before the client takes them: this
/// many, and one read more. It is what a client that does not read holds.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Receive windows in bytes: of one stream, and of all streams of a connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const STREAMS_MAX: u32 = 256;
