//! Configuration of a gateway.
//!
//! Values only: nothing here opens a file or a socket. A [`GatewayConfig`] is checked as
//! a whole by [`Gateway::start`](crate::Gateway::start), before the first port is bound.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::uri::Authority;
use tollway_server::{Gate, Pricer, Requirement};

use crate::conn::proxies::TrustedProxies;
use crate::upstream::target::Upstream;

/// Configuration of a gateway.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Where to serve without TLS: HTTP/1.1, and HTTP/2 with prior knowledge.
    pub http: Option<SocketAddr>,
    /// Where to serve with TLS: HTTP/2 or HTTP/1.1, as the client chooses by ALPN.
    pub https: Option<TlsListener>,
    /// Where to serve `/metrics` and `/healthz`. Unauthenticated: keep it private.
    pub admin: Option<SocketAddr>,
    /// Threads that serve requests, each with its own listener sockets and upstream pools.
    pub workers: NonZeroUsize,
    /// The proxies in front of the gateway, if there are any.
    pub proxies: ProxiesConfig,
    /// Timeouts and bounds towards clients.
    pub limits: GatewayLimits,
    /// What is served, where it comes from and what it costs.
    pub routing: RoutingConfig,
}

/// A port served with TLS.
#[derive(Clone, Debug)]
pub struct TlsListener {
    /// Where to listen.
    pub address: SocketAddr,
    /// The certificate chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// The proxies in front of a gateway, whose word about clients is taken. Without any, the client
/// of a request is the remote end of its connection, whatever the request claims.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProxiesConfig {
    /// Where they are. The client of a request from one of them is the last address in
    /// `X-Forwarded-For` that is not trusted itself.
    pub trusted: TrustedProxies,
    /// Whether their connections begin with a header of the PROXY protocol.
    pub protocol: ProxyProtocol,
}

/// Whether connections of trusted proxies begin with a header of the PROXY protocol, version 1
/// or 2. One from any other address is never read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ProxyProtocol {
    /// They do not.
    #[default]
    Off,
    /// They do, on all ports but that for metrics; a connection without one is closed.
    Required,
}

/// Services, and the routes that lead to them.
#[derive(Clone, Debug, Default)]
pub struct RoutingConfig {
    /// Where requests go. Each name is used once.
    pub services: Vec<ServiceConfig>,
    /// Which requests go there and what they cost, in order: the first that matches applies.
    pub routes: Vec<RouteConfig>,
}

impl RoutingConfig {
    /// Creates the configuration of one service that receives all requests at one price.
    #[must_use]
    pub fn single(service: ServiceConfig, price: Price) -> Self {
        Self {
            routes: vec![RouteConfig::new(&service.name, price)],
            services: vec![service],
        }
    }
}

/// One service: an upstream and how it is called.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Names the service in routes, metrics and the access log.
    pub name: String,
    /// Where admitted requests go.
    pub upstream: Upstream,
    /// A PEM file of authorities to trust for an `https://` upstream, in place of the system's.
    pub upstream_authorities: Option<PathBuf>,
    /// The `Host` that the upstream receives.
    pub upstream_host: UpstreamHost,
    /// Timeouts and bounds of calls to the upstream.
    pub limits: UpstreamLimits,
}

impl ServiceConfig {
    /// Creates a service with default limits that trusts the system's authorities.
    #[must_use]
    pub fn new(name: impl Into<String>, upstream: Upstream) -> Self {
        Self {
            name: name.into(),
            upstream,
            upstream_authorities: None,
            upstream_host: UpstreamHost::default(),
            limits: UpstreamLimits::default(),
        }
    }
}

/// The `Host` that an upstream receives; over HTTP/2, `:authority`.
///
/// The host that was asked for is in `X-Forwarded-Host` in any case. TLS is not affected: the
/// connection is shared by requests for all hosts, so the certificate is always expected to be for
/// the host of the upstream's URL, which is also what SNI names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum UpstreamHost {
    /// Host and port of the upstream's URL, as they are written there.
    #[default]
    Upstream,
    /// The host that the client asked for.
    Preserved,
    /// This one.
    Named(HostName),
}

/// A host, with or without a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostName(HeaderValue);

impl HostName {
    pub(crate) const fn as_value(&self) -> &HeaderValue {
        &self.0
    }
}

/// A text that is no `Host`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is no host: write `upstream`, `preserve`, or a host like api.example.com")]
pub struct UpstreamHostError {
    text: String,
}

impl FromStr for UpstreamHost {
    type Err = UpstreamHostError;

    /// Reads `upstream`, `preserve`, or a host with or without a port, in any case.
    fn from_str(text: &str) -> Result<Self, UpstreamHostError> {
        match text.to_ascii_lowercase().as_str() {
            "upstream" => Ok(Self::Upstream),
            "preserve" => Ok(Self::Preserved),
            host => read_host(host)
                .map(Self::Named)
                .ok_or_else(|| UpstreamHostError {
                    text: host.to_owned(),
                }),
        }
    }
}

fn read_host(text: &str) -> Option<HostName> {
    let authority: Authority = text.parse().ok()?;
    if authority.host().is_empty() || text.contains('@') {
        return None;
    }
    HeaderValue::from_str(text).ok().map(HostName)
}

/// One route: which requests go to a service, and what they cost.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// The host asked for, without a port; `None` matches every host.
    pub host: Option<String>,
    /// The path asked for, up to a `/`: `/api` matches `/api` and `/api/x`, not `/apis`.
    pub path_prefix: String,
    /// The name of the service.
    pub service: String,
    /// What a request costs.
    pub price: Price,
}

