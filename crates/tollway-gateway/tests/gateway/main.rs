//! The gateway as its clients and upstreams see it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failing test should show where"
)]

#[path = "../support/mod.rs"]
mod support;

mod access_log;
mod admin;
mod certificates;
mod closing;
mod counts;
mod crowd;
mod delivery;
mod down;
mod drain;
mod failures;
mod framing;
mod goaway;
mod grpc;
mod headers;
mod leaving;
mod progress;
mod protocols;
mod proxies;
mod proxy_protocol;
mod refusals;
mod routing;
mod siege;
mod streams;
mod upstreams;
mod websocket;
