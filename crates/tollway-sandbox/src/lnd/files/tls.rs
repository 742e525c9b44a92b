//! TLS identity of a wallet's API.
//!
//! A self-signed certificate per wallet, shaped like LND's: ECDSA on P-256, marked as its own
//! authority, and good for the loopback names only. It is kept from run to run, because it is
//! part of the `lndconnect` URI, and it outlives any sandbox, so it never needs renewing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::disk::{self, DiskError};

/// A certificate and the TLS settings that serve it.
pub(crate) struct Identity {
    /// The certificate as an `lndconnect` URI carries it.
    pub(crate) certificate: CertificateDer<'static>,
    /// Settings offering HTTP/2 and HTTP/1.1.
    pub(crate) server: Arc<ServerConfig>,
}

impl Identity {
    /// Takes the certificate and key from two files, or makes both when either is missing.
    pub(crate) fn keep(cert_path: &Path, key_path: &Path) -> Result<Self, DiskError> {
        let (cert, key) = match (disk::read(cert_path)?, disk::read(key_path)?) {
            (Some(cert), Some(key)) => (cert, key),
            (None, _) | (_, None) => make(cert_path, key_path)?,
        };
        let certificate = CertificateDer::from_pem_slice(&cert)
            .map_err(|error| DiskError::damaged(cert_path, error))?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|error| DiskError::damaged(key_path, error))?;
        let server = server_config(certificate.clone(), key)
            .map_err(|error| DiskError::damaged(key_path, error))?;
        Ok(Self {
            certificate,
            server: Arc::new(server),
        })
    }
}

fn server_config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Makes a certificate and writes it; the key first, so that a certificate is never without one.
fn make(cert_path: &Path, key_path: &Path) -> Result<(Vec<u8>, Vec<u8>), DiskError> {
    let (cert, key) = generate().map_err(|error| DiskError::damaged(key_path, error))?;
    disk::replace(key_path, key.as_bytes())?;
    disk::replace(cert_path, cert.as_bytes())?;
    Ok((cert.into_bytes(), key.into_bytes()))
}

fn generate() -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    for address in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    let name = &mut params.distinguished_name;
    name.push(DnType::OrganizationName, "tollway sandbox");
    name.push(DnType::CommonName, "localhost");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(folder: &Path) -> Result<Identity, DiskError> {
        Identity::keep(&folder.join("tls.cert"), &folder.join("tls.key"))
    }

    #[test]
    fn a_certificate_stays_the_same_from_run_to_run() {
        let folder = tempfile::tempdir().unwrap();

        let first = keep(folder.path()).unwrap();
        let second = keep(folder.path()).unwrap();

        assert_eq!(first.certificate, second.certificate);
    }

    #[test]
    fn a_certificate_without_its_key_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let first = keep(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join("tls.key")).unwrap();

        let second = keep(folder.path()).unwrap();

        assert_ne!(first.certificate, second.certificate);
    }

    #[test]
    fn a_damaged_file_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        keep(folder.path()).unwrap();
        let path = folder.path().join("tls.cert");
        std::fs::write(&path, "not a certificate").unwrap();

        let refused = keep(folder.path()).err().unwrap();

        assert!(refused.to_string().contains("tls.cert"), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), b"not a certificate");
    }

    #[test]
    fn somebody_elses_key_is_refused() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        keep(ours.path()).unwrap();
        keep(theirs.path()).unwrap();
        std::fs::copy(theirs.path().join("tls.key"), ours.path().join("tls.key")).unwrap();

        assert!(keep(ours.path()).is_err());
    }
}
