//! What the gateway knows of one client connection.

use std::net::SocketAddr;
use std::rc::Rc;

use http::HeaderValue;
use tokio_rustls::TlsAcceptor;
use tollway_server::Peer;

use crate::conn::registry::Connection;
use crate::core::Core;
use crate::request::headers::Introduction;

/// The client at the other end of one connection.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) peer: Peer,
    pub(crate) introduction: Introduction,
    pub(crate) connection: Rc<Connection>,
    pub(crate) core: Rc<Core>,
}

/// The kinds of port a client may come in by.
#[derive(Clone)]
pub(crate) enum Port {
    Plain,
    Tls(TlsAcceptor),
}

impl Visitor {
    pub(crate) fn new(
        core: Rc<Core>,
        connection: Rc<Connection>,
        peer: SocketAddr,
        port: &Port,
    ) -> Rc<Self> {
        Rc::new(Self {
            peer: Peer::at(peer.ip().to_canonical()),
            introduction: introduction(peer, port),
            connection,
            core,
        })
    }
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
