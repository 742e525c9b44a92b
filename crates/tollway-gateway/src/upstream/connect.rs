//! Opening of connections to an upstream.
//!
//! Dial, TLS where the upstream asks for it, then HTTP; one timeout covers all of it. The
//! task that drives a connection ends with the connection, and with the worker.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::conn::executor::LocalExecutor;
use crate::conn::tcp::{Tcp, probe_when_silent};
use crate::conn::tls::ALPN_HTTP2;
use crate::upstream::health::Health;
use crate::upstream::target::Target;
use crate::upstream::tls::{ClientTls, Offered};
use crate::upstream::upload::Upload;

/// A new connection, ready for its first request.
pub(crate) enum Connected {
    Http1(http1::SendRequest<Upload>),
    Http2(http2::SendRequest<Upload>),
}

/// Why an upstream could not be reached. Nothing of any request was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// It could not be dialled.
    #[error("cannot be dialled: {0}")]
    Dial(Arc<io::Error>),
    /// The HTTP handshake failed.
    #[error("closed the connection: {0}")]
    Http(Arc<hyper::Error>),
    /// The TLS handshake failed.
    #[error("TLS failed: {0}")]
    Tls(Arc<io::Error>),
    /// It took longer than the limit.
    #[error("did not accept a connection within {0:?}")]
    Timeout(Duration),
    /// It does not speak the protocol the request needs.
    #[error("does not speak HTTP/2")]
    WrongProtocol,
}

impl ConnectError {
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Returns whether no connection could be opened, for any request.
    pub(crate) fn is_down(&self) -> bool {
        match self {
            // Of a connection that was open.
            Self::Dial(error) => error.kind() != io::ErrorKind::ConnectionReset,
            Self::Tls(_) | Self::Timeout(_) => true,
            Self::Http(_) | Self::WrongProtocol => false,
        }
    }
}

/// Opens a connection. On a plaintext port, `offered` is what will be spoken: there is
/// no negotiation, and `Either` means HTTP/1.1.
///
/// Boxed, because it is large and rare: it would enlarge the future of every request.
pub(crate) async fn connect(
    target: &Target,
    offered: Offered,
    limit: Duration,
) -> Result<Connected, ConnectError> {
    tokio::time::timeout(limit, Box::pin(dial(target, offered)))
        .await
        .unwrap_or(Err(ConnectError::Timeout(limit)))
}

/// Looks whether an upstream that is down accepts connections again, unless that was done
/// less than `gap` ago. Returns whether it is up.
pub(crate) async fn probe(target: &Target, health: &Health, gap: Duration) -> bool {
    if health.is_down() && health.begin_probe(gap) && reach(target).await.is_ok() {
        health.mark_up();
    }
    !health.is_down()
}

/// Opens a connection, TLS included, and closes it. Runs on any runtime.
pub(crate) async fn reach(target: &Target) -> Result<(), ConnectError> {
    let reached = async {
        let stream = dial_tcp(target).await?;
        match &target.tls {
            Some(tls) => handshake(tls, Offered::Either, stream).await.map(drop),
            None => Ok(()),
        }
    };
    tokio::time::timeout(PROBE_TIMEOUT, Box::pin(reached))
        .await
        .unwrap_or(Err(ConnectError::Timeout(PROBE_TIMEOUT)))
}

async fn dial_tcp(target: &Target) -> Result<TcpStream, ConnectError> {
    let address = (target.upstream.host(), target.upstream.port());
    TcpStream::connect(address).await.map_err(dial_failed)
}

async fn dial(target: &Target, offered: Offered) -> Result<Connected, ConnectError> {
    let stream = dial_tcp(target).await?;
    tracing::debug!(upstream = %target.upstream, "new connection");
    stream.set_nodelay(true).map_err(dial_failed)?;
    probe_when_silent(&SockRef::from(&stream)).map_err(dial_failed)?;
    match (&target.tls, offered) {
        (None, Offered::Http2) => http2_over(Tcp(stream)).await,
        (None, Offered::Either | Offered::Http1) => http1_over(Tcp(stream)).await,
        (Some(tls), _) => dial_tls(tls, offered, stream).await,
    }
}

async fn dial_tls(
    tls: &ClientTls,
    offered: Offered,
    stream: TcpStream,
) -> Result<Connected, ConnectError> {
    let stream = handshake(tls, offered, stream).await?;
    let chosen_http2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2);
    match (chosen_http2, offered) {
        (true, _) => http2_over(stream).await,
        (false, Offered::Either | Offered::Http1) => http1_over(stream).await,
        (false, Offered::Http2) => Err(ConnectError::WrongProtocol),
    }
}

async fn handshake(
    tls: &ClientTls,
    offered: Offered,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    TlsConnector::from(tls.offering(offered))
        .connect(tls.name(), stream)
        .await
        .map_err(|error| ConnectError::Tls(Arc::new(error)))
}

async fn http1_over<S>(stream: S) -> Result<Connected, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(handshake_failed)?;
    // An error is also returned to the request that waits for a response.
    tokio::task::spawn_local(connection.with_upgrades());
    Ok(Connected::Http1(sender))
}

async fn http2_over<S>(stream: S) -> Result<Connected, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(handshake_failed)?;
    tokio::task::spawn_local(connection);
    Ok(Connected::Http2(sender))
}

fn dial_failed(error: io::Error) -> ConnectError {
    ConnectError::Dial(Arc::new(error))
}

fn handshake_failed(error: hyper::Error) -> ConnectError {
    ConnectError::Http(Arc::new(error))
}

/// How long an upstream may take to accept a connection that is opened to look.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Receive windows in bytes: of one stream, and of all streams of a connection.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
