//! A gateway whose log cannot be written, or is not read.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

use crate::support::upstream::{Upstream, request};
use crate::support::{Gateway, Market};

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
