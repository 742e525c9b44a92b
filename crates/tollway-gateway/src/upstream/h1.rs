//! HTTP/1.1 to an upstream.

pub(crate) mod connection;
pub(crate) mod decoder;
pub(crate) mod exchange;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod sender;
