//! TLS: which certificates are trusted, and by which rules.
//!
//! Trusted are the system's certificates, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name
//! in their place, as with OpenSSL; the certificates of Mozilla's list only where the system has
//! none; and those of [`Connections::extra_certificates`](crate::Connections::extra_certificates).

mod verifier;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use self::verifier::Verifier;
use crate::error::TransportError;

/// Reads a file of certificates to trust besides the others.
///
/// # Errors
///
/// Fails when it cannot be read or holds none that can be trusted.
pub(crate) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let refused = |reason: String| TransportError::Certificates {
        path: path.to_owned(),
        reason,
    };
    let mut certificates = Vec::new();
    for certificate in
        CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))?
    {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        roots
            .add(certificate.clone())
            .map_err(|error| refused(error.to_string()))?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err(refused("it holds no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}

/// Returns how TLS connections are made. Reads hundreds of certificates.
///
/// # Errors
///
/// Fails when none of the certificates that the environment names can be read.
pub(crate) fn config(extra: &[CertificateDer<'static>]) -> Result<ClientConfig, TransportError> {
    let mut roots = RootCertStore::empty();
    let mut trusted = system()?;
    if trusted.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    trusted.extend(extra.iter().cloned());
    // The system's may include some that webpki cannot read.
    roots.add_parsable_certificates(trusted.iter().cloned());
    // Named, so that no other crate's choice of provider is ours.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new(roots, trusted, Arc::clone(&provider))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TransportError::Tls)?
        // The verifier keeps webpki's rules but for one.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(config.with_no_client_auth())
}

fn system() -> Result<Vec<CertificateDer<'static>>, TransportError> {
    if let Some(file) = env::var_os("SSL_CERT_FILE").map(PathBuf::from) {
        // It names what is trusted: the rest alone would not be what was asked for.
        fs::metadata(&file).map_err(|error| TransportError::Certificates {
            path: file,
            reason: error.to_string(),
        })?;
    }
    let found = rustls_native_certs::load_native_certs();
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .into_iter()
        .filter_map(env::var_os)
        .find(|value| !value.is_empty());
    match (named, found.errors.first()) {
        // No others are trusted in the place of those that were named.
        (Some(named), Some(error)) if found.certs.is_empty() => Err(TransportError::Certificates {
            path: PathBuf::from(named),
            reason: error.to_string(),
        }),
        (Some(_) | None, _) => Ok(found.certs),
    }
}
