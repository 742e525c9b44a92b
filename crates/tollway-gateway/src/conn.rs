//! Client side: from bytes on a socket to HTTP requests.

pub(crate) mod activity;
pub(crate) mod client;
pub(crate) mod clients;
pub(crate) mod connection;
pub(crate) mod descriptors;
pub(crate) mod detect;
pub(crate) mod executor;
pub(crate) mod listener;
pub(crate) mod proxies;
pub(crate) mod proxy_header;
pub(crate) mod registry;
pub(crate) mod rewind;
pub(crate) mod tcp;
pub(crate) mod tls;
