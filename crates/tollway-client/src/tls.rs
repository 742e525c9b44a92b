//! TLS: which certificates are trusted, and by which rules.
//!
//! Trusted are the system's certificates, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name
//! in their place, as with OpenSSL; the certificates of Mozilla's list only where the system has
//! none; and those of [`Connections::extra_certificates`](crate::Connections::extra_certificates).

mod verifier;

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};

use self::verifier::Verifier;
use crate::error::{CertificateSource, TransportError};

/// Reads a file of certificates to trust besides the others.
///
/// # Errors
///
/// Fails when it cannot be read, or when not everything in it can be trusted.
pub(crate) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let file = CertificateFile {
        path,
        named_by: CertificateSource::Connections,
    };
    let mut certificates = Vec::new();
    for certificate in file.certificates()? {
        let certificate = certificate.map_err(|error| file.refused(error))?;
        let mut roots = RootCertStore::empty();
        let added = roots.add(certificate.clone());
        added.map_err(|error| file.refused(error))?;
        certificates.push(certificate);
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

/// Returns the certificates that the environment names, or else the system's.
fn system() -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let file = env::var_os("SSL_CERT_FILE");
    let folders = env::var_os("SSL_CERT_DIR").filter(|folders| !folders.is_empty());
    if file.is_none() && folders.is_none() {
        return Ok(rustls_native_certs::load_native_certs().certs);
    }
    let mut found = Vec::new();
    if let Some(file) = &file {
        let file = CertificateFile {
            path: Path::new(file),
            named_by: CertificateSource::SslCertFile,
        };
        // A bundle may include some that cannot be read.
        found.extend(file.certificates()?.into_iter().flatten());
    }
    if let Some(folders) = &folders {
        found.extend(in_folders(folders, found.is_empty())?);
    }
    Ok(found)
}

/// Reads the folders in a list of them. No others are trusted in the place of those that were
/// named: if `required`, none is an error.
fn in_folders(
    folders: &OsStr,
    required: bool,
) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let (mut found, mut failed) = (Vec::new(), None);
    for folder in env::split_paths(folders).filter(|folder| !folder.as_os_str().is_empty()) {
        let read = rustls_native_certs::load_certs_from_paths(None, Some(&folder));
        found.extend(read.certs);
        failed = failed.or_else(|| read.errors.into_iter().next());
    }
    if required && found.is_empty() {
        return Err(TransportError::Certificates {
            named_by: CertificateSource::SslCertDir,
            path: PathBuf::from(folders),
            reason: failed.map_or_else(
                || "no file there has a certificate in PEM".to_owned(),
                |error| error.to_string(),
            ),
        });
    }
    Ok(found)
}

/// A file of certificates in PEM.
struct CertificateFile<'a> {
    path: &'a Path,
    named_by: CertificateSource,
}

impl CertificateFile<'_> {
    /// Returns the certificates of the file, at least one, and what cannot be read in it.
    fn certificates(
        &self,
    ) -> Result<Vec<Result<CertificateDer<'static>, pem::Error>>, TransportError> {
        if self.path.as_os_str().is_empty() {
            let name = self.named_by;
            return Err(self.refused(format_args!(
                "{name} is empty: unset it, or name a file in PEM"
            )));
        }
        let bytes = self.bytes().map_err(|error| self.refused(error))?;
        let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes).collect();
        if found.iter().any(Result::is_ok) {
            return Ok(found);
        }
        Err(self.refused(lack(&bytes)))
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let file = File::open(self.path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::other("it is a folder, not a file in PEM"));
        }
        let mut bytes = Vec::new();
        file.take(FILE_MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn refused(&self, reason: impl fmt::Display) -> TransportError {
        TransportError::Certificates {
            named_by: self.named_by,
            path: self.path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Returns what a file without a certificate in PEM has in its place.
fn lack(bytes: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(bytes);
    if bytes.is_empty() {
        "it is empty"
    } else if text.contains("PRIVATE KEY-----") {
        "it has a private key and no certificate"
    } else if bytes.starts_with(DER_SEQUENCE) {
        "it is not PEM: convert it with `openssl x509 -inform der`"
    } else {
        "it has no certificate in PEM"
    }
}

/// A hundred times the system's. What does not end is not read to its end.
const FILE_MAX_BYTES: u64 = 32 * 1024 * 1024;
/// How a certificate begins that is longer than 255 bytes.
const DER_SEQUENCE: &[u8] = &[0x30, 0x82];
