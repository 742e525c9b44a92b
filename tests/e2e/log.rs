//! Logs: of a request, of a gateway whose log cannot be written, or is not read.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

use crate::support::upstream::{Upstream, request};
use crate::support::{Gateway, Market, echo_api, stderr};

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_costs_no_paid_request() {
    let market = Market::open().await;
    let full = File::options().write(true).open("/dev/full").unwrap();
    let gateway = serve(&market, Stdio::from(full), &["--max-uses", "2"]).await;
    let token = market.buy(gateway.address()).await;

    for _ in 0..2 {
        assert_eq!(delivered(&gateway, "/", &token).await, 1);
    }

    assert_eq!(delivered(&gateway, "/", &token).await, 0);
    assert_eq!(gateway.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_read_holds_up_neither_requests_nor_the_end() {
    let market = Market::open().await;
    let gateway = serve(&market, Stdio::piped(), &[]).await;
    let token = market.buy(gateway.address()).await;
    // Longer than the buffer of a pipe when they are logged.
    let path = format!("/{}", "x".repeat(8_192));

    for _ in 0..32 {
        assert_eq!(delivered(&gateway, &path, &token).await, 1);
    }

    assert_eq!(gateway.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_v_shows_more_of_a_request_and_never_a_secret() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let url = gateway.url("/a?q=SECRET");
    let cookie = ["-H", "Cookie: a=SECRET"];
    let get = |flags: &[&'static str]| [&["get", &url], &cookie[..], flags].concat().to_vec();

    let buying = market.run(&get(&["-v"])).await;
    let steps = stderr(&buying);
    for step in [
        "sending to ",
        "without a token",
        "asked to pay: 402",
        "the price is 10 sat",
        "reserved 10 sat",
        "paying ",
        "paid 10 sat",
        "stored the token ",
        "just bought",
        "responded 200",
    ] {
        assert!(steps.contains(step), "{step}: {steps}");
    }
    assert!(!steps.contains("> GET"), "{steps}");
    let again = stderr(&market.run(&get(&["-v"])).await);
    assert!(again.contains("with the stored token "), "{again}");
    assert!(again.contains("services=default:0"), "{again}");

    let heads = stderr(&market.run(&get(&["-vv"])).await);
    for line in [
        "> GET /a?[redacted] HTTP/1.1",
        "> cookie: [redacted]",
        "> authorization: L402 [redacted]",
        "< HTTP/1.1 200 OK",
        "< content-length: ",
    ] {
        assert!(heads.contains(line), "{line}: {heads}");
    }

    let everything = stderr(&market.run(&get(&["-vvv", "--buy-after-refusal"])).await);
    assert!(!everything.contains("tower::buffer"), "{everything}");
    for log in [steps, again, heads, everything] {
        assert!(!log.contains("SECRET"), "{log}");
    }
    assert_eq!(stderr(&market.run(&get(&["-q"])).await), "");
}

async fn serve(market: &Market, log: Stdio, arguments: &[&str]) -> Gateway {
    let mut upstream = Upstream::bind();
    upstream.listen();
    let arguments = [&["--access-log"], arguments].concat();
    market
        .serve_logging_to(log, upstream.address(), &arguments)
        .await
}

async fn delivered(gateway: &Gateway, path: &str, token: &str) -> u64 {
    let reply = request(gateway.address(), path, Some(token));
    timeout(PATIENCE, reply).await.unwrap().delivered()
}

const PATIENCE: Duration = Duration::from_secs(20);
