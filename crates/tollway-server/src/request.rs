//! The parts of a request that decide whether it is paid for and what it costs.

use http::request::Parts;
use http::{HeaderMap, Method};

use crate::peer::Peer;

/// A request as the gate and its pricers see it. The body is held elsewhere.
///
/// The query is left out: a token is bound to a path at most, so a price must not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct RequestInfo<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it stands in the request line, without the query.
    pub path: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The remote end of the connection.
    pub peer: Peer,
}

impl<'a> RequestInfo<'a> {
    /// Creates the description of a request from its head.
    #[must_use]
    pub fn of(parts: &'a Parts, peer: Peer) -> Self {
        Self {
            method: &parts.method,
            path: parts.uri.path(),
            headers: &parts.headers,
            peer,
        }
    }
}
