//! Verification of a server's certificate.
//!
//! The rules are webpki's, with one exception. `openssl req -x509` issues to itself a certificate
//! that is an authority's, and webpki accepts no authority's certificate from a server. Where the
//! server presents the very certificate that is trusted, nothing is left to prove about its
//! issuer: it is accepted, as by OpenSSL, when it names the server and is within its validity.
//! The signature in the handshake proves that the server has the key.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::error::TransportError;

#[derive(Debug)]
pub(super) struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    trusted: HashSet<CertificateDer<'static>>,
}

impl Verifier {
    /// Returns a verifier that trusts what `roots` issued, and each of `trusted` itself.
    pub(super) fn new(
        roots: RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TransportError> {
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| TransportError::Tls(Error::General(error.to_string())))?;
        Ok(Self {
            webpki,
            trusted: trusted.into_iter().collect(),
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // webpki has checked the validity before.
            Err(refused) if is_authority(&refused) && self.trusted.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Returns true when nothing but the certificate's being an authority's is against it so far.
fn is_authority(refused: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = refused else {
        return false;
    };
    let reason = other.0.downcast_ref::<webpki::Error>();
    matches!(reason, Some(webpki::Error::CaUsedAsEndEntity))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    const YEAR_SECS: u64 = 365 * 24 * 60 * 60;

    /// A certificate as `openssl req -x509` makes it, valid in the years after `since`.
    fn authority(name: &str, since: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(since, 1, 1);
        params.not_after = rcgen::date_time_ymd(since.saturating_add(2), 1, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().into()
    }

    fn verify(
        trusted: &CertificateDer<'static>,
        presented: &CertificateDer<'static>,
        name: &str,
        years_since_1970: u64,
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Verifier::new(roots, vec![trusted.clone()], provider).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(
            years_since_1970.saturating_mul(YEAR_SECS),
        ));
        verifier.verify_server_cert(presented, &[], &name, &[], now)
    }

    #[test]
    fn the_very_certificate_that_is_trusted_is_accepted_for_its_name_in_its_time() {
        let trusted = authority("seller.example", 2020);
        let other = authority("seller.example", 2020);

        let verify = |presented, name, years| verify(&trusted, presented, name, years);

        verify(&trusted, "seller.example", 51).unwrap();
        let wrong_name = verify(&trusted, "other.example", 51).unwrap_err();
        assert!(
            matches!(
                wrong_name,
                Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })
            ),
            "{wrong_name}"
        );
        let expired = verify(&trusted, "seller.example", 60).unwrap_err();
        assert!(
            matches!(
                expired,
                Error::InvalidCertificate(CertificateError::ExpiredContext { .. })
            ),
            "{expired}"
        );
        assert!(verify(&trusted, "seller.example", 49).is_err());
        assert!(verify(&other, "seller.example", 51).is_err());
    }
}
