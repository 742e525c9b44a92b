//! The sandbox's wallets, reached as any LND client reaches them, keep the wallets' contract.
#![allow(
    clippy::unwrap_used,
    reason = "test helpers: a failure to set up is a failure of the test"
)]

use l402::Msat;
use tollway_lightning::contract::{CASES, Fixture};
use tollway_lightning::lnd::{Lnd, LndConnect};
use tollway_sandbox::SandboxConfig;
use tollway_sandbox::lnd::server::LndServer;
use tollway_sandbox::lnd::{LndSandbox, Ports};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_keeps_the_contract_that_lnd_keeps() {
    keeps_the_contract("admin", "admin").await;
}

/// What README.md says: `invoice.macaroon` sells and `router.macaroon` buys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_macaroons_that_allow_no_more_than_needed_keep_the_contract() {
    keeps_the_contract("invoice", "router").await;
}

async fn keeps_the_contract(seller_macaroon: &str, buyer_macaroon: &str) {
    let folder = tempfile::tempdir().unwrap();
    let config = SandboxConfig::new(folder.path().to_owned());
    let sandbox = LndSandbox::start(config, Ports::ANY).await.unwrap();
    let seller = connect(sandbox.seller(), seller_macaroon).invoicer();
    let buyer = connect(sandbox.buyer(), buyer_macaroon).payer();
    // The buyer begins with four channels of 5 BTC and 4 BTC to spend in each.
    let fixture = Fixture {
        seller: &seller,
        buyer: &buyer,
        unaffordable: Msat::from_sat(1_700_000_000).unwrap(),
    };

    let mut broken = Vec::new();
    for case in CASES {
        if let Err(violation) = case.run(&fixture).await {
            broken.push(format!("{}: {violation}", case.name()));
        }
    }

    assert!(broken.is_empty(), "{}", broken.join("\n"));
    sandbox.stop().await.unwrap();
}

/// Connects with the files LND keeps, as a configuration names them.
fn connect(server: &LndServer, macaroon: &str) -> Lnd {
    let access = server.access();
    let macaroon = access.macaroons.get(macaroon).unwrap();
    let address = access.address.to_string();
    let connect = LndConnect::from_files(&address, Some(&access.tls_cert), macaroon).unwrap();
    Lnd::new(&connect).unwrap()
}
