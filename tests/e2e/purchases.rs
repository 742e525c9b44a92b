//! Open purchases: `tollway purchases`.

use std::process::Stdio;

use crate::support::wallet::SilentWallet;
use crate::support::{Market, echo_api, failure, signal, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn an_open_purchase_is_listed_with_what_to_do_and_can_be_ended_by_hand() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let wallet = SilentWallet::open(&market).await;
    let (url, uri) = (gateway.url("/a"), wallet.uri());
    let mut command = market.command(&["get", &url, "--wallet", &uri]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = command.spawn().unwrap();
    wallet.withheld().await;
    signal(process.id(), "KILL");
    process.wait().unwrap();

    let listed = list(&market, &[]).await;
    let purchase = &listed[0];
    let hash = purchase["payment_hash"].as_str().unwrap();
    assert_eq!(purchase["state"], "unknown", "{purchase}");
    assert_eq!(purchase["path"], "/a", "{purchase}");
    let advice = purchase["advice"].as_str().unwrap();
    assert!(advice.contains("purchases resolve"), "{purchase}");
    assert!(advice.contains("--wallet takes its URI"), "{purchase}");

    let wrong = [
        "purchases",
        "resolve",
        hash,
        "--paid",
        &"00".repeat(32),
        "--json",
    ];
    failure(&market.run(&wrong).await);
    stdout(
        &market
            .run(&["purchases", "resolve", hash, "--not-paid"])
            .await,
    );

    assert!(list(&market, &[]).await.is_empty());
    assert_eq!(list(&market, &["--all"]).await[0]["state"], "failed");
}

async fn list(market: &Market, arguments: &[&str]) -> Vec<serde_json::Value> {
    let list = ["purchases", "list", "--json"];
    let output = stdout(&market.run(&[&list[..], arguments].concat()).await);
    let listed: serde_json::Value = serde_json::from_str(&output).unwrap();
    listed["purchases"].as_array().unwrap().clone()
}
