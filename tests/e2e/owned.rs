//! What is owned is presented before anything is bought, and what is bought again is explained.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Market, PathProxy, echo_api, failure, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn two_services_of_one_origin_are_bought_once_each_and_see_only_their_own_tokens() {
    let market = Market::open().await;
    let api = echo_api().await;
    let cheap = market.serve(api, &["--service", "cheap"]).await;
    let dear = market.serve(api, &["--service", "dear"]).await;
    let routes = [("/cheap", cheap.address()), ("/dear", dear.address())];
    let proxy = PathProxy::start(&routes).await;

    for path in ["/cheap/a", "/dear/a.txt", "/dear/", "/cheap/b", "/dear/b"] {
        stdout(&market.run(&["get", &proxy.url(path)]).await);
    }

    assert_eq!(market.settled_payments().len(), 2);
    let (cheap, dear) = (proxy.credentials("/cheap"), proxy.credentials("/dear"));
    assert_eq!((cheap.len(), dear.len()), (2, 3));
    assert!(cheap.iter().all(|credential| *credential == cheap[0]));
    assert!(dear.iter().all(|credential| *credential == dear[0]));
    assert_ne!(cheap[0], dear[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_bought_again_says_why_in_text_and_in_json() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &["--max-uses", "1"]).await;
    let url = gateway.url("/a");
    let first = id(&json(&market.run(&["get", "--json", &url]).await));

    let shown = market.run(&["get", &url]).await;

    let line =
        format!("the stored token {first:.8} no longer buys this: exhausted; buying another\n");
    assert!(stderr(&shown).starts_with(&line), "{}", stderr(&shown));
    stdout(&shown);

    let second = json(&market.run(&["get", "--json", &url]).await);
    let replaced = second["replaced"].as_array().unwrap();
    assert_eq!(replaced.len(), 1);
    assert_eq!(replaced[0]["reason"], "exhausted");
    assert_ne!(replaced[0]["token"], first.as_str());

    let refused = failure(&market.run(&["get", "--json", "--no-pay", &url]).await);
    let unused = json!([{"token": id(&second), "reason": "exhausted"}]);
    assert_eq!(refused["replaced"], unused, "{refused}");
    assert_eq!(market.settled_payments().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_buy_one_token_of_a_service() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let urls: Vec<String> = (0..6).map(|n| gateway.url(&format!("/p/{n}"))).collect();
    let arguments: Vec<[&str; 3]> = urls.iter().map(|url| ["get", "-q", url.as_str()]).collect();

    let all = arguments.iter().map(|arguments| market.run(arguments));

    for output in futures_util::future::join_all(all).await {
        stdout(&output);
        assert_eq!(stderr(&output), "", "there is nothing to warn of");
    }
    assert_eq!(market.settled_payments().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_is_good_for_is_shown_before_it_is_paid_for() {
    let market = Market::open().await;
    let bounds = ["--max-uses", "3", "--valid-for", "1h"];
    let gateway = market.serve(echo_api().await, &bounds).await;
    let url = gateway.url("/a");

    let asked = stderr(&market.run(&["get", "--no-pay", &url]).await);
    let refused = failure(&market.run(&["get", "--no-pay", "--json", &url]).await);
    let bought = market.run(&["get", &url]).await;

    let terms = "for service default, 3 uses, until 20";
    assert!(asked.contains(terms), "{asked}");
    assert!(stderr(&bought).contains(terms), "{}", stderr(&bought));
    let offered = &refused["offered"];
    assert_eq!(offered["services"], json!(["default"]));
    assert_eq!(offered["max_uses"], 3);
    assert!(offered["valid_until"].is_u64(), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_refused_with_price_fee_and_the_flag_that_helps() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let url = gateway.url("/a");
    for (limit, helps_fee) in [("19sat", true), ("9sat", false)] {
        let limited = ["get", "--json", "--max-per-day", limit, &url];

        let refused = failure(&market.run(&limited).await);

        let message = refused["message"].as_str().unwrap();
        assert!(
            message.contains("10 sat and up to 10 sat of fee"),
            "{message}"
        );
        assert!(message.contains("--max-per-day"), "{message}");
        assert_eq!(message.contains("--max-fee"), helps_fee, "{message}");
        assert_eq!(refused["price_msat"], 10_000);
        assert_eq!(refused["fee_max_msat"], 10_000);
        assert_eq!(refused["used_msat"], 0);
    }
    assert!(market.settled_payments().is_empty());
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

/// The token that was paid for.
fn id(result: &Value) -> String {
    result["paid"]["payment_hash"].as_str().unwrap().to_owned()
}
