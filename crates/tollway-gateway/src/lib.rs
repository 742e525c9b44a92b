//! The tollway reverse proxy as a library.
//!
//! One thread per core, each with its own listener sockets, its own connections to each
//! upstream, and nothing to lock. HTTP/1.1, HTTP/2, gRPC, WebSockets and streams of any
//! length pass through as they come; what is not paid for goes no further than the gate.
//!
//! | module | state |
//! |---|---|
//! | [`GatewayConfig`], [`Gateway`], [`Running`] | configuration, start, stop |
//! | `worker` | one thread: listener sockets, maintenance, drain |
//! | `core` | what the requests of one worker share: routes, upstream pools |
//! | `conn/` | one client connection: bytes to HTTP |
//! | – `descriptors` `listener` `tcp` `tls` `detect` `rewind` | sockets and how many there may be, TLS, which HTTP is spoken |
//! | – `proxies` `proxy_header` | proxies in front of the gateway, the PROXY protocol |
//! | – `clients` | connections and requests of each client |
//! | – `activity` `registry` `client` `connection` `executor` | what makes progress, when it must end, who the client is, its requests |
//! | `request/` | one request |
//! | – `exchange` | matched, admitted, forwarded, responded to |
//! | – `route` `kind` `admit` `headers` `forwarded` `request_id` | which service, which protocol, is it paid for, which headers cross, what a proxy states |
//! | – `in_flight` | what is counted and logged of it, to its end |
//! | – `problem` `reply` `upgrade` `drain` | what the client receives, tunnels, bodies of refused requests |
//! | `upstream/` | connections to one upstream |
//! | – `target` `tls` `health` `dial` `connect` `stream` `upload` | where it is, how it is reached and whether it is, bodies on their way |
//! | – `h1/` `h2/` `error` | one request and its response on a connection of either version |
//! | – `slots` `idle` `response` `pool` `attempt` | connections in use and not in use, the sending of one request |
//! | `admin/` | `server` (metrics, health), `metrics` (their table), `telemetry`, `access_log` |
//!
//! A file uses only what comes before it: core ← exchange ← connection ← worker, and
//! upload ← h1, connect, h2 ← idle ← response ← pool ← attempt. A test holds this.
#![forbid(unsafe_code)]

mod admin;
mod config;
mod conn;
mod core;
mod gateway;
mod request;
mod upstream;
mod worker;

pub use admin::metrics;
pub use config::{
    GatewayConfig, GatewayLimits, HostName, Price, ProxiesConfig, ProxyProtocol, RouteConfig,
    RoutingConfig, ServiceConfig, TlsListener, UpstreamHost, UpstreamHostError, UpstreamLimits,
};
pub use conn::proxies::{ProxyNetwork, ProxyNetworkError, TrustedProxies};
pub use conn::tls::{PemProblem, TlsError};
pub use gateway::{Addresses, Gateway, InFlightCount, Running, StartError, Stopped, UpstreamDown};
pub use request::route::RoutingError;
pub use upstream::target::{Upstream, UpstreamError};

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
