//! What was paid and what was earned: `tollway spending` and `tollway sales`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
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
    for command in ["remove", "retire"] {
        let unknown = market.run(&["keys", command, "00000000", "--json"]).await;
        let unknown = failure(&unknown);
        assert_eq!(unknown["exit_code"], 2, "{unknown}");
        assert!(
            unknown["message"].as_str().unwrap().contains(old),
            "{unknown}"
        );
    }
    let removed = json(&market, &["keys", "remove", old, "--now"]).await;

    assert_eq!(removed["removed"]["tokens_used"], 1, "{removed}");
    let listed = json(&market, &["sales", "--tokens"]).await;
    assert_eq!(listed["tokens"][0]["state"], "key_removed", "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_retired_once_however_often_it_is_asked_for() {
    let market = Market::open().await;
    let _gateway = market.serve(echo_api().await, &[]).await;
    let ids = |keys: &Value| -> Vec<String> {
        let keys = keys["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let minting = ids(&json(&market, &["keys", "list"]).await).remove(0);

    let retired = json(&market, &["keys", "retire", &minting]).await;
    let again = json(&market, &["keys", "retire", &minting]).await;

    assert_eq!(ids(&retired).len(), 2, "{retired}");
    assert_eq!(retired["keys"][0]["mints"], true, "{retired}");
    assert_eq!(retired["keys"][1]["mints"], false, "{retired}");
    assert_eq!(retired["keys"][1]["id"], minting.as_str(), "{retired}");
    assert_eq!(ids(&again), ids(&retired));
}

/// A backup, say. The gateway was killed: its log was not written back.
#[tokio::test(flavor = "multi_thread")]
async fn reports_of_a_copied_folder_are_whole_and_change_nothing_in_it() {
    let market = Market::open().await;
    let mut gateway = market.serve(echo_api().await, &[]).await;
    let token = market.buy(gateway.address()).await;
    request(gateway.address(), "/", Some(&token)).await;
    until(&market, &["sales"], |sales| sales["all"]["requests"] == 1).await;
    gateway.kill();
    let (gateway, copy) = (market.home().join("gateway"), market.home().join("copy"));
    for left_out in [None, Some("ledger.sqlite-shm")] {
        fs::create_dir(&copy).unwrap();
        for name in names(&gateway) {
            if Some(name.as_str()) != left_out {
                fs::copy(gateway.join(&name), copy.join(&name)).unwrap();
            }
        }
        assert!(copy.join("ledger.sqlite-wal").exists());
        let before = contents(&copy);

        for command in [&["sales"][..], &["sales", "--tokens"], &["keys", "list"]] {
            let folder = ["--data-dir", copy.to_str().unwrap()];
            let report = json(&market, &[command, &folder].concat()).await;
            let report = report.to_string();
            let counts = ["\"requests\":1", "\"uses\":1", "\"tokens_used\":1"];
            assert!(
                counts.iter().any(|count| report.contains(count)),
                "{report}"
            );
            assert_eq!(contents(&copy), before, "{command:?} without {left_out:?}");
        }
        fs::remove_dir_all(&copy).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_a_book_change_nothing_in_it_even_where_it_is_empty() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let commands = [
        (&["spending"][..], "nothing was bought yet"),
        (&["token", "list"], "no stored tokens"),
        (&["purchases", "list"], "no open purchases"),
        (&["purchases", "list", "--all"], "nothing was bought yet"),
    ];
    let book = market.client_dir().join("client.sqlite");
    fs::create_dir_all(market.client_dir()).unwrap();
    fs::write(&book, "").unwrap();
    fs::set_permissions(&book, fs::Permissions::from_mode(0o600)).unwrap();
    for (command, expected) in commands {
        let report = stdout(&market.run(command).await);
        assert!(report.starts_with(expected), "{report}");
    }
    assert_eq!(names(&market.client_dir()), ["client.sqlite"]);
    assert_eq!(fs::metadata(&book).unwrap().len(), 0);

    stdout(&market.run(&["get", &gateway.url("/a")]).await);
    let before = contents(&market.client_dir());
    for (command, _when_empty) in commands {
        stdout(&market.run(command).await);
    }
    let shown = json(&market, &["spending"]).await;
    assert_eq!(shown["all"]["purchases"], 1, "{shown}");
    assert_eq!(contents(&market.client_dir()), before);
}

/// Each buyer opens the book and closes it, which makes and removes its log.
#[tokio::test(flavor = "multi_thread")]
async fn reports_do_not_fail_while_others_buy() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &["--max-uses", "1"]).await;
    let url = gateway.url("/a");
    let buy = async {
        for _purchase in 0..10 {
            stdout(&market.run(&["get", &url]).await);
        }
    };
    let report = async {
        loop {
            for report in [&["spending"][..], &["token", "list"], &["sales"]] {
                stdout(&market.run(report).await);
            }
        }
    };

    tokio::select! {
        () = buy => {}
        () = report => {}
    }

    let shown = json(&market, &["spending"]).await;
    assert_eq!(shown["all"]["purchases"], 10, "{shown}");
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

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = names(folder)
        .into_iter()
        .filter(|name| folder.join(name).is_file());
    files
        .map(|name| (name.clone(), fs::read(folder.join(&name)).unwrap()))
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
