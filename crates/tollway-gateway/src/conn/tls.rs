//! TLS towards clients, and what both directions share.
//!
//! One certificate chain from PEM files, HTTP/2 preferred by ALPN. Session tickets are
//! stateless, so workers share no session cache.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore, ServerConfig};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file of a certificate or a key cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: PemProblem,
    },
    /// The key is another certificate's.
    #[error("the key {} does not belong to the certificate {}", key.display(), certificate.display())]
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// No authority to trust was found, so no `https://` upstream can be verified.
    #[error("no trusted certificate authority in {place}; name a PEM file of authorities")]
    NoAuthorities {
        /// The place searched.
        place: String,
    },
    /// The certificate and the key are of an unsupported kind.
    #[error("the certificate {} and its key cannot be used", certificate.display())]
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
}

/// What is wrong with a file that should hold certificates or a private key, in PEM.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemProblem {
    /// It is in the binary form of X.509.
    #[error("it is DER, not PEM")]
    Der,
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// The key in it is encrypted.
    #[error("the key in it is encrypted")]
    Encrypted,
    /// It holds a private key that every user of the machine can read or replace.
    #[error("every user of this machine can read it or write it")]
    Exposed,
    /// It holds a private key where a certificate is expected.
    #[error("it holds a private key and no certificate")]
    HoldsKey,
    /// It holds a certificate where a private key is expected.
    #[error("it holds a certificate and no private key")]
    HoldsCertificate,
    /// A part of it cannot be read.
    #[error("its PEM cannot be read: {0}")]
    Malformed(#[source] pem::Error),
    /// There is nothing of PEM in it.
    #[error("it is not PEM: no line begins with `-----BEGIN`")]
    NotPem,
    /// It cannot be opened or read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] io::Error),
}

/// Reads a certificate chain and its key.
pub(crate) fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(certificate)?;
    let secret = private_key(key)?;
    warn_of_dates(certificate, &chain);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|source| unusable(certificate, key, source))?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)?;
    Ok(Arc::new(config))
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn unusable(certificate: &Path, key: &Path, source: rustls::Error) -> TlsError {
    let certificate = certificate.to_owned();
    if matches!(source, rustls::Error::InconsistentKeys(_)) {
        let key = key.to_owned();
        return TlsError::KeyMismatch { certificate, key };
    }
    TlsError::Unusable {
        certificate,
        source,
    }
}

/// Reads a file of one or more certificates.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let all = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(chain) if chain.is_empty() => Err(in_file(path, absent(&text, Wanted::Certificate))),
        Ok(chain) => Ok(chain),
        Err(error) => Err(in_file(path, PemProblem::Malformed(error))),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    if String::from_utf8_lossy(&text).contains("ENCRYPTED") {
        return Err(in_file(path, PemProblem::Encrypted));
    }
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(_) if is_exposed(path) => Err(in_file(path, PemProblem::Exposed)),
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(in_file(path, absent(&text, Wanted::Key))),
        Err(error) => Err(in_file(path, PemProblem::Malformed(error))),
    }
}

/// Returns whether users other than the owner and the group of a file have access to it. A group
/// is how a key is shared with the servers that need it.
fn is_exposed(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & OTHERS_READ_WRITE != 0)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| in_file(path, PemProblem::Unreadable(error)))
}

fn in_file(path: &Path, problem: PemProblem) -> TlsError {
    let path = path.to_owned();
    TlsError::File { path, problem }
}

#[derive(Clone, Copy)]
enum Wanted {
    Certificate,
    Key,
}

/// Returns why there is nothing of what is wanted in a file.
fn absent(text: &[u8], wanted: Wanted) -> PemProblem {
    let shown = String::from_utf8_lossy(text);
    if text.trim_ascii().is_empty() {
        PemProblem::Empty
    } else if shown.contains("PRIVATE KEY-----") && matches!(wanted, Wanted::Certificate) {
        PemProblem::HoldsKey
    } else if shown.contains("-----BEGIN CERTIFICATE-----") && matches!(wanted, Wanted::Key) {
        PemProblem::HoldsCertificate
    } else if text.first() == Some(&DER_SEQUENCE) && !text.is_ascii() {
        PemProblem::Der
    } else {
        PemProblem::NotPem
    }
}

/// Logs that clients will refuse the certificate because of its dates.
///
/// A verifier looks at the dates before anything else of a certificate, so it reports them
/// whatever else it would refuse.
fn warn_of_dates(path: &Path, chain: &[CertificateDer<'static>]) {
    let Some((leaf, others)) = chain.split_first() else {
        return;
    };
    let mut roots = RootCertStore::empty();
    if roots.add(leaf.clone()).is_err() {
        return;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let (Ok(verifier), Ok(name)) = (verifier, ServerName::try_from("localhost")) else {
        return;
    };
    let verified = verifier.verify_server_cert(leaf, others, &name, &[], UnixTime::now());
    let Err(rustls::Error::InvalidCertificate(error)) = verified else {
        return;
    };
    let certificate = path.display();
    if matches!(
        error,
        CertificateError::Expired | CertificateError::ExpiredContext { .. }
    ) {
        tracing::warn!(%certificate, "the certificate has expired: clients will refuse it");
    } else if matches!(
        error,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }
    ) {
        tracing::warn!(%certificate, "the certificate is not valid yet: clients will refuse it");
    }
}

const OTHERS_READ_WRITE: u32 = 0o006;
/// The first byte of every certificate and key in DER.
const DER_SEQUENCE: u8 = 0x30;
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
pub(crate) const ALPN_HTTP1: &[u8] = b"http/1.1";
