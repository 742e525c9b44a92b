//! How does the gateway prove who it is, and whom does it believe?
//!
//! Serving: one certificate chain from PEM files, HTTP/2 preferred by ALPN. Calling: the
//! system's authorities, or the file a service names. Session tickets are stateless, so
//! workers share no session cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No authority to trust was found, so no `https://` upstream can be believed.
    #[error("no trusted certificate authority in {place}; name a PEM file of authorities")]
    NoAuthorities {
        /// Where was looked.
        place: String,
    },
    /// The certificate and the key do not belong together, or are of no known kind.
    #[error("the certificate {certificate} and its key cannot be used")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The cryptography library refused to start.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
    /// The host of an `https://` upstream cannot be in a certificate.
    #[error("no certificate can be for `{host}`: write a host name or an address")]
    UnnameableHost {
        /// The host.
        host: String,
    },
    /// A PEM file is missing or is not PEM.
    #[error("{path} cannot be read as PEM")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
}

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

/// TLS towards one upstream, ready for each choice of protocols.
#[derive(Clone, Debug)]
pub(crate) struct ClientTls {
    name: ServerName<'static>,
    either: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl ClientTls {
    /// Expects the certificate of `host`, from the authorities in `file` or the system's.
    pub(crate) fn with(host: &str, file: Option<&Path>) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::UnnameableHost {
            host: host.to_owned(),
        })?;
        let roots = match file {
            Some(path) => authorities_in(path)?,
            None => system_authorities()?,
        };
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

/// Serves with this certificate chain and key.
pub(crate) fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(certificate)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Unreadable {
        path: key.to_owned(),
        source,
    })?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|source| TlsError::Unusable {
            certificate: certificate.to_owned(),
            source,
        })?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)?;
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| TlsError::Unreadable {
            path: path.to_owned(),
            source,
        })
}

fn authorities_in(path: &Path) -> Result<RootCertStore, TlsError> {
    some_of(certificates(path)?, || path.display().to_string())
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    // Unreadable entries are passed over: the store is only unusable when nothing is left.
    some_of(rustls_native_certs::load_native_certs().certs, || {
        "the system's store".to_owned()
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

pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";
