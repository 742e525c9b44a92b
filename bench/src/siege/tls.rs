//! TLS to a proxy, of which only the certificate is trusted.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// TLS with one application protocol.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl Tls {
    /// Reads the certificate.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub(super) fn new(certificate: &Path, protocol: &str) -> Result<Self> {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_file(certificate)?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Does the handshake.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost")?;
        Ok(self.0.connect(name, stream).await?)
    }
}
