//! TLS as a buyer meets it: certificates, and ports that do not speak it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::support::{Gateway, Market, echo_api, failure, raw_api, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_openssl_makes_is_trusted_wherever_it_is_named() {
    let market = Market::open().await;
    let own = self_signed(&market, "localhost");
    let gateway = serve(&market, &own).await;
    let url = gateway.tls_url("localhost", "/a");
    let file = own.certificate.to_str().unwrap();

    stdout(&market.run(&["get", &url, "--ca-cert", file]).await);
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let mut command = market.command(&["get", &url]);
        let named = match variable {
            "SSL_CERT_FILE" => own.certificate.as_path(),
            _ => own.certificate.parent().unwrap(),
        };
        command.env(variable, named);
        let fetched = command.output().unwrap();
        assert!(fetched.status.success(), "{variable}: {}", stderr(&fetched));
    }
    let config = format!("[get]\nca_cert = \"{file}\"\n");
    fs::write(market.home().join("config.toml"), config).unwrap();
    stdout(&market.run(&["get", &url]).await);
    assert_eq!(market.settled_payments().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_the_system_is_trusted_and_one_that_cannot_be_read_is_an_error() {
    let market = Market::open().await;
    let (authority, issued) = issued(&market, "localhost");
    let gateway = serve(&market, &issued).await;
    let url = gateway.tls_url("localhost", "/a");

    let mut command = market.command(&["get", &url]);
    let fetched = command.env("SSL_CERT_FILE", &authority).output().unwrap();
    assert!(fetched.status.success(), "{}", stderr(&fetched));

    let mut command = market.command(&["get", &url, "--json"]);
    let refused = command.env("SSL_CERT_FILE", "/nowhere.pem").output();
    let refused = failure(&refused.unwrap());
    assert_eq!(refused["exit_code"], 2, "{refused}");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("/nowhere.pem")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_as_certificates_and_has_none_is_an_error_that_names_where() {
    let market = Market::open().await;
    let own = self_signed(&market, "localhost");
    let gateway = serve(&market, &own).await;
    let url = gateway.tls_url("localhost", "/a");
    let file = |name: &str, content: &[u8]| {
        let path = market.home().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let folder = market.home().to_str().unwrap();
    let cases = [
        (folder.to_owned(), "is a folder"),
        ("/dev/null".to_owned(), "is empty"),
        ("/nowhere.pem".to_owned(), "No such file"),
        (own.key.to_str().unwrap().to_owned(), "a private key"),
        (file("text", b"hello"), "no certificate in PEM"),
        (file("der", &[0x30, 0x82, 1, 2]), "openssl x509 -inform der"),
    ];

    for (path, lack) in &cases {
        let mut by_variable = market.command(&["get", &url, "--json"]);
        by_variable.env("SSL_CERT_FILE", path);
        let by_flag = market.command(&["get", &url, "--json", "--ca-cert", path]);
        for (mut command, named) in [
            (by_variable, &["SSL_CERT_FILE"][..]),
            (by_flag, &["--ca-cert", "ca_cert in [get]"]),
        ] {
            let refused = failure(&command.output().unwrap());
            assert_eq!(refused["exit_code"], 2, "{refused}");
            let message = refused["message"].as_str().unwrap();
            for part in [&[*lack, path.as_str()][..], named].concat() {
                assert!(message.contains(part), "{part}: {message}");
            }
        }
    }
    let empty = market.home().join("empty");
    fs::create_dir(&empty).unwrap();
    for (variable, value, lack) in [
        ("SSL_CERT_FILE", "", "SSL_CERT_FILE is empty: unset it"),
        ("SSL_CERT_DIR", "/nowhere", "No such file"),
        ("SSL_CERT_DIR", empty.to_str().unwrap(), "no file there"),
    ] {
        let mut command = market.command(&["get", &url, "--json"]);
        let refused = failure(&command.env(variable, value).output().unwrap());
        let message = refused["message"].as_str().unwrap();
        assert_eq!(refused["exit_code"], 2, "{refused}");
        assert!(
            message.contains(variable) && message.contains(lack),
            "{message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_certificate_is_explained_with_what_changes_it() {
    let market = Market::open().await;
    let own = self_signed(&market, "localhost");
    let other = self_signed(&market, "other.example");
    let expired = with(&market, "expired", "localhost", |params| {
        params.not_after = rcgen::date_time_ymd(2024, 2, 3);
    });
    for (served, trusted, expected) in [
        (
            &own,
            None,
            &["--ca-cert", "ca_cert", "openssl s_client"][..],
        ),
        (&other, Some(&other), &["other.example", "localhost"]),
        (&expired, Some(&expired), &["expired", "2024-02-03"]),
    ] {
        let gateway = serve(&market, served).await;
        let url = gateway.tls_url("localhost", "/a");
        let mut arguments = vec!["get", &url, "--json"];
        if let Some(trusted) = trusted {
            arguments.extend(["--ca-cert", trusted.certificate.to_str().unwrap()]);
        }
        let refused = failure(&market.run(&arguments).await);

        let code = (refused["code"].as_str(), refused["exit_code"].as_u64());
        assert_eq!(code, (Some("tls_error"), Some(4)), "{refused}");
        let message = refused["message"].as_str().unwrap();
        for expected in expected {
            assert!(message.contains(expected), "{message}");
        }
        assert!(!message.contains("OtherError"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_and_https_mixed_up_are_told_apart() {
    let market = Market::open().await;
    let own = self_signed(&market, "localhost");
    let gateway = serve(&market, &own).await;
    let plain = gateway.url("/a").replace("http://", "https://");
    let tls = gateway
        .tls_url("localhost", "/a")
        .replace("https://", "http://");

    let refused = failure(&market.run(&["get", &plain, "--json"]).await);
    assert_eq!(refused["code"], "tls_error", "{refused}");
    let message = refused["message"].as_str().unwrap();
    let instead = format!("write {} instead", gateway.url(""));
    assert!(message.contains(&instead), "{refused}");

    let refused = failure(&market.run(&["get", &tls, "--json"]).await);
    assert_eq!(refused["code"], "network_error", "{refused}");
    let message = refused["message"].as_str().unwrap();
    let instead = format!("write {} instead", gateway.tls_url("localhost", ""));
    assert!(message.contains(&instead), "{refused}");
    assert!(!message.contains("client error"), "{refused}");

    let binary = b"HTTP/1.1 402 Payment Required\r\nl402-reason: \x01\r\n\r\n";
    let url = format!("http://{}/a", raw_api(binary.to_vec()).await);
    let refused = failure(&market.run(&["get", &url, "--json"]).await);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("header"), "{refused}");
    assert!(!message.contains("TLS"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_certificates_is_read_even_where_none_is_needed() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let get = [
        "get",
        &gateway.url("/a"),
        "--json",
        "--ca-cert",
        "/nowhere.pem",
    ];

    let refused = failure(&market.run(&get).await);

    assert_eq!(refused["exit_code"], 2, "{refused}");
    assert!(market.settled_payments().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_looked_up_and_a_closed_port_have_their_own_codes() {
    let market = Market::open().await;
    for (url, code, expected) in [
        ("http://nowhere.invalid/", "dns_error", "nowhere.invalid"),
        ("http://127.0.0.1:9/", "network_error", "connection refused"),
    ] {
        let failed = failure(&market.run(&["get", url, "--json"]).await);
        assert_eq!(failed["code"], code, "{failed}");
        let message = failed["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("os error"), "{message}");
    }
}

struct Issued {
    certificate: PathBuf,
    key: PathBuf,
}

/// A certificate as `openssl req -x509` makes it.
fn self_signed(market: &Market, name: &str) -> Issued {
    with(market, name, name, |_params| {})
}

fn with(
    market: &Market,
    folder: &str,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> Issued {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    write(&market.home().join(folder), &certificate.pem(), &key)
}

/// An authority's file, and a certificate that it issued.
fn issued(market: &Market, name: &str) -> (PathBuf, Issued) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&authority_key).unwrap();
    let file = market.home().join("authority.pem");
    fs::write(&file, authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([name.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(params, authority_key));
    let issued = write(&market.home().join("issued"), &leaf.unwrap().pem(), &key);
    (file, issued)
}

fn write(folder: &Path, certificate: &str, key: &KeyPair) -> Issued {
    fs::create_dir_all(folder.join("key")).unwrap();
    let issued = Issued {
        certificate: folder.join("cert.pem"),
        key: folder.join("key/key.pem"),
    };
    fs::write(&issued.certificate, certificate).unwrap();
    fs::write(&issued.key, key.serialize_pem()).unwrap();
    fs::set_permissions(&issued.key, fs::Permissions::from_mode(0o600)).unwrap();
    issued
}

async fn serve(market: &Market, issued: &Issued) -> Gateway {
    let flags = [
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-cert",
        issued.certificate.to_str().unwrap(),
        "--tls-key",
        issued.key.to_str().unwrap(),
    ];
    market.serve(echo_api().await, &flags).await
}
