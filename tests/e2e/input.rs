//! Arguments and configuration, as people type them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::{Gateway, Market, echo_api, failure, signal, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn durations_addresses_and_urls_are_read_as_people_type_them() {
    let market = Market::open().await;
    let api = echo_api().await;
    let upstream = api.to_string();
    let gateway = serve(
        &market,
        &[
            "--upstream",
            &upstream,
            "--listen",
            "localhost:0",
            "--valid-for",
            "1h",
            "--upstream-timeout",
            "2m",
        ],
    )
    .await;
    let url = format!("{}/a", gateway.address());
    let on_port = format!(":{}/a", gateway.address().port());

    let bought = market
        .run(&["get", &url, "--payment-timeout", "1m", "--json"])
        .await;
    let again = stdout(&market.run(&["get", &on_port, "-q"]).await);

    let bought: serde_json::Value = serde_json::from_str(&stdout(&bought)).unwrap();
    assert_eq!(bought["url"], format!("http://{url}"));
    assert!(again.contains("\"/a\""), "{again}");
    let listed = stdout(&market.run(&["token", "list", "--json"]).await);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let token = &listed["tokens"][0];
    let validity = token["expires_at"].as_u64().unwrap() - token["bought_at"].as_u64().unwrap();
    assert!((3_590..=3_610).contains(&validity), "{token}");
    for listen in [":0", "0"] {
        let gateway = serve(&market, &["--upstream", &upstream, "--listen", listen]).await;
        assert!(gateway.address().ip().is_loopback(), "{listen}");
    }
}

#[test]
fn what_cannot_be_read_is_shown_with_a_valid_example_made_of_it() {
    let home = tempfile::tempdir().unwrap();
    let serve = ["serve", "--price", "1sat", "--upstream"];
    let on = ["serve", "--price", "1sat", "--upstream", "127.0.0.1:1"];
    for (arguments, typed, example) in [
        (
            vec!["get", "ftp://127.0.0.1:8402/a"],
            "`ftp://127.0.0.1:8402/a`",
            "http://127.0.0.1:8402/path",
        ),
        (
            vec!["get", "http://api.example/a b"],
            "`http://api.example/a b`",
            "http://api.example/path",
        ),
        (vec!["get", "/joke"], "`/joke`", "https://example.com/path"),
        (
            vec!["get", "api.example", "--payment-timeout", "5x"],
            "`5x`",
            "5s, 5m, 5h or 5d",
        ),
        (
            [&serve[..], &["127.0.0.1:23000/v1"]].concat(),
            "`127.0.0.1:23000/v1`",
            "http://127.0.0.1:23000",
        ),
        (
            [&on[..], &["--listen", "10.0.0.7"]].concat(),
            "`10.0.0.7`",
            "10.0.0.7:8402",
        ),
        (
            [&on[..], &["--admin", "shop:9090"]].concat(),
            "`shop:9090`",
            "127.0.0.1:9090",
        ),
        (
            [&on[..], &["--valid-for", "tomorrow"]].concat(),
            "`tomorrow`",
            "1h",
        ),
    ] {
        let refused = tollway(&home, &arguments);
        let text = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(
            text.contains(typed) && text.contains(example),
            "{arguments:?}: {text}"
        );
        assert!(refused.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_url_that_cannot_be_read_is_shown_without_its_secrets() {
    let home = tempfile::tempdir().unwrap();
    for url in [
        "https://me:SECRET@api.example/?key=SECRET",
        "http://api.example/a b?SECRET",
    ] {
        for json in [&[][..], &["--json"]] {
            let refused = tollway(&home, &[&["get", url], json].concat());
            assert_eq!(refused.status.code(), Some(2));
            assert!(
                stderr(&refused).contains("api.example"),
                "{}",
                stderr(&refused)
            );
            assert!(!stderr(&refused).contains("SECRET"), "{}", stderr(&refused));
        }
    }
}

#[test]
fn a_misspelt_key_of_the_configuration_is_named_with_the_nearest_known_one() {
    let home = tempfile::tempdir().unwrap();
    for (text, expected) in [
        (
            "[get]\nwallet = \"a\"\nmax_costs = \"5 sat\"\n",
            ["line 3", "`max_costs` in [get]", "`max_cost`"],
        ),
        ("[serv]\nwallet = \"a\"\n", ["line 1", "`serv`", "`serve`"]),
        (
            "[serve]\nwalet = \"a\"\n",
            ["line 2", "`walet` in [serve]", "`wallet`"],
        ),
        ("[wallets]\nnode = 5\n", ["line 2", "wallet `node`", "URI"]),
        (
            "[wallets]\nnode = { lnd = 10009 }\n",
            ["line 2", "`lnd` of wallet `node`", "lnd = \"host:port\""],
        ),
    ] {
        fs::write(home.path().join("config.toml"), text).unwrap();
        let refused = failure(&tollway(&home, &["get", "127.0.0.1:9", "--json"]));
        let message = refused["message"].as_str().unwrap();
        assert_eq!(
            (&refused["code"], &refused["exit_code"]),
            (&"usage".into(), &2.into())
        );
        for part in expected {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("untagged"), "{message}");
    }
    fs::write(
        home.path().join("config.toml"),
        "[wallets]\nnode = { lnd = \"h:1\", macaron = \"/m\" }\n",
    )
    .unwrap();
    let refused = tollway(&home, &["get", "127.0.0.1:9", "--wallet", "node"]);
    assert!(
        stderr(&refused).contains("did you mean `macaroon`"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn a_second_sandbox_names_the_first_and_the_way_to_have_both() {
    let home = tempfile::tempdir().unwrap();
    let any_ports = ["sandbox", "--seller-port", "0", "--buyer-port", "0"];
    let mut first = command(&home, &any_ports)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(first.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();

    let second = tollway(&home, &any_ports);
    signal(first.id(), "TERM");
    assert!(first.wait().unwrap().success());

    let text = stderr(&second);
    assert_eq!(second.status.code(), Some(2), "{text}");
    for part in [
        &format!("process {}", first.id()),
        "--data-dir",
        "--seller-port 0",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn the_demo_ends_with_the_command_as_it_was_started() {
    let home = tempfile::tempdir().unwrap();
    let mut demo = command(&home, &["demo", "--json", "--listen", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let serving = lines
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap())
        .find(|step| step["step"] == "serving")
        .unwrap();

    let typed = serving["command"].as_str().unwrap();
    let second = Command::new("sh").args(["-c", typed]).output().unwrap();
    signal(demo.id(), "TERM");
    assert!(demo.wait().unwrap().success());

    assert!(typed.contains(env!("CARGO_BIN_EXE_tollway")), "{typed}");
    assert!(!typed.contains("cargo"), "{typed}");
    assert!(!stdout(&second).is_empty());
}

/// A gateway of this market, with every argument given.
async fn serve(market: &Market, arguments: &[&str]) -> Gateway {
    let usual = ["serve", "--json", "--price", "10sat"];
    let mut command = market.command(&[&usual, arguments].concat());
    tokio::task::spawn_blocking(move || Gateway::start(&mut command, Stdio::null()))
        .await
        .unwrap()
}

fn command(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollway"));
    command
        .args(arguments)
        .env("TOLLWAY_HOME", home.path())
        .env_remove("TOLLWAY_LOG");
    command
}

fn tollway(home: &TempDir, arguments: &[&str]) -> Output {
    command(home, arguments).output().unwrap()
}
