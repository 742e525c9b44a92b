//! Proxies in front of a gateway, `10.0.0.1` or `10.0.0.0/8`, and the `Host` behind it.

use tollway_gateway::{ProxyNetwork, UpstreamHost};

use super::shown;

/// Reads an address or a network.
pub(crate) fn network(text: &str) -> Result<ProxyNetwork, NetworkError> {
    text.parse()
        .map_err(|_unshown| NetworkError { shown: shown(text) })
}

/// Reads the `Host` that an upstream receives.
pub(crate) fn upstream_host(text: &str) -> Result<UpstreamHost, HostError> {
    text.parse()
        .map_err(|_unshown| HostError { shown: shown(text) })
}

/// A text that is no network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{shown} is not a network: write an address or a network, like 10.0.0.1 or 10.0.0.0/8")]
pub(crate) struct NetworkError {
    shown: String,
}

/// A text that is no host.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{shown} is not a host: write upstream, preserve, or a host like api.example.com")]
pub(crate) struct HostError {
    shown: String,
}
