//! What an operator sees: metrics, health and the access log.

pub(crate) mod access_log;
pub mod metrics;
pub(crate) mod server;
pub(crate) mod telemetry;
