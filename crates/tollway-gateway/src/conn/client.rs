//! One client connection, as its requests see it, and the client of each of them.

use std::net::IpAddr;
use std::rc::Rc;

use http::HeaderValue;
use http::header::HeaderMap;
use tokio_rustls::TlsAcceptor;
use tollway_server::Peer;

use crate::conn::clients::ProxiedRequest;
use crate::conn::registry::Connection;
use crate::core::Core;
use crate::request::forwarded::{self, Chain};
use crate::request::headers::ForwardedHeaders;

/// A connection of which nothing has been read.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) core: Rc<Core>,
    pub(crate) connection: Rc<Connection>,
    pub(crate) peer: IpAddr,
}

/// One connection, and what its requests need.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    /// The client, or a trusted proxy.
    pub(crate) peer: Peer,
    pub(crate) forwarded: ForwardedHeaders,
    pub(crate) connection: Rc<Connection>,
    pub(crate) core: Rc<Core>,
    /// The proxy whose `X-Forwarded-*` name the client of each request.
    proxy: Option<IpAddr>,
}

/// The remote end of a connection, as far as it is proved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RemoteEnd {
    /// A client, or a proxy that does not know its own.
    Client(IpAddr),
    /// A trusted proxy.
    Proxy(IpAddr),
}

/// How a listener receives HTTP.
#[derive(Clone)]
pub(crate) enum Transport {
    Plaintext,
    Tls(TlsAcceptor),
}

impl ClientConnection {
    pub(crate) fn new(accepted: Accepted, end: RemoteEnd, transport: &Transport) -> Rc<Self> {
        let (address, proxy) = match end {
            RemoteEnd::Client(address) => (address, None),
            RemoteEnd::Proxy(address) => (address, Some(address)),
        };
        Rc::new(Self {
            peer: Peer::at(address),
            forwarded: forwarded_headers(address, transport),
            connection: accepted.connection,
            core: accepted.core,
            proxy,
        })
    }

    /// Returns the client of a request where a trusted proxy names it, and `None` where it is the
    /// remote end of the connection.
    pub(crate) fn proxied(&self, headers: &HeaderMap) -> Option<Box<ProxiedClient>> {
        let (core, proxy) = (&self.core, self.proxy?);
        let Chain { client, list } = forwarded::chain(headers, proxy, &core.proxies.trusted);
        let scheme = forwarded::scheme(headers);
        Some(Box::new(ProxiedClient {
            // A certificate of the connection would be the proxy's.
            peer: Peer::at(client),
            forwarded: ForwardedHeaders {
                address: list,
                scheme: scheme.unwrap_or_else(|| self.forwarded.scheme.clone()),
                host: forwarded::host(headers),
            },
            request: core.clients.request(client, core.index),
        }))
    }
}

/// The client of one request, named by a trusted proxy.
#[derive(Debug)]
pub(crate) struct ProxiedClient {
    pub(crate) peer: Peer,
    pub(crate) forwarded: ForwardedHeaders,
    pub(crate) request: ProxiedRequest,
}

fn forwarded_headers(address: IpAddr, transport: &Transport) -> ForwardedHeaders {
    let address = address.to_string();
    ForwardedHeaders {
        // An address is always a valid header value.
        address: HeaderValue::try_from(address).unwrap_or(HeaderValue::from_static("unknown")),
        scheme: HeaderValue::from_static(match transport {
            Transport::Plaintext => "http",
            Transport::Tls(_) => "https",
        }),
        host: None,
    }
}
