//! Sending one request and receiving the head of its response.
//!
//! Three connection pools, each made when first needed: clear text, clear text with HTTP/2
//! by prior knowledge (gRPC), and TLS. Only the TLS pool reads the hundreds of certificates, so
//! a request in clear text starts without them.
//!
//! The pool sends a request again by itself only when its connection turned out to be closed
//! before any of it was written. [`Transport::may_send_again`] decides for the other cases.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::{Extensions, Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector, HttpInfo};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;

use crate::body::Outgoing;
use crate::error::{ConnectError, TransportError};
use crate::origin::{Origin, Protocol};
use crate::response::Deadline;
use crate::{tls, wire_log};

/// How connections are made, and how long they may take.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connections {
    /// How long a connection may take to be made, TLS not included.
    pub connect_timeout: Duration,
    /// How long the head of a response may take from the moment the request is sent.
    pub head_timeout: Duration,
    /// How long the body of a response may pause between two frames. A body that keeps
    /// arriving may take as long as it does.
    pub idle_timeout: Duration,
    /// How long a whole request may take, from the start of
    /// [`Client::send`](crate::Client::send) to the last byte of the body, redirects and
    /// payment included. A payment that was started is not stopped: it is recorded, and the
    /// request ends with [`Error::PaymentUnknown`](crate::Error::PaymentUnknown).
    pub request_timeout: Option<Duration>,
    /// A file of certificates, in PEM, to trust besides the system's. One that a server presents
    /// itself is accepted even where it is an authority's, as `openssl req -x509` makes them.
    pub extra_certificates: Option<PathBuf>,
}

impl Default for Connections {
    /// 10 s to connect, 300 s to the head of the response, 300 s between two frames of its body,
    /// no limit on the whole, the system's certificates. The limits are long because some paid responses
    /// are slow, those of a language model or a long poll, and one that is given up may be lost.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(300),
            request_timeout: None,
            extra_certificates: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Transport {
    connections: Connections,
    /// The extra certificates.
    extra: OnceLock<Vec<CertificateDer<'static>>>,
    clear: OnceLock<Client<HttpConnector, Outgoing>>,
    clear_h2: OnceLock<Client<HttpConnector, Outgoing>>,
    tls: OnceLock<Client<HttpsConnector<HttpConnector>, Outgoing>>,
    /// The connections that a response came from of late, by their two addresses.
    used: Mutex<VecDeque<(SocketAddr, SocketAddr)>>,
}

impl Transport {
    pub(crate) const fn new(connections: Connections) -> Self {
        Self {
            connections,
            extra: OnceLock::new(),
            clear: OnceLock::new(),
            clear_h2: OnceLock::new(),
            tls: OnceLock::new(),
            used: Mutex::new(VecDeque::new()),
        }
    }

    /// Returns the deadline of a request that starts at this moment.
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.connections.request_timeout.and_then(Deadline::after)
    }

    pub(crate) const fn idle_timeout(&self) -> Duration {
        self.connections.idle_timeout
    }

    /// Sends a request; returns when the head of the response is there.
    pub(crate) async fn send(
        &self,
        origin: &Origin,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, TransportError> {
        if origin.is_onion() {
            let host = origin.host().to_owned();
            return Err(TransportError::Onion { host });
        }
        // A wrong file of certificates is an error even where none is needed.
        self.extra()?;
        wire_log::request(origin, &request);
        let response = match (origin.protocol(), request.version()) {
            (Protocol::Https, _) => self.tls()?.request(request),
            (Protocol::Http, Version::HTTP_2) => self.clear_h2().request(request),
            (Protocol::Http, _) => self.clear().request(request),
        };
        let limit = self.connections.head_timeout;
        match tokio::time::timeout(limit, response).await {
            Ok(Ok(response)) => {
                wire_log::response(&response);
                self.note_used(response.extensions());
                Ok(response)
            }
            Ok(Err(source)) if source.is_connect() => Err(TransportError::Connect {
                origin: origin.clone(),
                source: ConnectError::of(source),
            }),
            Ok(Err(source)) => Err(TransportError::Exchange {
                origin: origin.clone(),
                source,
            }),
            Err(_elapsed) => Err(TransportError::Timeout {
                origin: origin.clone(),
                limit,
            }),
        }
    }

    /// Returns true when a request that had no response may be sent once more, with the same
    /// credential.
    ///
    /// Either HTTP/2 states that the server has not processed it (RFC 9113, 8.7), or a
    /// connection that had served before closed without a response: the usual end of an idle
    /// connection, which only an idempotent request may be sent again after (RFC 9110, 9.2.2).
    pub(crate) fn may_send_again(&self, error: &TransportError, method: &Method) -> bool {
        let TransportError::Exchange { source, .. } = error else {
            return false;
        };
        if causes(source).any(is_unprocessed) {
            return true;
        }
        let mut extensions = Extensions::new();
        if let Some(connection) = source.connect_info() {
            connection.get_extras(&mut extensions);
        }
        method.is_idempotent() && self.is_used(&extensions) && causes(source).any(is_closed)
    }

    fn note_used(&self, extensions: &Extensions) {
        let Some(connection) = addresses(extensions) else {
            return;
        };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if !used.contains(&connection) {
            if used.len() == USED_MAX {
                used.pop_front();
            }
            used.push_back(connection);
        }
    }

    fn is_used(&self, extensions: &Extensions) -> bool {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        addresses(extensions).is_some_and(|connection| used.contains(&connection))
    }

    fn clear(&self) -> &Client<HttpConnector, Outgoing> {
        self.clear
            .get_or_init(|| pool(self.connector(), Version::HTTP_11))
    }

    fn clear_h2(&self) -> &Client<HttpConnector, Outgoing> {
        self.clear_h2
            .get_or_init(|| pool(self.connector(), Version::HTTP_2))
    }

    fn tls(&self) -> Result<&Client<HttpsConnector<HttpConnector>, Outgoing>, TransportError> {
        if let Some(client) = self.tls.get() {
            return Ok(client);
        }
        let mut connector = self.connector();
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::config(self.extra()?)?)
            .https_only()
            .enable_all_versions()
            .wrap_connector(connector);
        Ok(self.tls.get_or_init(|| pool(connector, Version::HTTP_11)))
    }

