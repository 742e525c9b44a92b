//! Selling and buying through the real binary, over real sockets and a real Lightning network.

use std::fs;

use crate::support::{Market, echo_api, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_bought_once_and_used_again() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;

    for _ in 0..3 {
        let seen: serde_json::Value =
            serde_json::from_str(&stdout(&market.run(&["get", &gateway.url("/a")]).await)).unwrap();
        assert_eq!(seen["path"], "/a");
        assert!(
            !seen["headers"].to_string().contains("authorization"),
            "the credential stays at the gateway: {seen}"
        );
    }

    assert_eq!(market.settled_payments().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_request_is_sent_again_with_the_credential() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let file = market.home().join("body.txt");
    fs::write(&file, "from a file").unwrap();
    let from_file = format!("@{}", file.display());
    let url = gateway.url("/a?q=1");

    let put = stdout(
        &market
            .run(&[
                "get",
                &url,
                "-X",
                "PUT",
                "-H",
                "X-One: 1, 2",
                "-H",
                "x-one: 3",
                "-d",
                &from_file,
            ])
            .await,
    );
    let post = stdout(&market.run(&["get", &url, "-d", "text"]).await);

    let put: serde_json::Value = serde_json::from_str(&put).unwrap();
    assert_eq!(
        (put["method"].as_str(), put["body"].as_str()),
        (Some("PUT"), Some("from a file"))
    );
    let headers = put["headers"].to_string();
    assert!(
        headers.contains("x-one: 1, 2") && headers.contains("x-one: 3"),
        "{headers}"
    );
    let post: serde_json::Value = serde_json::from_str(&post).unwrap();
    assert_eq!(
        (post["method"].as_str(), post["body"].as_str()),
        (Some("POST"), Some("text"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_tells_a_program_what_it_cost() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let file = market.home().join("saved.json");

    let first: serde_json::Value = serde_json::from_str(&stdout(
        &market.run(&["get", &gateway.url("/a"), "--json"]).await,
    ))
    .unwrap();
    let second = market
        .run(&[
            "get",
            &gateway.url("/a"),
            "--json",
            "-o",
            file.to_str().unwrap(),
        ])
        .await;
    let second: serde_json::Value = serde_json::from_str(&stdout(&second)).unwrap();

    assert_eq!(
        (
            first["status"].as_u64(),
            first["paid"]["price_msat"].as_u64()
        ),
        (Some(200), Some(10_000))
    );
    assert!(
        first["body"].as_str().unwrap().contains("\"/a\""),
        "{first}"
    );
    assert_eq!(second["paid"], serde_json::Value::Null);
    assert_eq!(
        second["size"].as_u64(),
        Some(fs::metadata(&file).unwrap().len())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_not_paid() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let url = gateway.url("/a");
    for (arguments, expected) in [
        (
            vec!["get", &url, "--no-pay"],
            "asks for 10 sat and paying is off",
        ),
        (
            vec!["get", &url, "--max-cost", "9999msat"],
            "price 10 sat is over the limit of 9999 msat",
        ),
        (
            vec!["get", &url, "--max-cost", "10"],
            "`10` has no unit: write 10sat",
        ),
        (
            vec!["get", &url, "--wallet", "nobody"],
            "no wallet `nobody`",
        ),
        (
            vec!["get", &url, "--wallet", "sandbox:nobody"],
            "no wallet `nobody`, only buyer and seller",
        ),
    ] {
        let refused = market.run(&arguments).await;
        assert!(
            !refused.status.success() && stderr(&refused).contains(expected),
            "{arguments:?}: {}",
            stderr(&refused)
        );
        assert!(refused.stdout.is_empty(), "{arguments:?}");
    }
    assert!(market.settled_payments().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_forbids_with_its_own_exit_code() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;

    let refused = market
        .run(&["get", &gateway.url("/a"), "--max-cost", "1sat", "--json"])
        .await;

    assert_eq!(refused.status.code(), Some(10));
    let said: serde_json::Value = serde_json::from_str(&stderr(&refused)).unwrap();
    assert_eq!(
        (said["exit_code"].as_u64(), said["error"].as_bool()),
        (Some(10), Some(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daily_limit_counts_what_earlier_runs_spent() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &["--max-uses", "1"]).await;
    fs::write(
        market.home().join("config.toml"),
        "[get]\nmax_fee = \"1 sat\"\nmax_per_day = \"25 sat\"\n",
    )
    .unwrap();

    stdout(&market.run(&["get", &gateway.url("/1")]).await);
    stdout(&market.run(&["get", &gateway.url("/2")]).await);
    let third = market.run(&["get", &gateway.url("/3")]).await;

    assert_eq!(third.status.code(), Some(10), "{}", stderr(&third));
    assert!(
        stderr(&third).contains("daily limit of 25 sat"),
        "{}",
        stderr(&third)
    );
    assert_eq!(market.settled_payments().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_its_wallet_serves_old_tokens_and_answers_503_to_the_rest() {
    let mut market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    stdout(&market.run(&["get", &gateway.url("/a")]).await);
    market.close_wallets().await;

    stdout(&market.run(&["get", &gateway.url("/a")]).await);
    fs::remove_dir_all(market.client_dir()).unwrap();
    let refused = market.run(&["get", &gateway.url("/a")]).await;

    assert_eq!(refused.status.code(), Some(8), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("503"), "{}", stderr(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_gateway_honours_the_tokens_it_sold() {
    let market = Market::open().await;
    let api = echo_api().await;
    let first = market.serve(api, &[]).await;
    let old_url = first.url("/a");
    stdout(&market.run(&["get", &old_url]).await);
    assert_eq!(first.stop().await, Some(0));
    let second = market.serve(api, &[]).await;

    // Another port is another origin to the client, so the credential is presented by hand.
    let header = format!("Authorization: {}", stored_authorization(&market));
    stdout(
        &market
            .run(&["get", &second.url("/a"), "--no-pay", "-H", &header])
            .await,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn even_the_most_verbose_log_shows_no_secret() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;

    let bought = market
        .run(&["get", &gateway.url("/a?secret=query"), "-vvv"])
        .await;

    let log = stderr(&bought);
    assert!(bought.status.success(), "{log}");
    let authorization = stored_authorization(&market);
    let (token, preimage) = authorization
        .strip_prefix("L402 ")
        .unwrap()
        .split_once(':')
        .unwrap();
    for secret in [token, preimage, "secret=query"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sandbox_both_sides_say_how_to_start_one() {
    let home = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tollway"));
    command.env("TOLLWAY_HOME", home.path());
    let output = command
        .args([
            "serve",
            "--upstream",
            "http://127.0.0.1:9",
            "--price",
            "1sat",
        ])
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("start one with `tollway sandbox`"),
        "{}",
        stderr(&output)
    );
}

/// The one credential in the client's store, as an `Authorization` value.
fn stored_authorization(market: &Market) -> String {
    let tokens = tollway_client::Book::open(&market.client_dir())
        .credentials()
        .unwrap();
    assert_eq!(tokens.len(), 1);
    tokens[0].authorization().to_str().unwrap().to_owned()
}
