//! Failures of `tollway get`: exit codes, what was paid, and no secret.

use std::fs;
use std::process::{Command, Stdio};

use l402::{Macaroon, RootKey};

use crate::support::h2::{Frame, H2Server, Reply};
use crate::support::wallet::SilentWallet;
use crate::support::{
    Market, closing_proxy, dripping_api, echo_api, failure, raw_api, signal, stderr, stdout,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_body_that_does_not_arrive_whole_has_its_own_code_and_names_the_payment() {
    let market = Market::open().await;
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    let mut large = b"HTTP/1.1 200 OK\r\ncontent-length: 17825792\r\n\r\n".to_vec();
    large.resize(large.len() + 17_825_792, b'x');
    for response in [half, large] {
        let gateway = market.serve(raw_api(response).await, &[]).await;

        let failed = market.run(&["get", &gateway.url("/a"), "--json"]).await;
        let again = market.run(&["get", &gateway.url("/a"), "--json"]).await;

        let failed = failure(&failed);
        assert_eq!(
            (failed["exit_code"].as_u64(), failed["code"].as_str()),
            (Some(9), Some("paid_undelivered")),
            "{failed}"
        );
        assert_eq!(failed["paid"]["state"], "settled");
        assert_eq!(failed["paid"]["price_msat"], 10_000);
        assert!(failed["paid"]["fee_msat"].is_u64(), "{failed}");
        assert!(
            gateway
                .url("/a")
                .starts_with(failed["paid"]["origin"].as_str().unwrap()),
            "{failed}"
        );
        let hash = failed["paid"]["payment_hash"].as_str().unwrap();
        let known =
            |payment: &tollway_sandbox::wallet::PaymentRecord| payment.hash.to_string() == hash;
        assert!(market.settled_payments().iter().any(known), "{failed}");
        assert_eq!(
            failure(&again)["paid"],
            serde_json::Value::Null,
            "the token is kept"
        );
    }
    assert_eq!(market.settled_payments().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_a_payment_names_it_in_text_as_well() {
    let market = Market::open().await;
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    let gateway = market.serve(raw_api(response).await, &[]).await;

    let failed = market.run(&["get", &gateway.url("/a"), "-q"]).await;

    let hash = market.settled_payments()[0].hash.to_string();
    let text = stderr(&failed);
    assert!(
        text.contains("paid 10 sat") && text.contains(&hash),
        "{text}"
    );
}

/// A full disk is `/dev/full`, which every write to fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_paid_body_that_cannot_be_written_has_the_same_code() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    if fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .is_err()
    {
        println!("skipped: there is no /dev/full");
        return;
    }
    let failed = market
        .run(&["get", &gateway.url("/a"), "-o", "/dev/full", "--json"])
        .await;

    let failed = failure(&failed);
    assert_eq!(failed["exit_code"], 9, "{failed}");
    assert_eq!(failed["paid"]["price_msat"], 10_000, "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_body_that_drips_ends_at_the_time_limit_with_the_payment() {
    let market = Market::open().await;
    let gateway = market.serve(dripping_api().await, &[]).await;
    let file = market.home().join("kept");
    fs::write(&file, "good").unwrap();

    let failed = market
        .run(&[
            "get",
            &gateway.url("/a"),
            "--json",
            "--max-time",
            "5s",
            "-o",
            file.to_str().unwrap(),
        ])
        .await;

    let failed = failure(&failed);
    assert_eq!(
        (failed["exit_code"].as_u64(), failed["code"].as_str()),
        (Some(9), Some("paid_undelivered")),
        "{failed}"
    );
    assert_eq!(failed["paid"]["state"], "settled", "{failed}");
    assert_eq!(failed["paid"]["price_msat"], 10_000, "{failed}");
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("not finished within 5s"), "{message}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "good");
    assert_eq!(market.settled_payments().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_flight_at_the_time_limit_is_looked_up_by_the_next_run() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let wallet = SilentWallet::open(&market).await;
    let (url, uri) = (gateway.url("/a"), wallet.uri());
    let get = ["get", &url, "--json", "--wallet", &uri];

    let limited = [&get[..], &["--max-time", "5s"]].concat();
    let failed = failure(&market.run(&limited).await);
    wallet.speak();
    let next = market.run(&get).await;

    assert_eq!(failed["exit_code"], 7, "{failed}");
    assert_eq!(failed["paid"]["state"], "unknown", "{failed}");
    stdout(&next);
    assert_eq!(market.settled_payments().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_status_after_a_payment_names_the_payment() {
    let market = Market::open().await;
    let response = b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nlost";
    let gateway = market.serve(raw_api(response.to_vec()).await, &[]).await;

    let failed = failure(&market.run(&["get", &gateway.url("/a"), "--json"]).await);

    assert_eq!(failed["exit_code"], 8, "{failed}");
    assert_eq!(failed["paid"]["price_msat"], 10_000, "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_argument_that_cannot_be_read_is_found_before_anything_is_sent() {
    let market = Market::open().await;
    for data in ["@/nowhere/at/all", "@/"] {
        // Nothing listens at the discard port: a request would fail with another code.
        let failed = market
            .run(&["get", "http://127.0.0.1:9/", "-d", data, "--json"])
            .await;
        let failed = failure(&failed);
        assert_eq!(
            (failed["exit_code"].as_u64(), failed["code"].as_str()),
            (Some(2), Some("usage")),
            "{failed}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_payment_is_reported_and_looked_up_by_the_next_run() {
    for name in ["INT", "HUP"] {
        let market = Market::open().await;
        let gateway = market.serve(echo_api().await, &[]).await;
        let wallet = SilentWallet::open(&market).await;
        let (url, uri) = (gateway.url("/a"), wallet.uri());
        let get = ["get", &url, "--json", "--wallet", &uri];
        let mut command = market.command(&get);
        command.stdout(Stdio::null()).stderr(Stdio::piped());

        let process = command.spawn().unwrap();
        wallet.withheld().await;
        signal(process.id(), name);
        let interrupted = tokio::task::spawn_blocking(move || process.wait_with_output().unwrap());
        let interrupted = failure(&interrupted.await.unwrap());
        wallet.speak();
        let next = market.run(&get).await;

        assert_eq!(interrupted["exit_code"], 7, "{interrupted}");
        assert_eq!(interrupted["paid"]["state"], "unknown", "{interrupted}");
        assert_eq!(interrupted["paid"]["price_msat"], 10_000, "{interrupted}");
        stdout(&next);
        assert_eq!(market.settled_payments().len(), 1);
    }
}

/// `nohup` lets a process outlive its terminal.
#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_that_was_ignored_stays_ignored() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let wallet = SilentWallet::open(&market).await;
    let (url, uri) = (gateway.url("/a"), wallet.uri());
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$0\" get \"$1\" --wallet \"$2\""])
        .args([env!("CARGO_BIN_EXE_tollway"), &url, &uri])
        .env("TOLLWAY_HOME", market.home())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());

    let process = command.spawn().unwrap();
    wallet.withheld().await;
    signal(process.id(), "HUP");
    signal(process.id(), "INT");
    let ended = tokio::task::spawn_blocking(move || process.wait_with_output().unwrap());

    assert_eq!(ended.await.unwrap().status.code(), Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_no_request_can_be_sent_to_is_a_wrong_command_line() {
    let market = Market::open().await;
    for (url, named) in [
        ("http://127.0.0.1:99999/", "99999"),
        ("http://127.0.0.1:65536/", "65536"),
        ("http://127.0.0.1:abc/", "abc"),
        ("http://127.0.0.1:-1/", "-1"),
        ("http://user:MARKED@127.0.0.1/", "127.0.0.1"),
        ("ftp://127.0.0.1/", "127.0.0.1"),
    ] {
        let failed = failure(&market.run(&["get", "--json", url]).await);
        assert_eq!(failed["exit_code"], 2, "{failed}");
        let message = failed["message"].as_str().unwrap();
        assert!(
            message.contains(named) && !message.contains("MARKED"),
            "{failed}"
        );
    }
    let arguments = [
        "get",
        "--json",
        "https://127.0.0.1:9/",
        "--ca-cert",
        "/nowhere.pem",
    ];
    let failed = failure(&market.run(&arguments).await);
    assert_eq!(failed["exit_code"], 2, "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_before_its_end_is_a_broken_body() {
    let market = Market::open().await;
    let file = market.home().join("good");
    fs::write(&file, "good").unwrap();
    let (no_error, cancel) = (0, 8);
    let replies = [
        vec![
            Frame::Head(b"1000"),
            Frame::Data(b"half"),
            Frame::Reset(no_error),
        ],
        vec![
            Frame::Head(b"1000"),
            Frame::Data(b"half"),
            Frame::Reset(cancel),
        ],
        vec![Frame::Head(b"1000"), Frame::LastData(b"half")],
        vec![Frame::Head(b"2"), Frame::LastData(b"more")],
        // A server may reset the stream of a request whose rest it does not need.
        vec![
            Frame::Head(b"5"),
            Frame::LastData(b"whole"),
            Frame::Reset(no_error),
        ],
    ];
    let last = replies.len() - 1;
    let replies = replies.map(|frames| Reply {
        frames,
        closes: true,
    });
    let server = H2Server::start(market.home(), replies.to_vec());
    let (certificate, target) = (server.certificate.to_str().unwrap(), file.to_str().unwrap());

    for at in 0..=last {
        let arguments = ["get", &server.url, "--ca-cert", certificate, "-o", target];
        let ended = market.run(&arguments).await;
        let (code, content) = if at == last {
            (0, "whole")
        } else {
            (4, "good")
        };
        assert_eq!(ended.status.code(), Some(code), "{at}: {}", stderr(&ended));
        assert_eq!(fs::read_to_string(&file).unwrap(), content, "{at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_server_has_not_processed_is_sent_once_more() {
    let market = Market::open().await;
    let refused = 7;
    let served = || Reply {
        frames: vec![Frame::Head(b"5"), Frame::LastData(b"whole")],
        closes: true,
    };
    let unprocessed = [
        Reply {
            frames: vec![Frame::Reset(refused)],
            closes: false,
        },
        Reply {
            frames: vec![Frame::GoAway],
            closes: true,
        },
    ];
    for unprocessed in unprocessed {
        for (times, code) in [(1, 0), (2, 4)] {
            let mut replies = vec![unprocessed.clone(); times];
            replies.push(served());
            let server = H2Server::start(market.home(), replies);
            let certificate = server.certificate.to_str().unwrap();
            let arguments = ["get", &server.url, "--ca-cert", certificate, "-X", "POST"];
            let ended = market.run(&arguments).await;
            assert_eq!(
                ended.status.code(),
                Some(code),
                "{times}: {}",
                stderr(&ended)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_request_whose_old_connection_closes_is_sent_once_more_if_that_is_safe() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    for (method, code) in [("GET", 0), ("POST", 9)] {
        let proxy = closing_proxy(gateway.address()).await;
        let url = format!("http://{proxy}/{method}");
        let ended = market.run(&["get", &url, "-X", method]).await;
        assert_eq!(
            ended.status.code(),
            Some(code),
            "{method}: {}",
            stderr(&ended)
        );
    }
    assert_eq!(market.settled_payments().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_failure_shows_a_secret() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let url = gateway.url("/a");
    let secret_query = gateway.url("/a?key=MARKED");
    let token = "L402 MARKED:MARKED";
    let commands: Vec<Vec<&str>> = vec![
        vec!["get", &url, "-H", "Authorization Bearer MARKED"],
        vec!["get", &url, "-H", "Authorization Bearer MARKED:x"],
        vec!["get", &url, "-H", "Authorization: MARKED\u{1}"],
        vec!["get", "http://127.0.0.1:9/", "-H", "Authorization: MARKED"],
        vec!["get", &url, "--no-pay", "-H", "Authorization: L402 MARKED"],
        vec!["get", &secret_query, "--no-pay"],
        vec!["get", &secret_query, "--max-cost", "1sat"],
        vec![
            "get",
            &url,
            "--wallet",
            "lndconnect://127.0.0.1:9?macaroon=MARKED",
        ],
        vec![
            "get",
            &url,
            "--wallet",
            "LNDCONNECT://127.0.0.1:9?macaroon=MARKED",
        ],
        vec![
            "get",
            &url,
            "--wallet",
            " lndconnect:/127.0.0.1:9?macaroon=MARKED",
        ],
        vec![
            "get",
            &url,
            "--wallet",
            "lndconect://127.0.0.1:9?macaroon=MARKED",
        ],
        vec!["token", "verify", token, "--key", "MARKED"],
        vec!["token", "inspect", token],
        vec!["token", "attenuate", token, "path_prefix=/"],
    ];
    for arguments in commands {
        for json in [&[][..], &["--json"]] {
            let failed = market.run(&[&arguments[..], json].concat()).await;
            assert!(!failed.status.success(), "{arguments:?}");
            let shown = format!(
                "{}{}",
                stderr(&failed),
                String::from_utf8_lossy(&failed.stdout)
            );
            assert!(!shown.contains("MARKED"), "{arguments:?}: {shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_does_not_show_the_macaroon_of_a_wallet_it_cannot_reach() {
    let market = Market::open().await;
    let macaroon = Macaroon::mint(&RootKey::new([7; 32]), "lnd", b"id").unwrap();
    let secret = macaroon.to_base64().replace('+', "-").replace('/', "_");
    let wallet = format!("lndconnect://127.0.0.1:9?macaroon={secret}");

    for json in [&[][..], &["--json"]] {
        let arguments = ["serve", "--listen=127.0.0.1:0", "--price=1sat"];
        let rest = ["--upstream=http://127.0.0.1:9", "--wallet", &wallet];
        let failed = market.run(&[&arguments, &rest[..], json].concat()).await;

        let shown = stderr(&failed);
        assert!(!failed.status.success());
        assert!(shown.contains("lnd:127.0.0.1:9"), "{shown}");
        assert!(!shown.contains(secret.trim_end_matches('=')), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_lists_the_exit_codes() {
    let market = Market::open().await;
    let help = stdout(&market.run(&["exit-codes"]).await);
    for code in ["paid_undelivered", "in_doubt", "over_limit"] {
        assert!(help.contains(code), "{help}");
    }
}
