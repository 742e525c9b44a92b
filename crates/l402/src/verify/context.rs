//! The request a credential is judged for.

use std::net::IpAddr;

use super::value::items;
use crate::path;
use crate::time::UnixSeconds;

/// What a request's route demands of a token, and what caveats can bind a request by.
///
/// ```
/// use l402::{RequestContext, UnixSeconds};
///
/// let request = RequestContext::new("weather", "GET", "/v1/today", UnixSeconds::new(1_800_000_000))
///     .with_tier(2)
///     .with_capability("forecast")
///     .with_origin("https://app.example");
/// # let _ = request;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    pub(super) service: &'a str,
    pub(super) resource: Option<&'a str>,
    pub(super) tier: u8,
    pub(super) capability: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) now: UnixSeconds,
    pub(super) client_ip: Option<IpAddr>,
    pub(super) origin: Option<&'a str>,
    pub(super) tls_certificate: Option<&'a [u8; 32]>,
}

impl<'a> RequestContext<'a> {
    /// Creates the context of a request for the base tier, without a capability, from an
    /// unknown client.
    ///
    /// `service` is the one its route belongs to, `path` the path as it stands in the
    /// request line, without the query, and `now` the time of its arrival.
    #[must_use]
    pub const fn new(service: &'a str, method: &'a str, path: &'a str, now: UnixSeconds) -> Self {
        Self {
            service,
            resource: None,
            tier: 0,
            capability: None,
            method,
            path,
            now,
            client_ip: None,
            origin: None,
            tls_certificate: None,
        }
    }

    /// Demands a token for the service and this path together, as
    /// [`Services::resource`](crate::Services::resource) writes it.
    ///
    /// The path must be the one the token was minted for, byte for byte: another spelling of it
    /// is another resource. A token for the service alone is then refused.
    #[must_use]
    pub fn with_resource(mut self, path: impl Into<Option<&'a str>>) -> Self {
        self.resource = path.into();
        self
    }

    /// Demands this tier of the service or a higher one. The base tier is 0.
    #[must_use]
    pub const fn with_tier(mut self, tier: u8) -> Self {
        self.tier = tier;
        self
    }

    /// Demands a capability of the service.
    #[must_use]
    pub fn with_capability(mut self, capability: impl Into<Option<&'a str>>) -> Self {
        self.capability = capability.into();
        self
    }

    /// Sets the client's address. It must be one that the client cannot choose freely.
    #[must_use]
    pub fn with_client_ip(mut self, address: impl Into<Option<IpAddr>>) -> Self {
        self.client_ip = address.into();
        self
    }

    /// Sets the `Origin` header.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<Option<&'a str>>) -> Self {
        self.origin = origin.into();
        self
    }

    /// Sets the SHA-256 of the client's TLS certificate, taken from the verified connection.
    #[must_use]
    pub fn with_tls_certificate(mut self, sha256: impl Into<Option<&'a [u8; 32]>>) -> Self {
        self.tls_certificate = sha256.into();
        self
    }

    /// True when the client has the address that a caveat binds to.
    pub(super) fn is_from(&self, bound: IpAddr) -> bool {
        let client = self.client_ip.map(|client| client.to_canonical());
        client == Some(bound.to_canonical())
    }

    pub(super) fn has_certificate(&self, bound: &[u8; 32]) -> bool {
        self.tls_certificate == Some(bound)
    }

    pub(super) fn has_method_of(&self, list: &str) -> bool {
        items(list).any(|item| item == self.method.as_bytes())
    }

    pub(super) fn has_path_below(&self, prefix: &str) -> bool {
        path::is_unambiguous(self.path) && path::is_below(self.path, prefix)
    }

    /// True when the capability that is demanded, if any, is one of these.
    pub(super) fn is_content_with(&self, capabilities: &str) -> bool {
        self.capability
            .is_none_or(|demanded| items(capabilities).any(|held| held == demanded.as_bytes()))
    }
}
