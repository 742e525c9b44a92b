//! Revocation and key rotation while gateways run.

use std::time::{Duration, Instant};

use crate::support::upstream::{Upstream, request};
use crate::support::{Gateway, Market, failure, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_by_every_gateway_within_a_second() {
    let shop = Shop::open().await;
    let (token, other) = (shop.buy().await, shop.buy().await);
    for gateway in &shop.gateways {
        assert_eq!(delivered(gateway, &token).await, 1);
    }

    shop.run(&["token", "revoke", &token]).await;

    shop.until_refused(&token).await;
    for gateway in &shop.gateways {
        assert_eq!(delivered(gateway, &other).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_minted_before_a_moment_is_revoked_at_once() {
    let shop = Shop::open().await;
    let token = shop.buy().await;

    shop.run(&["token", "revoke", "--minted-before", "99999999999"])
        .await;

    shop.until_refused(&token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_needs_a_ledger_and_something_to_revoke() {
    let market = Market::open().await;
    let id = "00".repeat(32);
    for (arguments, expected) in [
        (vec!["token", "revoke", &id, "--json"], "--data-dir"),
        (vec!["token", "revoke", "nonsense", "--json"], ""),
    ] {
        let failed = failure(&market.run(&arguments).await);
        assert_eq!(failed["exit_code"], 2, "{failed}");
        assert!(
            failed["message"].as_str().unwrap().contains(expected),
            "{failed}"
        );
    }
}

/// Two gateways on one data directory, in front of one upstream.
struct Shop {
    market: Market,
    gateways: Vec<Gateway>,
    dir: String,
}

impl Shop {
    async fn open() -> Self {
        let market = Market::open().await;
        let dir = market.home().join("shop").display().to_string();
        let mut upstream = Upstream::bind();
        upstream.listen();
        let arguments = ["--data-dir", dir.as_str()];
        let (one, other) = tokio::join!(
            market.serve(upstream.address(), &arguments),
            market.serve(upstream.address(), &arguments)
        );
        Self {
            market,
            gateways: vec![one, other],
            dir,
        }
    }

    async fn buy(&self) -> String {
        self.market.buy(self.gateways[0].address()).await
    }

    /// Runs a command on the data directory and returns its JSON.
    async fn run(&self, arguments: &[&str]) -> serde_json::Value {
        let on_dir = ["--data-dir", &self.dir, "--json"];
        let output = self.market.run(&[arguments, &on_dir].concat()).await;
        serde_json::from_str(&stdout(&output)).unwrap()
    }

    async fn until_refused(&self, token: &str) {
        let began = Instant::now();
        for gateway in &self.gateways {
            while delivered(gateway, token).await == 1 {
                assert!(began.elapsed() < Duration::from_secs(1), "still honoured");
            }
        }
    }
}

async fn delivered(gateway: &Gateway, token: &str) -> u64 {
    request(gateway.address(), "/ok", Some(token))
        .await
        .delivered()
}
