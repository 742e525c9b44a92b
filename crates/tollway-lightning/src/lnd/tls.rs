//! Certificate pinning.
//!
//! LND signs its own certificate, so no authority vouches for it: the certificate itself is what
//! the user was given. Trusting it as an authority would also trust every certificate its key
//! ever signs, and webpki refuses a certificate that is authority and server in one, as LND's
//! is. So the one presented must be the one given, byte for byte, for a name it carries, and
//! the handshake must be signed with its key.
//!
//! Its dates are not checked: a certificate the user named is valid until the user names
//! another.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};

/// Accepts one certificate.
#[derive(Debug)]
pub(super) struct PinnedCertificate {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedCertificate {
    pub(super) fn new(certificate: CertificateDer<'static>) -> Self {
        Self {
            certificate,
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }
}

impl ServerCertVerifier for PinnedCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity != self.certificate {
            let other = OtherError(Arc::new(CertificateMismatch));
            return Err(CertificateError::Other(other).into());
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Explains to the person who configured the wallet why a handshake failed, if the certificate
/// was the reason. rustls itself prints an identifier.
pub(super) fn explain(cause: &(dyn Error + 'static)) -> Option<String> {
    let error: &io::Error = cause.downcast_ref()?;
    let error: &rustls::Error = error.get_ref()?.downcast_ref()?;
    let rustls::Error::InvalidCertificate(reason) = error else {
        return None;
    };
    if let CertificateError::Other(OtherError(why)) = reason
        && why.is::<CertificateMismatch>()
    {
        return Some(why.to_string());
    }
    // "Other" is how webpki words an LND certificate: an authority that is a server as well.
    let unvouched = matches!(
        reason,
        CertificateError::Other(_) | CertificateError::UnknownIssuer
    );
    unvouched.then(|| NO_AUTHORITY.to_owned())
}

const NO_AUTHORITY: &str =
    "no authority vouches for the node's certificate: give its tls.cert with the address";

/// The node showed a certificate that is not the one given.
#[derive(Debug, thiserror::Error)]
#[error("not the certificate given for this node: if the node renewed it, take its new tls.cert")]
struct CertificateMismatch;
