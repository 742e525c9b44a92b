//! Configuration of a gateway.
//!
//! Values only: nothing here opens a file or a socket. A [`GatewayConfig`] is checked as
//! a whole by [`Gateway::start`](crate::Gateway::start), before the first port is bound.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tollway_server::{Gate, Pricer, Requirement};

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
    /// Timeouts and bounds.
    pub limits: Limits,
    /// What is served, in order: the first service that matches a request gets it.
    pub services: Vec<ServiceConfig>,
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

/// One service: which requests are its, where they go, and what they cost.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Names the service in metrics and in the access log.
    pub name: String,
    /// The host asked for, without a port; `None` matches every host.
    pub host: Option<String>,
    /// The path asked for, up to a `/`: `/api` matches `/api` and `/api/x`, not `/apis`.
    pub path_prefix: String,
    /// Where admitted requests go.
    pub upstream: Upstream,
    /// A PEM file of authorities to trust for an `https://` upstream, in place of the system's.
    pub upstream_authorities: Option<PathBuf>,
    /// What a request costs.
    pub price: Price,
}

/// What a service charges. A priced one brings the gate that decides, so that there is
/// no priced service without one.
#[derive(Clone, Debug)]
pub enum Price {
    /// Every request is served.
    Free,
    /// Requests are served when `gate` admits them for `requirement`.
    Paid {
        /// Who decides.
        gate: Arc<Gate>,
        /// What a token must be for.
        requirement: Box<Requirement>,
        /// What decides the price of a token.
        pricer: Arc<dyn Pricer>,
    },
}

/// Timeouts and bounds. The defaults suit an API behind one machine's gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// How long a connection to an upstream may take to open, TLS included. Default 5 s.
    pub connect_timeout: Duration,
    /// How long an upstream may take to begin its response once the request stopped
    /// moving. Default 60 s. gRPC calls carry their own deadline and are exempt.
    pub response_timeout: Duration,
    /// How long a client may take to complete a request head, first or later, in whole
    /// seconds. Default 60 s.
    pub idle_timeout: Duration,
    /// How long requests in flight may take to finish once the gateway stops. Default 30 s.
    pub drain_timeout: Duration,
    /// The same for upgraded connections, which have no natural end. Default 5 s.
    pub tunnel_drain_timeout: Duration,
    /// The longest request head accepted, in bytes. Default 32 KiB.
    pub head_max_bytes: usize,
    /// Client connections open at once, over all workers. Default 20,000.
    pub connections_max: NonZeroUsize,
    /// Idle HTTP/1.1 connections kept to one upstream by one worker. Default 256.
    pub upstream_idle_max: usize,
    /// How long an idle upstream connection is kept. Default 30 s.
    pub upstream_idle_timeout: Duration,
    /// How long after its last use an idle connection is considered fresh. Default 1 s.
    ///
    /// A request without a body that fails on an older one, and may be repeated without
    /// harm, is sent once more: the upstream has most likely closed it while idle.
    pub upstream_fresh_for: Duration,
    /// HTTP/2 connections to one upstream by one worker. Default 4.
    pub upstream_h2_max: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            tunnel_drain_timeout: Duration::from_secs(5),
            head_max_bytes: 32 * 1024,
            connections_max: CONNECTIONS_MAX,
            upstream_idle_max: 256,
            upstream_idle_timeout: Duration::from_secs(30),
            upstream_fresh_for: Duration::from_secs(1),
            upstream_h2_max: UPSTREAM_H2_MAX,
        }
    }
}

const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");
const UPSTREAM_H2_MAX: NonZeroUsize = NonZeroUsize::new(4).expect("not zero");
