//! What the caveats of a token leave, apart from its text.

use std::net::IpAddr;

use super::Terms;
use super::services::Capabilities;
use crate::verify::RequestContext;

/// The last value of each condition that depends on the request.
///
/// A value is contained in those before it, so what holds for the last holds for all.
#[derive(Clone, Debug)]
pub(in crate::verify) struct Bounds {
    /// `None` is all of the service.
    capabilities: Option<Box<str>>,
    ip: Option<IpAddr>,
    origin: Option<Box<str>>,
    tls_fingerprint: Option<[u8; 32]>,
    methods: Option<Box<str>>,
    path_prefix: Option<Box<str>>,
}

impl Bounds {
    pub(in crate::verify) fn of(terms: &Terms<'_>) -> Self {
        Self {
            capabilities: match terms.capabilities {
                None | Some(Capabilities::All) => None,
                Some(Capabilities::Only(list)) => Some(list.into()),
            },
            ip: terms.ip,
            origin: terms.origin.map(Into::into),
            tls_fingerprint: terms.tls_fingerprint,
            methods: terms.methods.map(Into::into),
            path_prefix: terms.path_prefix.map(Into::into),
        }
    }

    /// True when all of them hold for the request.
    pub(in crate::verify) fn hold_for(&self, request: &RequestContext<'_>) -> bool {
        let Self {
            capabilities,
            ip,
            origin,
            tls_fingerprint,
            methods,
            path_prefix,
        } = self;
        capabilities
            .as_deref()
            .is_none_or(|list| request.is_content_with(list))
            && ip.is_none_or(|bound| request.is_from(bound))
            && origin
                .as_deref()
                .is_none_or(|bound| request.origin == Some(bound))
            && tls_fingerprint
                .as_ref()
                .is_none_or(|bound| request.has_certificate(bound))
            && methods
                .as_deref()
                .is_none_or(|list| request.has_method_of(list))
            && path_prefix
                .as_deref()
                .is_none_or(|prefix| request.has_path_below(prefix))
    }
}
