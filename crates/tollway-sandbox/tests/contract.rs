//! The sandbox's wallets, reached as any LND client reaches them, keep the wallets' contract.
#![allow(
    clippy::unwrap_used,
    reason = "test helpers: a failure to set up is a failure of the test"
)]

use std::path::Path;

use l402::Msat;
use tollway_lightning::contract::{CASES, Fixture};
use tollway_lightning::lnd::{Lnd, LndConnect};
use tollway_sandbox::lnd::server::LndServer;
use tollway_sandbox::wallet::Wallet;
use tollway_sandbox::{Sandbox, SandboxConfig};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_keeps_the_contract_that_lnd_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(SandboxConfig::new(folder.path().to_owned()))
        .await
        .unwrap();
    let seller_front = front(sandbox.seller(), folder.path()).await;
    let buyer_front = front(sandbox.buyer(), folder.path()).await;
    let seller = connect(&seller_front).invoicer();
    let buyer = connect(&buyer_front).payer();
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
    seller_front.stop().await;
    buyer_front.stop().await;
    sandbox.stop().await;
}

async fn front(wallet: &Wallet, data_dir: &Path) -> LndServer {
    LndServer::start(wallet, data_dir, 0).await.unwrap()
}

fn connect(front: &LndServer) -> Lnd {
    let connect = LndConnect::parse(front.access().uri.expose()).unwrap();
    Lnd::new(&connect).unwrap()
}
