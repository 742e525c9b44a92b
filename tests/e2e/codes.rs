//! Codes of failures: what a program branches on.

use std::fs;

use l402::{Macaroon, RootKey};
use serde_json::Value;

use crate::support::{Market, echo_api, failure, raw_api, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_has_its_code_and_names_what_would_raise_it() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let url = gateway.url("/a");
    let config = market.home().join("config.toml");
    for (config_text, flags, code, expected, amounts) in [
        (
            "",
            ["--max-cost", "9sat"],
            "over_limit",
            "--max-cost",
            vec![("price_msat", 10_000), ("limit_msat", 9_000)],
        ),
        (
            "",
            ["--max-per-day", "15sat"],
            "over_day_limit",
            "--max-fee",
            vec![
                ("needed_msat", 20_000),
                ("used_msat", 0),
                ("limit_msat", 15_000),
            ],
        ),
        (
            "max_per_host = \"12 sat\"",
            ["--max-fee", "3sat"],
            "over_host_limit",
            "max_per_host",
            vec![("needed_msat", 13_000), ("limit_msat", 12_000)],
        ),
        (
            "max_total = \"12 sat\"",
            ["--max-fee", "3sat"],
            "over_total_limit",
            "max_total",
            vec![("needed_msat", 13_000), ("limit_msat", 12_000)],
        ),
    ] {
        fs::write(&config, format!("[get]\n{config_text}\n")).unwrap();
        let refused = market
            .run(&[&["get", &url, "--json"], &flags[..]].concat())
            .await;

        assert!(refused.stdout.is_empty());
        let refused = failure(&refused);
        assert_eq!(
            (&refused["code"], &refused["exit_code"]),
            (&code.into(), &10.into()),
            "{refused}"
        );
        for (name, amount) in amounts {
            assert_eq!(refused[name], amount, "{name}: {refused}");
        }
        assert_eq!(refused["paid"], Value::Null);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    }
    assert!(market.settled_payments().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_was_only_asked_for_comes_with_its_invoice() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;

    let refused = failure(
        &market
            .run(&["get", &gateway.url("/a"), "--no-pay", "--json"])
            .await,
    );

    assert_eq!(
        (&refused["code"], &refused["exit_code"]),
        (&"payment_required".into(), &10.into())
    );
    assert_eq!(refused["price_msat"], 10_000);
    let invoice = l402::Invoice::parse(refused["invoice"].as_str().unwrap()).unwrap();
    assert_eq!(invoice.amount().unwrap().as_msat(), 10_000);
    assert_eq!(refused["payment_hash"], invoice.payment_hash().to_string());
    assert!(
        refused["message"].as_str().unwrap().contains("--no-pay"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_refuses_is_told_from_one_that_is_not_there() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let url = gateway.url("/a");
    let buyer = market.home().join("sandbox/buyer");
    let uri = market.buyer_uri();
    let authority = uri.split_once("://").unwrap().1.split('?').next().unwrap();
    let (cert, macaroon) = (find(&buyer, "tls.cert"), find(&buyer, "invoice.macaroon"));
    fs::write(
        market.home().join("config.toml"),
        format!("[wallets]\ndenied = {{ lnd = \"{authority}\", tls_cert = \"{cert}\", macaroon = \"{macaroon}\" }}\ngone = {{ lnd = \"127.0.0.1:9\", tls_cert = \"{cert}\", macaroon = \"{macaroon}\" }}\n"),
    )
    .unwrap();

    for (wallet, code) in [("denied", "wallet_denied"), ("gone", "wallet_unreachable")] {
        let refused = failure(
            &market
                .run(&["get", &url, "--wallet", wallet, "--json"])
                .await,
        );
        assert_eq!(
            (&refused["code"], &refused["exit_code"]),
            (&code.into(), &3.into()),
            "{refused}"
        );
    }
    assert!(market.settled_payments().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_start_names_the_reason_and_the_flag() {
    let market = Market::open().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let serve = ["serve", "--json", "--upstream", "1", "--price", "1sat"];
    let gone = format!("lndconnect://127.0.0.1:9?macaroon={}", macaroon());
    let uri = market.buyer_uri();
    let (node, _own) = uri.split_once("macaroon=").unwrap();
    let foreign = format!("{node}macaroon={}", macaroon());
    for (flags, code, exit_code, expected) in [
        (
            ["--listen", &taken],
            "port_in_use",
            12,
            ["in use", "--listen"],
        ),
        (
            ["--wallet", &gone],
            "wallet_unreachable",
            3,
            ["lnd:127.0.0.1:9", "--wallet"],
        ),
        (
            ["--wallet", &foreign],
            "wallet_denied",
            3,
            ["lnd:127.0.0.1:", "--wallet"],
        ),
        (
            ["--wallet", "sandbox:x"],
            "usage",
            2,
            ["no wallet `x`", "--wallet"],
        ),
    ] {
        let failed = failure(&market.run(&[&serve[..], &flags[..]].concat()).await);
        assert_eq!(
            (&failed["code"], &failed["exit_code"]),
            (&code.into(), &exit_code.into()),
            "{failed}"
        );
        for part in expected {
            assert!(
                failed["message"].as_str().unwrap().contains(part),
                "{part}: {failed}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_whose_port_is_in_use_names_the_option_and_has_a_code_of_its_own() {
    let market = Market::open().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let second = market.home().join("second");
    for option in ["--seller-port", "--buyer-port"] {
        let other = ["--seller-port", "--buyer-port"].map(|name| {
            let port = if name == option { port.as_str() } else { "0" };
            [name, port]
        });
        let folder = ["sandbox", "--json", "--data-dir", second.to_str().unwrap()];
        let failed = failure(&market.run(&[&folder[..], &other.concat()].concat()).await);
        let code = (&failed["code"], &failed["exit_code"]);
        assert_eq!(code, (&"port_in_use".into(), &12.into()), "{failed}");
        let message = failed["message"].as_str().unwrap();
        assert!(
            message.contains(&port) && message.contains(option),
            "{failed}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_free_has_no_terms() {
    let market = Market::open().await;
    for terms in [
        ["--max-uses", "3"],
        ["--valid-for", "1h"],
        ["--price", "1sat"],
    ] {
        let serve = ["serve", "--upstream", "1", "--free", "--json"];
        let refused = failure(&market.run(&[&serve[..], &terms].concat()).await);
        let message = refused["message"].as_str().unwrap();
        assert_eq!(refused["exit_code"], 2, "{refused}");
        assert!(
            message.contains("--free") && message.contains(terms[0]),
            "{refused}"
        );
    }
}

/// The sandbox's certificates are their own authorities, as LND's are.
#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_that_must_not_be_paid_has_its_own_code() {
    let market = Market::open().await;
    let challenge = b"HTTP/1.1 402 Payment Required\r\nwww-authenticate: L402 macaroon=\"AgEE\", invoice=\"lnbc1\"\r\ncontent-length: 0\r\n\r\n";
    let api = raw_api(challenge.to_vec()).await;

    let refused = failure(
        &market
            .run(&["get", &format!("http://{api}/"), "--json"])
            .await,
    );

    assert_eq!(
        (&refused["code"], &refused["exit_code"]),
        (&"bad_challenge".into(), &11.into()),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_is_json_where_json_was_asked_for() {
    let market = Market::open().await;
    for arguments in [
        vec!["get", "--json"],
        vec!["--json", "get", "127.0.0.1:9", "--max-cost", "10"],
        vec!["get", "127.0.0.1:9", "--nonsense", "--json"],
        vec![
            "serve",
            "--json",
            "--upstream",
            "127.0.0.1:9",
            "--price",
            "1sat",
            "--valid-for",
            "x",
        ],
        vec!["--json", "nonsense"],
        vec!["token", "show", "--json"],
    ] {
        let refused = market.run(&arguments).await;
        assert!(refused.stdout.is_empty(), "{arguments:?}");
        let text = stderr(&refused);
        assert_eq!(text.lines().count(), 1, "{text}");
        let refused = failure(&refused);
        assert_eq!(
            (&refused["code"], &refused["exit_code"]),
            (&"usage".into(), &2.into()),
            "{refused}"
        );
        assert!(
            !refused["message"].as_str().unwrap().contains("Usage:"),
            "{refused}"
        );
    }
    let human = market.run(&["get", "127.0.0.1:9", "--", "--json"]).await;
    assert_eq!(human.status.code(), Some(2));
    assert!(
        serde_json::from_str::<Value>(&stderr(&human)).is_err(),
        "{}",
        stderr(&human)
    );
    let help = market.run(&["get", "--json", "--help"]).await;
    assert_eq!(help.status.code(), Some(0));
}

fn macaroon() -> String {
    let macaroon = Macaroon::mint(&RootKey::new([7; 32]), "lnd", b"id").unwrap();
    macaroon.to_base64().replace('+', "-").replace('/', "_")
}

fn find(dir: &std::path::Path, name: &str) -> String {
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.ends_with(name) {
                return path.display().to_string();
            }
        }
    }
    panic!("no {name} in {}", dir.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_that_stops_paying_is_in_the_tollway_folder_or_in_that_of_the_client() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let url = gateway.url("/a");
    fs::create_dir_all(market.home().join("client")).unwrap();
    for name in ["stop", "client/stop"] {
        let file = market.home().join(name);
        fs::write(&file, "").unwrap();
        let stopped = failure(&market.run(&["get", &url, "--json"]).await);
        fs::remove_file(&file).unwrap();

        assert_eq!(stopped["code"], "stopped", "{stopped}");
        let message = stopped["message"].as_str().unwrap();
        assert!(message.contains(file.to_str().unwrap()), "{message}");
    }
    assert!(market.settled_payments().is_empty());
    let help = stdout(&market.run(&["get", "--help"]).await);
    assert!(help.contains("~/.local/share/tollway/stop"), "{help}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_macaroon_that_may_not_pay_is_a_denial_without_advice_about_fees() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let buyer = market.home().join("sandbox/buyer");
    let uri = market.buyer_uri();
    let authority = uri.split_once("://").unwrap().1.split('?').next().unwrap();
    let (cert, macaroon) = (find(&buyer, "tls.cert"), find(&buyer, "readonly.macaroon"));
    let config = format!(
        "[wallets]\nreads = {{ lnd = \"{authority}\", tls_cert = \"{cert}\", macaroon = \"{macaroon}\" }}\n"
    );
    fs::write(market.home().join("config.toml"), config).unwrap();

    let get = ["get", &gateway.url("/a"), "--wallet", "reads", "--json"];
    let refused = failure(&market.run(&get).await);

    let code = (refused["code"].as_str(), refused["exit_code"].as_u64());
    assert_eq!(code, (Some("wallet_denied"), Some(3)), "{refused}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("offchain:write"), "{message}");
    assert!(!message.contains("--max-fee"), "{message}");
    assert_eq!(refused["origin"], gateway.url(""), "{refused}");
    assert!(market.settled_payments().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_an_error_has_its_status_in_the_failure() {
    let market = Market::open().await;
    for (head, code, exit_code, fields) in [
        (
            "429 Too Many Requests\r\nretry-after: 7",
            "rate_limited",
            6,
            &[("status", 429), ("retry_after", 7)][..],
        ),
        ("500 Oops", "server_error", 8, &[("status", 500)]),
        ("402 Pay", "server_error", 8, &[("status", 402)]),
    ] {
        let response = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n");
        let site = format!("http://{}/", raw_api(response.into_bytes()).await);
        let failed = failure(&market.run(&["get", &site, "--json"]).await);

        assert_eq!(
            (&failed["code"], &failed["exit_code"]),
            (&code.into(), &exit_code.into()),
            "{failed}"
        );
        for (name, value) in fields {
            assert_eq!(failed[name], *value, "{failed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_was_paid_for_is_never_one_after_which_nothing_was_paid() {
    let market = Market::open().await;
    let response = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let api = raw_api(response.as_bytes().to_vec()).await;
    let gateway = market.serve(api, &[]).await;

    let failed = failure(&market.run(&["get", &gateway.url("/a"), "--json"]).await);

    assert_eq!(market.settled_payments().len(), 1);
    let code = (failed["code"].as_str(), failed["exit_code"].as_u64());
    assert_eq!(code, (Some("server_error"), Some(8)), "{failed}");
    assert_eq!(failed["status"], 429, "{failed}");
    assert_eq!(failed["retry_after"], 7, "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_loop_is_the_servers_error() {
    let market = Market::open().await;
    let response = b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
    let site = format!("http://{}/", raw_api(response.to_vec()).await);

    let failed = failure(&market.run(&["get", &site, "--json"]).await);

    assert_eq!(failed["exit_code"], 8, "{failed}");
    assert_eq!(failed["code"], "server_error", "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_requests_own_that_is_refused_is_named() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let bought = market.run(&["get", &gateway.url("/a"), "--json"]).await;
    let bought: Value = serde_json::from_str(&stdout(&bought)).unwrap();
    let token = bought["token"].as_str().unwrap();
    assert_eq!(token, bought["paid"]["payment_hash"], "{bought}");
    let narrowed = market
        .run(&["token", "attenuate", token, "path=/other"])
        .await;
    let header = stdout(&narrowed).trim().to_owned();

    let get = ["get", &gateway.url("/a"), "--json", "-H", &header];
    let refused = failure(&market.run(&get).await);

    let code = (refused["code"].as_str(), refused["exit_code"].as_u64());
    assert_eq!(code, (Some("credential_refused"), Some(8)), "{refused}");
    assert_eq!(refused["reason"], "wrong_path", "{refused}");
    assert_eq!(market.settled_payments().len(), 1);
}
