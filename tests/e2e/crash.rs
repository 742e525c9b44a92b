//! Nothing paid is lost and nothing is paid twice, wherever the client dies.
//!
//! `tollway get` is killed at a random moment, again and again, each time while it buys
//! something new. In the end the wallet's payments and the tokens in the book must be the same. `TOLLWAY_CRASH_ROUNDS` says how often; `cargo xtask crash` sets 200.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use l402::{Limits, Msat, PaymentHash};
use tollway_client::{Client, Policy, WalletName};

use crate::support::random::Random;
use crate::support::{Market, echo_api, stdout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_killed_anywhere_neither_loses_nor_repeats_a_payment() {
    let rounds: u64 =
        std::env::var("TOLLWAY_CRASH_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let market = Market::open().await;
    let gateway = market
        .serve(
            echo_api().await,
            &["--max-uses", "1", "--challenges-per-minute", "1000000"],
        )
        .await;

    let began = Instant::now();
    stdout(
        &market
            .run(&["get", &gateway.url("/first"), "--quiet"])
            .await,
    );
    let whole_run = began.elapsed();

    let mut random = Random::new();
    let mut killed = 0;
    for round in 0..rounds {
        let url = gateway.url(&format!("/{round}"));
        let after = whole_run.mul_f64(random.next_fraction() * 1.1);
        killed += u64::from(kill_after(&market, &url, after).await);
    }
    println!("{killed} of {rounds} runs were killed before they ended");

    let paid = settled_when_quiet(&market).await;
    let client = client(&market);
    let before: BTreeSet<PaymentHash> = tokens(&client);
    let open: BTreeSet<PaymentHash> = open(&client);
    for hash in &paid {
        let known = before.contains(hash) || open.contains(hash);
        assert!(known, "payment {hash} is not in the book");
    }

    client.resume().await.unwrap();

    assert_eq!(
        tokens(&client),
        paid,
        "after resuming, every payment is a token and every token a payment"
    );
    assert!(
        killed * 2 > rounds,
        "most runs must die for the test to mean anything"
    );
}

/// Starts a purchase and kills it after a while. True when it had not ended by itself.
async fn kill_after(market: &Market, url: &str, after: Duration) -> bool {
    let mut command = market.command(&["get", url, "--quiet"]);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut process = tokio::process::Command::from(command).spawn().unwrap();
    tokio::select! {
        ended = process.wait() => { ended.unwrap(); false }
        () = tokio::time::sleep(after) => { process.kill().await.unwrap(); true }
    }
}

/// The hashes of all settled payments, once none is under way. No hash may appear twice.
async fn settled_when_quiet(market: &Market) -> BTreeSet<PaymentHash> {
    market.payments_at_rest().await;
    let payments = market.settled_payments();
    let hashes: BTreeSet<PaymentHash> = payments.iter().map(|payment| payment.hash).collect();
    assert_eq!(hashes.len(), payments.len(), "an invoice was paid twice");
    hashes
}

fn client(market: &Market) -> Client {
    let nothing = Limits {
        price_max: Msat::ZERO,
        fee_max: Msat::ZERO,
        per_host: None,
        per_day: None,
        total: None,
    };
    Client::builder(market.client_dir(), Policy::new(nothing))
        .wallet(market.payer(), WalletName::new("sandbox:buyer"))
        .build()
}

fn tokens(client: &Client) -> BTreeSet<PaymentHash> {
    let credentials = client.book().credentials().unwrap();
    credentials
        .iter()
        .map(tollway_client::book::StoredCredential::payment_hash)
        .collect()
}

fn open(client: &Client) -> BTreeSet<PaymentHash> {
    let open = client.book().open_purchases().unwrap();
    open.iter()
        .map(|(purchase, _owner)| purchase.payment_hash())
        .collect()
}
