//! The sandbox's wallets, reached as any LND client reaches them, keep the wallets' contract.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "test helpers: a failure to set up is a failure of the test"
)]

use std::time::Duration;

use l402::Msat;
use tollway_lightning::contract::{CASES, Fixture};
use tollway_lightning::lnd::{Lnd, LndConnect};
use tollway_lightning::{
    InvoiceTerms, Invoicer as _, PayError, Payer as _, PaymentTerms, WalletError,
};
use tollway_sandbox::SandboxConfig;
use tollway_sandbox::lnd::server::LndServer;
use tollway_sandbox::lnd::{LndSandbox, Ports};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_keeps_the_contract_that_lnd_keeps() {
    keeps_the_contract("admin", "admin").await;
}

/// As README.md has it: `invoice.macaroon` sells and `router.macaroon` buys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_macaroons_that_allow_no_more_than_needed_keep_the_contract() {
    keeps_the_contract("invoice", "router").await;
}

/// The stock macaroons that do not sell or buy, and what the refusal has to name.
#[tokio::test]
async fn a_stock_macaroon_that_allows_too_little_is_refused_by_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let config = SandboxConfig::new(folder.path().to_owned());
    let sandbox = LndSandbox::start(config, Ports::ANY).await.unwrap();
    let sold = connect(sandbox.seller(), "invoice").invoicer();
    let terms = InvoiceTerms {
        amount: Msat::from_msat(1_000),
        memo: String::new(),
        expiry_secs: 600,
    };
    let invoice = sold.invoice(terms.clone()).await.unwrap();
    let payment = PaymentTerms {
        invoice: invoice.clone(),
        fee_max: Msat::ZERO,
        timeout: Duration::from_secs(10),
    };

    for macaroon in ["readonly", "router"] {
        let seller = connect(sandbox.seller(), macaroon).invoicer();
        for refused in [
            seller.network().await.unwrap_err(),
            seller.invoice(terms.clone()).await.unwrap_err(),
        ] {
            names(&refused, "invoices:write", "invoice.macaroon");
        }
    }
    let seller = connect(sandbox.seller(), "router").invoicer();
    let refused = seller.lookup(invoice.payment_hash()).await.unwrap_err();
    names(&refused, "invoices:read", "invoice.macaroon");

    for (macaroon, missing) in [("invoice", "offchain:read"), ("readonly", "offchain:write")] {
        let buyer = connect(sandbox.buyer(), macaroon).payer();
        let refused = buyer.pay(payment.clone()).await.unwrap_err();
        assert!(!matches!(refused, PayError::Unknown { .. }), "{refused}");
        assert!(refused.to_string().contains(missing), "{refused}");
        assert!(refused.to_string().contains("router.macaroon"), "{refused}");
    }
    let buyer = connect(sandbox.buyer(), "invoice").payer();
    names(
        &buyer.identity().await.unwrap_err(),
        "offchain:read",
        "router.macaroon",
    );
    let found = buyer.lookup(invoice.payment_hash()).await;
    names(&found.unwrap_err(), "offchain:read", "router.macaroon");
}

fn names(refused: &WalletError, missing: &str, file: &str) {
    let WalletError::Denied { permission, remedy } = refused else {
        panic!("{refused}");
    };
    assert_eq!(permission, missing);
    assert!(remedy.contains(file), "{refused}");
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
