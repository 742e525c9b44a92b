//! Revocation and key rotation while gateways run.

use std::process::Output;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use l402::{
    Credential, Identifier, KeyRing, MasterKey, Preimage, SchemeName, Services, UnixSeconds,
};

use crate::support::upstream::{Upstream, request};
use crate::support::{Gateway, Market, failure, stderr, stdout};

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
    let key = std::fs::read_to_string(format!("{}/master.key", shop.dir)).unwrap();
    let token = mint(&key, -60);
    assert_eq!(delivered(&shop.gateways[0], &token).await, 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();

    let moment = now.as_secs().to_string();
    shop.run(&["token", "revoke", "--minted-before", &moment])
        .await;

    shop.until_refused(&token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_or_need_not_be_revoked_is_refused() {
    let shop = Shop::open().await;
    let in_milliseconds = "1800000000000";
    let foreign = mint(&"01".repeat(32), -60);
    for (arguments, expected) in [
        (&["--minted-before", in_milliseconds][..], "milliseconds"),
        (&["--minted-before", "2026"], "1970-01-01 00:33:46 UTC"),
        (&["--minted-before", "2999-01-01"], "future"),
        (&["0123456789"], "sales --tokens"),
        (&[foreign.as_str()], "minted"),
    ] {
        let command = ["token", "revoke", "--data-dir", &shop.dir, "--json"];
        let failed = failure(&shop.market.run(&[&command, arguments].concat()).await);

        assert_eq!(failed["exit_code"], 2, "{failed}");
        let message = failed["message"].as_str().unwrap();
        assert!(message.contains(expected), "{failed}");
    }
    let token = shop.buy().await;
    assert_eq!(delivered(&shop.gateways[0], &token).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_sold_until_now_is_revoked_and_listed() {
    let shop = Shop::open().await;
    let (token, other) = (shop.buy().await, shop.buy().await);
    let none = shop.run(&["token", "revoke", "--list"]).await;
    assert_eq!(none["revocations"].as_array().unwrap().len(), 0);
    shop.run(&["token", "revoke", &other]).await;

    let all = shop.run(&["token", "revoke", "--all"]).await;

    shop.until_refused(&token).await;
    assert_eq!(all["new"], true, "{all}");
    let listed = shop.run(&["token", "revoke", "--list"]).await;
    let listed = listed["revocations"].as_array().unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(listed[0]["minted_before"], all["revoked"]["minted_before"]);
    assert_eq!(listed[1]["token_id"], token_id(&other));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_already_is_not_reported_as_revoked() {
    let shop = Shop::open().await;
    let (token, other) = (shop.buy().await, shop.buy().await);
    let revoke = |arguments: &[&str]| {
        let command = ["token", "revoke", "--data-dir", &shop.dir];
        let arguments: Vec<&str> = command.iter().chain(arguments).copied().collect();
        let mut command = shop.market.command(&arguments);
        stdout(&command.output().unwrap())
    };
    assert_eq!(revoke(&[&token]), format!("revoked {}\n", token_id(&token)));
    let again = revoke(&[&token]);
    assert!(again.starts_with("nothing new: "), "{again}");
    assert!(revoke(&["--all"]).starts_with("revoked every token minted before "));
    for covered in [
        &["--minted-before", "today"][..],
        &["--minted-before", "now"],
        &[&other],
    ] {
        let again = revoke(covered);
        assert!(
            again.starts_with("nothing new: every token minted before "),
            "{again}"
        );
    }
    let again = shop.run(&["token", "revoke", &token]).await;
    assert_eq!(again["new"], false, "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_used_is_revoked_by_the_hash_of_its_payment() {
    let shop = Shop::open().await;
    for len in [8, 64] {
        let token = shop.buy().await;
        assert_eq!(delivered(&shop.gateways[0], &token).await, 1);
        let credential = Credential::parse(&token).unwrap();
        let hash = credential.preimage().payment_hash().to_string();
        let command = [
            "token",
            "revoke",
            "--data-dir",
            &shop.dir,
            "--json",
            &hash[..len],
        ];

        // Sales are written a moment after the response.
        let mut revoked = shop.market.run(&command).await;
        while !revoked.status.success() {
            revoked = shop.market.run(&command).await;
        }

        let revoked: serde_json::Value = serde_json::from_str(&stdout(&revoked)).unwrap();
        assert_eq!(revoked["revoked"]["token_id"], token_id(&token));
        shop.until_refused(&token).await;
        let list = ["token", "revoke", "--list", "--data-dir", &shop.dir];
        let lines = stdout(&shop.market.run(&list).await);
        assert!(
            lines.contains(&format!("sold as {}", &hash[..8])),
            "{lines}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_with_the_ledger_counts_uses_and_heeds_revocations() {
    let market = Market::open().await;
    let mut upstream = Upstream::bind();
    upstream.listen();
    let gateway = market.serve(upstream.address(), &["--max-uses", "2"]).await;
    let token = market.buy(gateway.address()).await;
    let verify = |more: &[&str]| {
        let arguments: Vec<&str> = ["token", "verify", &token]
            .iter()
            .chain(more)
            .copied()
            .collect();
        market.command(&arguments).output().unwrap()
    };
    let fresh = stdout(&verify(&[]));
    assert!(
        fresh.ends_with("not revoked, 2 of 2 uses left\n"),
        "{fresh}"
    );
    let key = market
        .home()
        .join("gateway/master.key")
        .display()
        .to_string();
    let by_key = stdout(&verify(&["--key-file", &key]));
    assert!(
        by_key.contains("revocation and uses are not checked: --data-dir"),
        "{by_key}"
    );

    assert_eq!(delivered(&gateway, &token).await, 1);
    let uses_left = |output: Output| {
        let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        json["uses_left"].as_u64()
    };
    while uses_left(verify(&["--json"])) != Some(1) {}
    let not_checked = verify(&["--json", "--key-file", &key]);
    let not_checked: serde_json::Value = serde_json::from_str(&stdout(&not_checked)).unwrap();
    assert_eq!(not_checked["not_checked"][1], "uses", "{not_checked}");
    assert_eq!(delivered(&gateway, &token).await, 1);
    while verify(&[]).status.success() {}
    assert!(
        stderr(&verify(&[])).contains("2 of 2"),
        "{}",
        stderr(&verify(&[]))
    );

    stdout(&market.run(&["token", "revoke", &token]).await);
    let revoked = verify(&[]);
    assert_eq!(revoked.status.code(), Some(1));
    assert!(stderr(&revoked).contains("revoked"), "{}", stderr(&revoked));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_challenges_as_chosen_are_given_out_at_once() {
    let market = Market::open().await;
    let mut upstream = Upstream::bind();
    upstream.listen();
    let arguments = ["--challenges-per-minute", "1"];
    let gateway = market.serve(upstream.address(), &arguments).await;

    let first = request(gateway.address(), "/", None).await;
    let second = request(gateway.address(), "/", None).await;

    assert!(!first.challenges().is_empty());
    assert!(second.challenges().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_ledger_is_removed_ends_and_does_not_start_again() {
    let mut shop = Shop::open().await;
    std::fs::remove_file(format!("{}/ledger.sqlite", shop.dir)).unwrap();

    for gateway in shop.gateways.drain(..) {
        assert_eq!(gateway.ended().await, Some(1));
    }

    let arguments = [
        "serve",
        "--upstream",
        "http://127.0.0.1:9",
        "--price",
        "10sat",
        "--data-dir",
        &shop.dir,
        "--json",
    ];
    let failed = failure(&shop.market.run(&arguments).await);
    let message = failed["message"].as_str().unwrap();
    for name in ["ledger.sqlite", "master.key", "restore", "mv "] {
        assert!(message.contains(name), "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_of_an_unusable_ledger_is_shown() {
    let market = Market::open().await;
    let dir = market.home().join("shop");
    std::fs::create_dir_all(dir.join("ledger.sqlite")).unwrap();
    let dir = dir.display().to_string();

    let arguments = [
        "serve",
        "--upstream",
        "http://127.0.0.1:9",
        "--price",
        "1sat",
        "--data-dir",
        &dir,
        "--json",
    ];
    let failed = failure(&market.run(&arguments).await);

    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("directory"), "{failed}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_key_mints_nothing_more_and_a_removed_one_is_forgotten() {
    let shop = Shop::open().await;
    let sold = shop.buy().await;
    let old_key = std::fs::read_to_string(format!("{}/master.key", shop.dir)).unwrap();
    // As a thief of the old key would write it, an hour after the rotation.
    let forged = mint(&old_key, 3_600);
    assert_eq!(delivered(&shop.gateways[0], &forged).await, 1);

    let keys = shop.run(&["keys", "rotate"]).await;

    shop.until_refused(&forged).await;
    let (new, old) = (&keys["keys"][0], &keys["keys"][1]);
    assert_eq!(
        (new["mints"].as_bool(), old["mints"].as_bool()),
        (Some(true), Some(false))
    );
    let id = new["id"].as_str().unwrap();
    assert!(
        token_id(&shop.buy().await).starts_with(id),
        "the new key mints"
    );
    for gateway in &shop.gateways {
        assert_eq!(
            delivered(gateway, &sold).await,
            1,
            "what was sold is honoured"
        );
    }

    let listed = shop
        .run(&["keys", "remove", old["id"].as_str().unwrap(), "--now"])
        .await;

    assert_eq!(listed["keys"].as_array().unwrap().len(), 1);
    shop.until_refused(&sold).await;
    let minting = ["keys", "remove", id, "--data-dir", &shop.dir, "--json"];
    assert_eq!(failure(&shop.market.run(&minting).await)["exit_code"], 2);
}

/// A paid token for every service, minted so many seconds from now, with the first key of a
/// key file.
fn mint(key: &str, secs: i64) -> String {
    let newest = key.lines().next().unwrap();
    let ring = KeyRing::new(MasterKey::from_hex(newest).unwrap());
    let preimage = Preimage::new([7; 32]);
    let services = Services::new("default", 0).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let minted_at = UnixSeconds::new(now.as_secs().checked_add_signed(secs).unwrap());
    let token = l402::mint(
        &ring,
        preimage.payment_hash(),
        &services,
        &[],
        minted_at,
        [9; 20],
    );
    Credential::new(token.unwrap(), preimage).authorization(SchemeName::L402)
}

fn token_id(authorization: &str) -> String {
    let credential = Credential::parse(authorization).unwrap();
    let identifier = Identifier::parse(credential.macaroon().identifier()).unwrap();
    identifier.token_id.to_string()
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
