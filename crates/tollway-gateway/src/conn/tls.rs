//! TLS towards clients, and what both directions share.
//!
//! One certificate chain from PEM files, HTTP/2 preferred by ALPN. Session tickets are
//! stateless, so workers share no session cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No authority to trust was found, so no `https://` upstream can be verified.
    #[error("no trusted certificate authority in {place}; name a PEM file of authorities")]
    NoAuthorities {
        /// The place searched.
        place: String,
    },
    /// The certificate and the key do not match, or are of an unsupported kind.
    #[error("the certificate {certificate} and its key cannot be used")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// The cryptography library could not be initialised.
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

/// Reads a certificate chain and its key.
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

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| TlsError::Unreadable {
            path: path.to_owned(),
            source,
        })
}

pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
pub(crate) const ALPN_HTTP1: &[u8] = b"http/1.1";
