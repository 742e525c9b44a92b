//! HTTP/2 to an upstream.

pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod sender;
pub(crate) mod shared;
