//! Files of the certificate and the key that cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tollway_gateway::{Gateway, GatewayLimits, StartError, TlsError, TlsListener};

use crate::support::{self, Identity};

#[tokio::test]
async fn what_is_wrong_with_a_file_is_named() {
    let identity = Identity::new();
    let (certificate, key) = (identity.certificate(), identity.key());
    let file = |name: &str, content: &[u8]| {
        let path = identity.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let der = file(
        "cert.der",
        &CertificateDer::from_pem_file(&certificate).unwrap(),
    );
    let empty = file("empty.pem", b"\n");
    let encrypted =
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = file("encrypted.pem", encrypted);
    let junk = file("junk.pem", b"no certificate");
    let exposed = file("exposed.pem", &fs::read(&key).unwrap());
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o644)).unwrap();
    let missing = identity.folder.path().join("missing.pem");
    for (certificate, key, expected) in [
        (&missing, &key, "Unreadable"),
        (&certificate, &missing, "Unreadable"),
        (&key, &certificate, "HoldsKey"),
        (&certificate, &certificate, "HoldsCertificate"),
        (&der, &key, "Der"),
        (&empty, &key, "Empty"),
        (&certificate, &encrypted, "Encrypted"),
        (&junk, &key, "NotPem"),
        (&certificate, &exposed, "Exposed"),
    ] {
        let error = start(certificate, key);
        let StartError::Tls(TlsError::File { problem, .. }) = &error else {
            panic!("{error:?}");
        };
        assert!(
            format!("{problem:?}").starts_with(expected),
            "{expected}: {problem:?}"
        );
    }
}

#[tokio::test]
async fn a_key_may_be_shared_with_a_group() {
    let identity = Identity::new();
    fs::set_permissions(identity.key(), fs::Permissions::from_mode(0o640)).unwrap();
    let mut config = support::config(support::nothing(), GatewayLimits::default());
    config.https = Some(identity.listener());

    assert!(Gateway::start(config).is_ok());
}

#[tokio::test]
async fn a_key_of_another_certificate_is_named_with_it() {
    let (one, other) = (Identity::new(), Identity::new());

    let error = start(&one.certificate(), &other.key());

    assert!(
        matches!(
            &error,
            StartError::Tls(TlsError::KeyMismatch { certificate, key })
                if *certificate == one.certificate() && *key == other.key()
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_gateway_in_front_of_itself_does_not_start() {
    let taken = support::free_port();
    let mut config = support::config(
        support::single(tollway_gateway::Price::Free, taken),
        GatewayLimits::default(),
    );
    config.http = Some(taken);

    let error = Gateway::start(config).unwrap_err();

    assert!(matches!(error, StartError::OwnUpstream { .. }), "{error:?}");
}

fn start(certificate: &Path, key: &Path) -> StartError {
    let mut config = support::config(support::nothing(), GatewayLimits::default());
    config.https = Some(TlsListener {
        address: support::any_port(),
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    });
    Gateway::start(config).unwrap_err()
}