impl RouteConfig {
    /// Creates a route that sends all requests to a service.
    #[must_use]
    pub fn new(service: impl Into<String>, price: Price) -> Self {
        Self {
            host: None,
            path_prefix: "/".to_owned(),
            service: service.into(),
            price,
        }
    }
}

/// What a route charges. A priced one brings the gate that decides, so that no priced route
/// is without one.
#[derive(Clone, Debug)]
pub enum Price {
    /// Every request is served.
    Free,
    /// Requests are served when `gate` admits them for `requirement`.
    Paid {
        /// Decides which requests are paid for.
        gate: Arc<Gate>,
        /// What a token must be for.
        requirement: Box<Requirement>,
        /// What decides the price of a token.
        pricer: Arc<dyn Pricer>,
    },
}

/// Timeouts and bounds towards clients. The defaults suit the API of one machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GatewayLimits {
    /// How long a client may take to complete a request head, first or later, in whole
    /// seconds. Default 60 s.
    pub idle_timeout: Duration,
    /// How long a client may send none of the rest of a request that waits for it, in whole
    /// seconds, before the response is 408. Default 60 s. gRPC calls are exempt.
    pub read_timeout: Duration,
    /// How long a client may take none of a response, before the connection (HTTP/1.1) or the
    /// stream (HTTP/2) is closed, in whole seconds. Default 60 s.
    pub write_timeout: Duration,
    /// The same for a response that the gateway makes itself, which is short. Default 10 s.
    pub local_response_timeout: Duration,
    /// How long nothing may move in an upgraded connection, in whole seconds. Default: no limit.
    pub tunnel_idle_timeout: Option<Duration>,
    /// The same once one of its ends has closed. Default 10 s.
    pub tunnel_close_timeout: Duration,
    /// How long requests in flight may take to finish once the gateway stops. Default 30 s.
    pub drain_timeout: Duration,
    /// The same for upgraded connections, which have no natural end. Default 5 s.
    pub tunnel_drain_timeout: Duration,
    /// The longest request head accepted, in bytes. Default 32 KiB.
    pub head_max_bytes: usize,
    /// Client connections open at once, over all workers: fewer if the system grants fewer than
    /// two file descriptors for each. Default 20,000. When there are as many, those that have
    /// been idle longest are closed for new ones.
    pub connections_max: NonZeroUsize,
    /// Connections of one client, an IPv4 address or the first 64 bits of an IPv6 address.
    /// Default: a quarter of `connections_max`, and not fewer than 64.
    pub client_connections_max: Option<NonZeroUsize>,
    /// Concurrent requests of one client; what exceeds them is refused with 429. Default: a
    /// quarter of `connections_max`, and not fewer than 64.
    pub client_requests_max: Option<NonZeroUsize>,
}

/// Timeouts and bounds of calls to one upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamLimits {
    /// How long a connection may take to open, TLS included. Default 5 s.
    pub connect_timeout: Duration,
    /// How long the upstream may take to begin its response once the request stopped moving, in
    /// whole seconds. Default 60 s. gRPC calls carry their own deadline and are exempt.
    pub response_timeout: Duration,
    /// How long the upstream may be silent in the middle of a response, in whole seconds;
    /// `None` for no limit. Default 60 s. Streams are exempt: gRPC, gRPC-Web, upgraded connections
    /// and the media types `text/event-stream`, `application/x-ndjson`, `application/ndjson`,
    /// `application/jsonl`, `application/stream+json`, `application/json-seq` and
    /// `multipart/x-mixed-replace`.
    pub body_timeout: Option<Duration>,
    /// Idle HTTP/1.1 connections kept by one worker. Default 256.
    pub idle_max: usize,
    /// How long an idle connection is kept. Default 30 s.
    pub idle_timeout: Duration,
    /// HTTP/1.1 connections of one worker, idle ones included. Default 1,024. A request beyond
    /// waits for one to be free, for at most [`connect_timeout`](Self::connect_timeout).
    pub connections_max: NonZeroUsize,
    /// HTTP/2 connections of one worker. Default 4. A request beyond the streams they allow waits
    /// like one beyond `connections_max`.
    pub h2_max: NonZeroUsize,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            local_response_timeout: Duration::from_secs(10),
            tunnel_idle_timeout: None,
            tunnel_close_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            tunnel_drain_timeout: Duration::from_secs(5),
            head_max_bytes: 32 * 1024,
            connections_max: CONNECTIONS_MAX,
            client_connections_max: None,
            client_requests_max: None,
        }
    }
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            body_timeout: Some(Duration::from_secs(60)),
            idle_max: 256,
            idle_timeout: Duration::from_secs(30),
            connections_max: UPSTREAM_CONNECTIONS_MAX,
            h2_max: UPSTREAM_H2_MAX,
        }
    }
}

const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");
const UPSTREAM_CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");
const UPSTREAM_H2_MAX: NonZeroUsize = NonZeroUsize::new(4).expect("not zero");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_upstream_is_a_word_or_a_host() {
        for (text, host) in [
            ("upstream", UpstreamHost::Upstream),
            ("preserve", UpstreamHost::Preserved),
        ] {
            assert_eq!(text.parse(), Ok(host));
        }
        for text in ["api.example.com", "api.example.com:8443", "[::1]:80"] {
            let Ok(UpstreamHost::Named(host)) = text.parse() else {
                panic!("{text}");
            };
            assert_eq!(host.as_value(), text);
        }
        for text in ["", "http://a", "a b", "user@a", "a/b", ":80"] {
            assert!(text.parse::<UpstreamHost>().is_err(), "{text}");
        }
    }
}
