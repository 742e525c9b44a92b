//! Opening of connections to an upstream.
//!
//! Dial, TLS where the upstream asks for it, then HTTP; one timeout covers all of it. The
//! task that drives a connection ends with the connection, and with the worker.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::conn::tcp::{Tcp, probe_when_silent};
use crate::conn::tls::ALPN_HTTP2;
use crate::upstream::dial::{dial, is_shortage};
use crate::upstream::h2::connection::Http2Sender;
use crate::upstream::health::Health;
use crate::upstream::stream::Stream;
use crate::upstream::target::Target;
use crate::upstream::tls::{ClientTls, Offered};

/// A new connection, ready for its first request.
pub(crate) enum Connected {
    Http1(Stream),
    Http2(Http2Sender),
}

/// Why an upstream could not be reached. Nothing of any request was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// All connections to it are in use, and none was free in time.
    #[error("has no connection or stream free")]
    Busy,
    /// It could not be dialled.
    #[error("cannot be dialled: {0}")]
    Dial(Arc<io::Error>),
    /// The HTTP handshake failed.
    #[error("closed the connection: {0}")]
    Http(Arc<h2::Error>),
    /// This machine lacks what a connection needs. The upstream has no part in that.
    #[error("cannot be dialled, the gateway lacks the means: {0}")]
    Shortage(Arc<io::Error>),
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
    /// Returns whether no connection could be opened, for any request.
    pub(crate) fn is_down(&self) -> bool {
        match self {
            Self::Dial(_) | Self::Tls(_) | Self::Timeout(_) => true,
            Self::Busy | Self::Http(_) | Self::Shortage(_) | Self::WrongProtocol => false,
        }
    }

    /// Returns whether the upstream was dialled and would not speak what was offered to it.
    pub(crate) fn is_handshake(&self) -> bool {
        match self {
            Self::Http(_) | Self::Tls(_) | Self::WrongProtocol => true,
            Self::Busy | Self::Dial(_) | Self::Shortage(_) | Self::Timeout(_) => false,
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
    tokio::time::timeout(limit, Box::pin(open(target, offered)))
        .await
        .unwrap_or(Err(ConnectError::Timeout(limit)))
}

/// Whether an upstream accepts connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Availability {
    Down,
    /// This machine lacks what a connection needs to find out.
    Unknown,
    Up,
}

/// Returns whether an upstream accepts connections. When nothing was received from it of late,
/// this waits for a [probe], which takes [`PROBE_TIMEOUT`] at most.
pub(crate) async fn availability(target: &Arc<Target>, health: &Arc<Health>) -> Availability {
    if health.is_up() {
        return Availability::Up;
    }
    let mut probes = health.probes();
    probe(target, health, PROBE_GAP);
    let is_probed = health.is_probing();
    if is_probed {
        // The sender is part of `health`.
        let _ended = probes.changed().await;
    }
    if health.is_down() {
        Availability::Down
    } else if is_probed && !health.is_up() {
        Availability::Unknown
    } else {
        // Or the last probe is less than a second old.
        Availability::Up
    }
}

/// Opens a connection to see whether an upstream accepts any, in a task of its own, unless one is
/// being opened or the last one was less than `gap` ago.
pub(crate) fn probe(target: &Arc<Target>, health: &Arc<Health>, gap: Duration) {
    if let Some(probe) = health.begin_probe(gap) {
        let target = Arc::clone(target);
        // Ends within the time of a probe.
        tokio::spawn(async move {
            match reach(&target).await {
                Ok(()) => probe.found_up(),
                Err(error) if error.is_down() => probe.found_down(&error),
                Err(error) => tracing::debug!(%error, "no connection to an upstream can be opened"),
            }
        });
    }
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
    let (host, port) = (target.upstream.host(), target.upstream.port());
    dial(host, port).await.map_err(dial_failed)
}

async fn open(target: &Target, offered: Offered) -> Result<Connected, ConnectError> {
    let stream = dial_tcp(target).await?;
    tracing::debug!(upstream = %target.upstream, "new connection");
    stream.set_nodelay(true).map_err(dial_failed)?;
    let socket = SockRef::from(&stream);
    probe_when_silent(&socket).map_err(dial_failed)?;
    socket
        .set_tcp_notsent_lowat(UNSENT_MAX)
        .map_err(dial_failed)?;
    let Some(tls) = &target.tls else {
        let stream = Stream::Plain(Tcp(stream));
        return match offered {
            Offered::Http2 => http2_over(stream).await,
            Offered::Either | Offered::Http1 => Ok(Connected::Http1(stream)),
        };
    };
    let stream = handshake(tls, offered, stream).await?;
    let chose_http2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2);
    let stream = Stream::Tls(Box::new(stream));
    match (chose_http2, offered) {
        (true, _) => http2_over(stream).await,
        (false, Offered::Either | Offered::Http1) => Ok(Connected::Http1(stream)),
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

async fn http2_over(stream: Stream) -> Result<Connected, ConnectError> {
    let (requests, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_MAX_BYTES)
        .enable_push(false)
        .handshake(stream)
        .await
        .map_err(|error| ConnectError::Http(Arc::new(error)))?;
    let has_ended = Rc::new(Cell::new(false));
    let ended = Rc::clone(&has_ended);
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "upstream connection failed");
        }
        ended.set(true);
    });
    Ok(Connected::Http2(Http2Sender {
        requests,
        has_ended,
    }))
}

fn dial_failed(error: io::Error) -> ConnectError {
    let is_shortage = is_shortage(&error);
    let error = Arc::new(error);
    match is_shortage {
        true => ConnectError::Shortage(error),
        false => ConnectError::Dial(error),
    }
}

/// How much of a request the kernel takes before it is sent. With more, minutes pass without a
/// sign that a slow upstream takes any of it.
const UNSENT_MAX: u32 = 128 * 1024;
/// How long an upstream may take to accept a connection that is opened as a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The least time between two probes for requests that are not paid for.
const PROBE_GAP: Duration = Duration::from_secs(1);
/// What one stream may receive before its client reads. Memory is bounded by this, and by the
/// number of streams.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// The most HTTP/2 allows: streams that are not read cannot take what others need.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// The longest head and trailers of a response.
const HEADERS_MAX_BYTES: u32 = 64 * 1024;

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_this_machine_lacks_is_not_the_upstreams() {
        for (code, is_down) in [
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOBUFS, false),
            (Errno::NOMEM, false),
            (Errno::ADDRNOTAVAIL, false),
            (Errno::CONNREFUSED, true),
            (Errno::HOSTUNREACH, true),
        ] {
            let error = dial_failed(code.into());
            assert_eq!(error.is_down(), is_down, "{error}");
        }
    }
}
