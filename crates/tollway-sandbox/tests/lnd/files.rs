//! What is on disk, and what survives a restart.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tollway_sandbox::lnd::files::manifest::{FindError, Manifest};
use tollway_sandbox::lnd::server::{LndServer, LndServerError};

use crate::client::Client;
use crate::{Network, read};

#[tokio::test]
async fn the_folder_is_laid_out_as_lnds() {
    let network = Network::start().await;
    let folder = network.dir.path().join("seller");

    let macaroons = folder.join("data/chain/bitcoin/regtest");
    for name in [
        "admin",
        "readonly",
        "invoice",
        "invoices",
        "router",
        "signer",
        "walletkit",
        "chainnotifier",
    ] {
        let path = macaroons.join(format!("{name}.macaroon"));
        assert_eq!(read(&path)[0], 2, "{name} is not a V2 macaroon");
        assert_eq!(network.lnd.seller().access().macaroons[name], path);
    }
    for secret in [folder.join("tls.key"), macaroons.join("admin.macaroon")] {
        let mode = fs::metadata(&secret).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", secret.display());
    }
    assert!(CertificateDer::from_pem_slice(&read(&folder.join("tls.cert"))).is_ok());
}

#[tokio::test]
async fn the_uri_carries_the_address_the_certificate_and_the_admin_macaroon() {
    let network = Network::start().await;
    let access = network.lnd.buyer().access();

    let cert = CertificateDer::from_pem_slice(&read(&access.tls_cert)).unwrap();
    let expected = format!(
        "lndconnect://127.0.0.1:{}?cert={}&macaroon={}",
        access.address.port(),
        URL_SAFE_NO_PAD.encode(&cert),
        URL_SAFE_NO_PAD.encode(read(&access.macaroons["admin"])),
    );

    assert_eq!(access.uri.expose(), expected);
}

#[tokio::test]
async fn certificate_macaroons_and_key_survive_a_restart() {
    let network = Network::start().await;
    let before = network.lnd.buyer().access().clone();
    let macaroon = read(&before.macaroons["admin"]);
    let cert = read(&before.tls_cert);

    let network = Network::start_in(network.stop().await).await;

    let after = network.lnd.buyer().access();
    assert_eq!(read(&after.macaroons["admin"]), macaroon);
    assert_eq!(read(&after.tls_cert), cert);
    assert_eq!(after.pubkey, before.pubkey);
    assert!(network.buyer().await.get_info().await.is_ok());
}

#[tokio::test]
async fn wallets_do_not_share_certificates_or_macaroons() {
    let network = Network::start().await;
    let (seller, buyer) = (network.lnd.seller().access(), network.lnd.buyer().access());

    assert_ne!(read(&seller.tls_cert), read(&buyer.tls_cert));
    let foreign = crate::hex(&read(&seller.macaroons["admin"]));
    let refused = Client::presenting(network.lnd.buyer(), vec![foreign])
        .await
        .get_info()
        .await
        .unwrap_err();
    assert_eq!(
        refused.message(),
        "verification failed: signature mismatch after caveat verification"
    );
}

#[tokio::test]
async fn sandbox_json_finds_the_running_sandbox_and_only_that() {
    let network = Network::start().await;
    let dir = network.dir.path().to_owned();

    let found = Manifest::find(&dir).await.unwrap();

    assert_eq!(found.wallets["seller"], *network.lnd.seller().access());
    assert_eq!(found.wallets["buyer"], *network.lnd.buyer().access());
    assert_eq!(found.pid, std::process::id());
    let written: serde_json::Value =
        serde_json::from_slice(&read(&dir.join("sandbox.json"))).unwrap();
    assert_eq!(written["network"], "regtest");
    let rest = written["wallets"]["seller"]["rest"].as_str().unwrap();
    assert!(rest.starts_with("https://127.0.0.1:"), "{rest}");

    let _kept = network.stop().await;
    let missed = Manifest::find(&dir).await.unwrap_err();
    assert!(matches!(missed, FindError::NotRunning { .. }), "{missed}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let network = Network::start().await;
    let taken = network.lnd.seller().access().address.port();

    let refused = LndServer::start(network.sandbox().buyer(), network.dir.path(), taken)
        .await
        .unwrap_err();

    assert!(matches!(refused, LndServerError::Bind { .. }));
    assert!(
        refused.to_string().contains(&taken.to_string()),
        "{refused}"
    );
}
