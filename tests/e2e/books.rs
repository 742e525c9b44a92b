//! What was paid and what was earned: `tollway spending` and `tollway sales`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::upstream::request;
use crate::support::{Market, echo_api, failure, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_was_bought_or_sold_both_reports_name_what_to_do_and_create_nothing() {
    let market = Market::open().await;
    let before = names(market.home());

    let spending = stdout(&market.run(&["spending"]).await);
    let sales = stdout(&market.run(&["sales"]).await);
    let tokens = stdout(&market.run(&["sales", "--tokens"]).await);

    assert!(spending.starts_with("nothing was bought yet"), "{spending}");
    for shown in ["tollway get", "1000 sat", "10000 sat", "--max-per-day"] {
        assert!(spending.contains(shown), "{spending}");
    }
    for sales in [sales, tokens] {
        assert!(sales.starts_with("nothing was sold yet"), "{sales}");
        assert!(sales.contains("--data-dir"), "{sales}");
    }
    let spending = json(&market, &["spending"]).await;
    assert_eq!(spending["all"]["paid_msat"], 0, "{spending}");
    let sales = json(&market, &["sales"]).await;
    assert_eq!(sales["all"]["earned_msat"], 0, "{sales}");
    let keys = failure(&market.run(&["keys", "list", "--json"]).await);
    assert_eq!(keys["exit_code"], 2, "{keys}");
    assert!(
        keys["message"].as_str().unwrap().contains("--data-dir"),
        "{keys}"
    );
    assert_eq!(names(market.home()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn spending_is_shown_with_the_limits_and_what_they_leave() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &["--max-uses", "1"]).await;
    for path in ["/a", "/b"] {
        stdout(&market.run(&["get", &gateway.url(path)]).await);
    }
    fs::write(
        market.home().join("config.toml"),
        "[get]\nmax_per_day = \"100sat\"\nmax_total = \"1000sat\"\n",
    )
    .unwrap();

    let shown = json(&market, &["spending"]).await;
    let text = stdout(&market.run(&["spending", "--since", "7d"]).await);

    for period in ["today", "month", "all"] {
        let sum = &shown[period];
        assert_eq!(sum["purchases"], 2, "{shown}");
        assert_eq!(sum["price_msat"], 20_000, "{shown}");
        assert_eq!(sum["reserved_msat"], 0, "{shown}");
    }
    let fees = shown["all"]["fee_msat"].as_u64().unwrap();
    let (limits, row) = (&shown["limits"], &shown["rows"][0]);
    assert_eq!(limits["max_per_day_msat"], 100_000, "{shown}");
    assert_eq!(limits["left_today_msat"], 80_000 - fees, "{shown}");
    assert_eq!(limits["left_in_all_msat"], 980_000 - fees, "{shown}");
    let origin = gateway.url("");
    assert_eq!(row["origin"].as_str().unwrap(), origin, "{shown}");
    assert_eq!(row["paid_msat"], 20_000 + fees, "{shown}");
    for part in ["today (UTC)", "20 sat", "100 sat", "max_total", &origin] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let by_day = json(&market, &["spending", "--by", "day"]).await;
    assert_eq!(by_day["rows"].as_array().unwrap().len(), 1, "{by_day}");
    assert!(by_day["rows"][0]["day"].as_str().unwrap().starts_with("20"));
    for (since, expected) in [("2999-01-01", "future"), ("7", "7d"), ("soon", "soon")] {
        let refused = market.run(&["spending", "--since", since, "--json"]).await;
        let refused = failure(&refused);
        assert_eq!(refused["exit_code"], 2, "{refused}");
        assert!(
            refused["message"].as_str().unwrap().contains(expected),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_and_tokens_are_read_while_the_gateway_runs_and_after() {
    let market = Market::open().await;
    let arguments = ["--max-uses", "3", "--service", "weather"];
    let gateway = market.serve(echo_api().await, &arguments).await;
    let (token, _never_used) = (
        market.buy(gateway.address()).await,
        market.buy(gateway.address()).await,
    );
    for _ in 0..2 {
        let served = request(gateway.address(), "/", Some(&token)).await;
        assert!(served.challenges().is_empty());
    }

    let counted = |sales: &Value| sales["all"]["requests"] == 2;
    let sales = until(&market, &["sales"], counted).await;

    for period in ["today", "month", "all"] {
        assert_eq!(sales[period]["tokens_sold"], 1, "{sales}");
        assert_eq!(sales[period]["earned_msat"], 10_000, "{sales}");
    }
    assert_eq!(sales["services"][0]["service"], "weather", "{sales}");
    let refused = &sales["refused"][0];
    assert_eq!(
        (&refused["reason"], &refused["requests"]),
        (&"no_credential".into(), &2.into())
    );
    let text = stdout(&market.run(&["sales", "--since", "1d"]).await);
    for part in ["weather", "10 sat", "no_credential", "first used", "UTC"] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let listed = &json(&market, &["sales", "--tokens"]).await["tokens"][0];
    assert_eq!(
        (&listed["uses"], &listed["max_uses"], &listed["state"]),
        (&2.into(), &3.into(), &"honoured".into()),
        "{listed}"
    );
    let (id, hash) = (
        listed["token_id"].as_str().unwrap(),
        listed["payment_hash"].as_str().unwrap(),
    );
    stdout(&market.run(&["token", "revoke", id]).await);
    assert_eq!(gateway.stop().await, Some(0));
    let text = stdout(&market.run(&["sales", "--tokens"]).await);
    for part in [&hash[..8], "2 of 3", "10 sat", "revoked"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_key_names_how_many_used_tokens_it_takes_along() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let token = market.buy(gateway.address()).await;
    let served = request(gateway.address(), "/", Some(&token)).await;
    assert!(served.challenges().is_empty());
    let counted = |sales: &Value| sales["all"]["requests"] == 1;
    until(&market, &["sales"], counted).await;

    let keys = json(&market, &["keys", "rotate"]).await;
    let old = keys["keys"][1]["id"].as_str().unwrap();
    assert_eq!(keys["keys"][1]["tokens_used"], 1, "{keys}");
    let text = stdout(&market.run(&["keys", "list"]).await);
    for part in ["mints new tokens", "retired", "UTC", old] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let unknown = market.run(&["keys", "remove", "00000000", "--json"]).await;
    let unknown = failure(&unknown);
    assert!(
        unknown["message"].as_str().unwrap().contains(old),
        "{unknown}"
    );
    let removed = json(&market, &["keys", "remove", old, "--now"]).await;

    assert_eq!(removed["removed"]["tokens_used"], 1, "{removed}");
    let listed = json(&market, &["sales", "--tokens"]).await;
    assert_eq!(listed["tokens"][0]["state"], "key_removed", "{listed}");
}

/// Whatever a person deletes in the folder, what was bought is presented or nothing is bought.
#[tokio::test(flavor = "multi_thread")]
async fn no_file_of_the_book_can_be_deleted_so_that_get_pays_again() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    stdout(&market.run(&["get", &gateway.url("/a")]).await);
    let files = names(&market.client_dir());
    assert!(files.len() > 1, "{files:?}");

    for name in &files {
        let (file, aside) = (
            market.client_dir().join(name),
            market.home().join("deleted"),
        );
        fs::rename(&file, &aside).unwrap();

        let again = market.run(&["get", &gateway.url("/a"), "--json"]).await;

        assert_eq!(market.settled_payments().len(), 1, "{name}: {again:?}");
        if !again.status.success() {
            let refused = failure(&again);
            let message = refused["message"].as_str().unwrap();
            assert!(message.contains(name), "{name}: {refused}");
        }
        if file.is_dir() {
            fs::remove_dir_all(&file).unwrap();
        }
        fs::rename(&aside, &file).unwrap();
    }
}

/// Runs a report until it has what running gateways write a tenth of a second late.
async fn until(market: &Market, arguments: &[&str], is_there: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let report = json(market, arguments).await;
        if is_there(&report) {
            return report;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{report}");
    }
}

async fn json(market: &Market, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&stdout(&market.run(&arguments).await)).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
