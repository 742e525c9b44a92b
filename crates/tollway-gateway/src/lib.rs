//! The tollway reverse proxy as a library.
//!
//! One thread per core, each with its own listener sockets, its own connections to each
//! upstream, and nothing to lock. HTTP/1.1, HTTP/2, gRPC, WebSockets and streams of any
//! length pass through as they come; what is not paid for goes no further than the gate.
//!
//! | question | module |
//! |---|---|
//! | What must be known before starting? | [`GatewayConfig`] |
//! | How is it started and stopped? | [`Gateway`], [`Running`] |
//! | What does one core do? | `worker` |
//! | What does one client connection go through? | `visitor`, `connections` |
//! | What happens to one request? | `exchange` |
//! | Which service is it for? | `route` |
//! | May it pass? | `admit`, over [`tollway_server::Gate`] |
//! | Which headers cross? | `forward` |
//! | Which connection carries it on? | `upstream` |
//! | What does the client get? | `reply` |
//! | How is it all doing? | `telemetry`, `access`, `admin` |
#![forbid(unsafe_code)]

mod access;
mod admin;
mod admit;
mod call;
mod config;
mod connections;
mod exchange;
mod forward;
mod gateway;
mod linger;
mod listener;
mod reply;
mod route;
mod sniff;
mod tcp;
mod telemetry;
mod tls;
mod upgrade;
mod upstream;
mod visitor;
mod worker;

pub use config::{GatewayConfig, Limits, Price, ServiceConfig, TlsListener};
pub use gateway::{Addresses, Gateway, Running, StartError, Stopped};
pub use tls::TlsError;
pub use upstream::{Upstream, UpstreamError};
