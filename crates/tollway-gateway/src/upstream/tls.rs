//! TLS towards one upstream.
//!
//! The server's certificate is verified against the system's authorities, or those in the
//! file its service names.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::conn::tls::{ALPN_HTTP1, ALPN_HTTP2, TlsError, certificates, provider};

/// The protocols offered to an upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Offered {
    /// HTTP/2 or HTTP/1.1, as the upstream chooses.
    Either,
    /// HTTP/1.1, which alone can be upgraded.
    Http1,
    /// HTTP/2, which alone carries gRPC.
    Http2,
}

/// TLS settings for one upstream, for each choice of protocols.
#[derive(Clone, Debug)]
pub(crate) struct ClientTls {
    name: ServerName<'static>,
    /// The authorities named by the service; `None` for the system's.
    authorities: Option<Vec<CertificateDer<'static>>>,
    either: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

/// The same name, and the same authorities in the same order.
impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.authorities == other.authorities
    }
}

impl ClientTls {
    /// Expects the certificate of `host`, issued by an authority in `file` or the system's.
    pub(crate) fn with(host: &str, file: Option<&Path>) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::UnnameableHost {
            host: host.to_owned(),
        })?;
        let authorities = file.map(certificates).transpose()?;
        let trusted = authorities.clone().unwrap_or_else(system_authorities);
        let roots = some_of(trusted, || place(file))?;
        let base = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let speaking = |protocols: &[&[u8]]| {
            let mut config = base.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Self {
            name,
            authorities,
            either: speaking(&[ALPN_HTTP2, ALPN_HTTP1]),
            http1: speaking(&[ALPN_HTTP1]),
            http2: speaking(&[ALPN_HTTP2]),
        })
    }

    pub(crate) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    pub(crate) fn offering(&self, offered: Offered) -> Arc<ClientConfig> {
        Arc::clone(match offered {
            Offered::Either => &self.either,
            Offered::Http1 => &self.http1,
            Offered::Http2 => &self.http2,
        })
    }
}

fn system_authorities() -> Vec<CertificateDer<'static>> {
    // Unreadable entries are skipped: the store is unusable only when none is left.
    rustls_native_certs::load_native_certs().certs
}

fn place(file: Option<&Path>) -> String {
    file.map_or("the system's store".to_owned(), |path| {
        path.display().to_string()
    })
}

fn some_of(
    certificates: Vec<CertificateDer<'static>>,
    place: impl FnOnce() -> String,
) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(TlsError::NoAuthorities { place: place() }),
        _ => Ok(roots),
    }
}
