//! Upstream side: connections, and the sending of one request on one of them.

pub(crate) mod attempt;
pub(crate) mod connect;
pub(crate) mod dial;
pub(crate) mod error;
pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod health;
pub(crate) mod idle;
pub(crate) mod pool;
pub(crate) mod response;
pub(crate) mod slots;
pub(crate) mod stream;
pub(crate) mod target;
pub(crate) mod tls;
pub(crate) mod upload;