    fn connector(&self) -> HttpConnector {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(self.connections.connect_timeout));
        connector.set_nodelay(true);
        connector
    }

    fn extra(&self) -> Result<&[CertificateDer<'static>], TransportError> {
        if let Some(extra) = self.extra.get() {
            return Ok(extra);
        }
        let extra = match &self.connections.extra_certificates {
            Some(path) => tls::read(path)?,
            None => Vec::new(),
        };
        Ok(self.extra.get_or_init(|| extra))
    }
}

fn pool<C>(connector: C, version: Version) -> Client<C, Outgoing>
where
    C: Connect + Clone,
{
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .http1_max_buf_size(HEAD_MAX_BYTES)
        .http2_max_header_list_size(HEAD_MAX_BYTES_H2)
        .http2_only(version == Version::HTTP_2)
        .build(connector)
}

fn addresses(extensions: &Extensions) -> Option<(SocketAddr, SocketAddr)> {
    let info = extensions.get::<HttpInfo>()?;
    Some((info.local_addr(), info.remote_addr()))
}

/// Returns an error's sources, the nearest first.
fn causes(error: &dyn StdError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause| (**cause).source())
}

/// Returns true when the server, or the state of the connection, states that the request was
/// not processed.
fn is_unprocessed(cause: &(dyn StdError + 'static)) -> bool {
    // A request that was canceled was never written.
    let is_unsent = cause
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_canceled);
    // GOAWAY ends only the streams after the last one that it names.
    let is_refused = cause.downcast_ref::<h2::Error>().is_some_and(|error| {
        let is_reset = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (error.is_go_away() || is_reset)
    });
    is_unsent || is_refused
}

/// Returns true when the connection ended before the head of a response was whole.
fn is_closed(cause: &(dyn StdError + 'static)) -> bool {
    let is_incomplete = cause
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_incomplete_message);
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    is_incomplete
        || matches!(
            kind,
            Some(
                io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::UnexpectedEof
            )
        )
}

/// A head longer than this is an error. Room for several challenges of the longest invoices.
const HEAD_MAX_BYTES: usize = 64 * 1024;
const HEAD_MAX_BYTES_H2: u32 = 64 * 1024;
/// More connections than this are rarely open at once; one that is forgotten counts as new.
const USED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::body::Body;

    #[tokio::test]
    async fn an_onion_name_is_refused_before_anything_is_looked_up() {
        let transport = Transport::new(Connections::default());
        for address in ["http://abc.onion/", "https://a.b.ONION:1/x"] {
            let (body, _len) = Body::empty().open().await.unwrap();
            let mut request = Request::new(body);
            *request.uri_mut() = address.parse().unwrap();

            let origin = address.parse().unwrap();
            let sent = transport.send(&origin, request);

            // A resolver and a connection would have to be waited for.
            let refused = sent.now_or_never().unwrap().unwrap_err();
            assert!(matches!(refused, TransportError::Onion { .. }), "{refused}");
            assert!(refused.to_string().contains(".onion"), "{refused}");
        }
    }
}
