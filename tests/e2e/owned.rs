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

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

/// The token that was paid for.
fn id(result: &Value) -> String {
    result["paid"]["payment_hash"].as_str().unwrap().to_owned()
}
