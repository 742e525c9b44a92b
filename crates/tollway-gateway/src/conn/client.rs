//! One client connection, as its requests see it.

use std::net::SocketAddr;
use std::rc::Rc;

use http::HeaderValue;
use tokio_rustls::TlsAcceptor;
use tollway_server::Peer;

use crate::conn::registry::Connection;
use crate::core::Core;
use crate::request::headers::ForwardedHeaders;

/// The client of one connection, and what its requests need.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    pub(crate) peer: Peer,
    pub(crate) forwarded: ForwardedHeaders,
    pub(crate) connection: Rc<Connection>,
    pub(crate) core: Rc<Core>,
}

/// How a listener receives HTTP.
#[derive(Clone)]
pub(crate) enum Transport {
    Plaintext,
    Tls(TlsAcceptor),
}

impl ClientConnection {
    pub(crate) fn new(
        core: Rc<Core>,
        connection: Rc<Connection>,
        peer: SocketAddr,
        transport: &Transport,
    ) -> Rc<Self> {
        Rc::new(Self {
            peer: Peer::at(peer.ip().to_canonical()),
            forwarded: forwarded(peer, transport),
            connection,
            core,
        })
    }
}

fn forwarded(peer: SocketAddr, transport: &Transport) -> ForwardedHeaders {
    let address = peer.ip().to_canonical().to_string();
    ForwardedHeaders {
        // An address is always a valid header value.
        address: HeaderValue::try_from(address).unwrap_or(HeaderValue::from_static("unknown")),
        scheme: HeaderValue::from_static(match transport {
            Transport::Plaintext => "http",
            Transport::Tls(_) => "https",
        }),
    }
}
