//! `tollway serve`: what it prints at the start, how it stops, and what it logs.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use l402::Credential;
use tempfile::TempDir;

use crate::support::upstream::{Upstream, request};
use crate::support::{Gateway, Market, dripping_api, failure, signal, stderr};

#[tokio::test(flavor = "multi_thread")]
async fn the_start_names_addresses_terms_wallet_limits_and_folder() {
    let market = Market::open().await;
    let mut upstream = Upstream::bind();
    upstream.listen();
    let url = format!("http://{}", upstream.address());
    let arguments = [
        "serve",
        "--upstream",
        &url,
        "--price",
        "10sat",
        "--max-uses",
        "3",
        "--valid-for",
        "1h",
        "--listen",
        "0",
        "--admin",
        "0",
        "--drain-timeout",
        "2m",
    ];

    let people = Serving::start(market.command(&arguments), 6);
    let programs = Serving::start(market.command(&[&arguments[..], &["--json"]].concat()), 1);

    let text = people.started.join("\n");
    assert!(
        text.starts_with(&format!("serving {url} on http://127.0.0.1:")),
        "{text}"
    );
    let data = market.home().join("gateway").display().to_string();
    for part in [
        "\n  admin    http://127.0.0.1:",
        "\n  price    10 sat buys 3 requests within 1 h",
        "\n  paid to  sandbox:seller on regtest, where coins are worthless",
        "\n  limits   120 challenges a minute for one client network, 1 min for the upstream to respond, 2 min to finish requests at a stop",
        &format!("\n  data     {data}"),
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let object: serde_json::Value = serde_json::from_str(&programs.started[0]).unwrap();
    for (field, value) in [
        ("upstream", serde_json::json!(url)),
        ("upstream_up", true.into()),
        ("https", serde_json::Value::Null),
        ("service", "default".into()),
        ("price_msat", 10_000.into()),
        ("max_uses", 3.into()),
        ("valid_for_secs", 3_600.into()),
        ("network", "regtest".into()),
        (
            "wallet",
            serde_json::json!({ "name": "sandbox:seller", "can_spend": null }),
        ),
        ("challenges_per_minute", 120.into()),
        ("upstream_timeout_secs", 60.into()),
        ("drain_timeout_secs", 120.into()),
        ("data_dir", data.as_str().into()),
        ("warnings", serde_json::json!([])),
    ] {
        assert_eq!(object[field], value, "{field} in {object}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_can_spend_is_a_warning_and_its_secret_is_not_shown() {
    let market = Market::open().await;
    let sandbox = std::fs::read_to_string(market.home().join("sandbox/sandbox.json")).unwrap();
    let sandbox: serde_json::Value = serde_json::from_str(&sandbox).unwrap();
    let seller = &sandbox["wallets"]["seller"];
    let admin = seller["lndconnect"].as_str().unwrap();
    let (_, macaroon) = admin.split_once("macaroon=").unwrap();

    for (macaroon_file, can_spend) in [("admin", true), ("invoice", false)] {
        let file = seller["macaroons"][macaroon_file].as_str().unwrap();
        let cert = seller["tls_cert"].as_str().unwrap();
        let address = seller["grpc"].as_str().unwrap();
        std::fs::write(
            market.home().join("config.toml"),
            format!("[wallets]\nnode = {{ lnd = \"{address}\", tls_cert = \"{cert}\", macaroon = \"{file}\" }}\n"),
        )
        .unwrap();
        let dir = market.home().join(macaroon_file).display().to_string();
        let arguments = [
            "serve",
            "--upstream",
            "127.0.0.1:1",
            "--price",
            "1sat",
            "--listen",
            "0",
            "--wallet",
            "node",
            "--data-dir",
            &dir,
            "--json",
        ];
        let serving = Serving::start(market.command(&arguments), 1);

        let object: serde_json::Value = serde_json::from_str(&serving.started[0]).unwrap();
        assert_eq!(object["wallet"]["can_spend"], can_spend, "{object}");
        let warnings = object["warnings"].to_string();
        assert_eq!(
            warnings.contains("invoice.macaroon"),
            can_spend,
            "{warnings}"
        );
        assert!(!serving.started[0].contains(macaroon), "{object}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sold_until_the_upstream_accepts_connections() {
    let market = Market::open().await;
    let mut upstream = Upstream::bind();
    let url = format!("http://{}", upstream.address());
    let arguments = [
        "serve",
        "--upstream",
        &url,
        "--price",
        "10sat",
        "--listen",
        "0",
    ];
    let serving = Serving::start(market.command(&arguments), 5);

    let warning = serving.log.recv_timeout(PATIENCE).unwrap();
    let refused = request(serving.address(), "/", None).await;
    upstream.listen();
    let offered = request(serving.address(), "/", None).await;

    assert!(
        warning.contains("warning") && warning.contains(&url) && warning.contains("no invoice"),
        "{warning}"
    );
    assert!(refused.challenges().is_empty());
    // A look at it may have failed just before.
    let began = Instant::now();
    let mut offered = offered;
    while offered.challenges().is_empty() {
        assert!(began.elapsed() < PATIENCE, "still nothing is sold");
        offered = request(serving.address(), "/", None).await;
    }
    serving.wait_for("upstream is up again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once_and_counts_what_was_cut_off() {
    let home = tempfile::tempdir().unwrap();
    let api = dripping_api().await;
    let mut serving = Serving::start(free(&home, api, &["--listen", "0"]), 3);
    let _download = download(serving.address());

    signal(serving.process.id(), "INT");
    let note = serving.wait_for("stopping");
    signal(serving.process.id(), "INT");
    let last = serving.wait_for("stopped at once");

    assert!(
        note.contains("1 request in flight may take 30 s to finish; Ctrl-C again ends at once"),
        "{note}"
    );
    assert!(last.contains("1 request cut off"), "{last}");
    assert_eq!(serving.process.wait().unwrap().code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_to_finish_can_be_chosen() {
    let home = tempfile::tempdir().unwrap();
    let api = dripping_api().await;
    let mut serving = Serving::start(
        free(&home, api, &["--listen", "0", "--drain-timeout", "1s"]),
        3,
    );
    let _download = download(serving.address());

    signal(serving.process.id(), "TERM");

    let last = serving.wait_for("did not finish within 1 s");
    assert!(
        last.contains("1 connection ") && last.contains("--drain-timeout"),
        "{last}"
    );
    let code = serving.process.wait().unwrap().code();
    assert_eq!(code, Some(0), "a stop that was asked for is no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_can_be_announced_before_it_begins() {
    let home = tempfile::tempdir().unwrap();
    let mut upstream = Upstream::bind();
    upstream.listen();
    let arguments = ["--listen", "0", "--admin", "0", "--drain-delay", "1h"];
    let serving = Serving::start(free(&home, upstream.address(), &arguments), 4);
    let admin = serving.admin();
    assert_eq!(request(admin, "/readyz", None).await.status(), 200);

    signal(serving.process.id(), "TERM");
    let note = serving.wait_for("stopping in 1 h");

    assert!(note.contains("/readyz is 503"), "{note}");
    assert_eq!(request(admin, "/readyz", None).await.status(), 503);
    assert_eq!(request(admin, "/healthz", None).await.status(), 200);
    let served = request(serving.address(), "/", None).await;
    assert_eq!(served.delivered(), 1);
    signal(serving.process.id(), "TERM");
    serving.wait_for("stopped at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_reported_with_its_flag_and_its_user() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let us = format!("process {} (", std::process::id());
    for flag in ["--listen", "--admin"] {
        let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
        let elsewhere = if flag == "--listen" {
            &[][..]
        } else {
            &["--listen", "0"]
        };
        let mut command = free(&home, upstream, elsewhere);
        command.args([flag, &address]);

        let text = stderr(&command.output().unwrap());

        assert!(
            text.contains(&address) && text.contains(&format!("{flag} chooses")),
            "{text}"
        );
        if cfg!(target_os = "linux") {
            assert!(text.contains(&us), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_the_gateway_itself_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let free_port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let address = free_port.to_string();

    let mut command = tollway(&home);
    command.args([
        "serve",
        "--free",
        "--json",
        "--upstream",
        &address,
        "--listen",
        &address,
    ]);
    let failed = failure(&command.output().unwrap());

    assert_eq!(failed["exit_code"], 2, "{failed}");
    let message = failed["message"].as_str().unwrap();
    assert!(
        message.contains("--upstream") && message.contains(&address),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_certificate_is_named_with_flag_and_remedy() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (cert, key) = pair();
    let (_, other_key) = pair();
    let exposed = file("exposed.pem", key.as_bytes());
    std::fs::set_permissions(&exposed, Permissions::from_mode(0o644)).unwrap();
    let (cert, key) = (
        file("cert.pem", cert.as_bytes()),
        file("key.pem", key.as_bytes()),
    );
    let other_key = file("other.pem", other_key.as_bytes());
    let empty = file("empty.pem", b"");
    let der = file("cert.der", &[0x30, 0x82, 0x01, 0x02, 0xff]);
    let missing = home.path().join("missing.pem").display().to_string();
    for (tls_cert, tls_key, parts) in [
        (&missing, &key, ["--tls-cert", "openssl req -x509"]),
        (&cert, &missing, ["--tls-key", "No such file"]),
        (&key, &cert, ["--tls-cert", "swapped"]),
        (&cert, &cert, ["--tls-key", "swapped"]),
        (&cert, &other_key, ["--tls-key", "does not belong to"]),
        (&cert, &exposed, ["--tls-key", "chmod 600 "]),
        (&empty, &key, ["--tls-cert", "it is empty"]),
        (&der, &key, ["--tls-cert", "openssl x509 -inform der"]),
    ] {
        let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut command = free(&home, upstream, &["--listen", "0"]);
        command.args([
            "--tls-listen",
            "0",
            "--tls-cert",
            tls_cert,
            "--tls-key",
            tls_key,
        ]);
        let output = command.output().unwrap();

        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_gateways_may_start_at_once_on_a_fresh_folder() {
    let market = Market::open().await;
    let mut upstream = Upstream::bind();
    upstream.listen();
    for round in 0..10 {
        let dir = market
            .home()
            .join(format!("shop-{round}"))
            .display()
            .to_string();
        let arguments = ["--data-dir", dir.as_str()];
        let start = || market.serve(upstream.address(), &arguments);
        let gateways: [Gateway; 3] = tokio::join!(start(), start(), start()).into();

        let token = market.buy(gateways[0].address()).await;

        for gateway in gateways {
            let served = request(gateway.address(), "/", Some(&token)).await;
            assert_eq!(served.delivered(), 1, "round {round}");
            assert_eq!(gateway.stop().await, Some(0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_v_adds_to_the_log_and_none_takes_away() {
    let market = Market::open().await;
    let mut upstream = Upstream::bind();
    upstream.listen();
    let url = format!("http://{}", upstream.address());
    for (flags, has_access) in [
        (&[][..], false),
        (&["--access-log"], true),
        (&["-v"], true),
        (&["-v", "--access-log"], true),
    ] {
        let dir = market.home().join(flags.concat()).display().to_string();
        let usual = [
            "serve",
            "--upstream",
            &url,
            "--price",
            "10sat",
            "--listen",
            "0",
            "--data-dir",
            &dir,
        ];
        let serving = Serving::start(market.command(&[&usual, flags].concat()), 5);
        let token = market.buy(serving.address()).await;
        request(serving.address(), "/paid?secret=query", Some(&token)).await;

        // Those of its last events are written before it ends.
        let log = serving.stop();

        let sold = log
            .lines()
            .find(|line| line.contains("first use of a token"));
        assert!(
            sold.is_some_and(|line| line.contains("price=10 sat")),
            "{log}"
        );
        let access = log.lines().find(|line| line.contains("/paid"));
        assert_eq!(access.is_some(), has_access, "{flags:?}: {log}");
        if let Some(line) = access {
            let credential = Credential::parse(&token).unwrap();
            let hash = credential.preimage().payment_hash().to_string();
            for part in [
                &hash[..16],
                "127.0.0.1",
                "sent=",
                "upstream_us=",
                "complete",
            ] {
                assert!(line.contains(part), "{part}: {line}");
            }
        }
        assert!(!log.contains("secret=query"), "{log}");
    }
}

/// A running `tollway serve`, killed when dropped.
struct Serving {
    process: Child,
    /// The first lines of its standard output.
    started: Vec<String>,
    /// The lines of its standard error.
    log: Receiver<String>,
}

impl Serving {
    /// Waits for the first lines.
    fn start(mut command: Command, lines: usize) -> Self {
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = lines_of(process.stderr.take().unwrap());
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let started: Vec<String> = stdout.lines().take(lines).map(Result::unwrap).collect();
        assert_eq!(
            started.len(),
            lines,
            "{started:?} {:?}",
            log.try_iter().collect::<Vec<_>>()
        );
        Self {
            process,
            started,
            log,
        }
    }

    fn address(&self) -> SocketAddr {
        let (_, address) = self.started[0].rsplit_once("http://").unwrap();
        address.parse().unwrap()
    }

    /// The address of the admin port, which is on its second line.
    fn admin(&self) -> SocketAddr {
        let (_, rest) = self.started[1].rsplit_once("http://").unwrap();
        rest.split('/').next().unwrap().parse().unwrap()
    }

    /// Returns the next line of the log with a text.
    fn wait_for(&self, text: &str) -> String {
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.log.recv_timeout(deadline - Instant::now()) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("no `{text}` in {seen:?}");
    }

    /// Stops it and returns the rest of its log.
    fn stop(mut self) -> String {
        signal(self.process.id(), "TERM");
        assert!(self.process.wait().unwrap().success());
        let rest: Vec<String> = self.log.iter().collect();
        rest.join("\n")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

fn lines_of(stderr: ChildStderr) -> Receiver<String> {
    let (lines, received) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    received
}

fn tollway(home: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollway"));
    command
        .env("TOLLWAY_HOME", home.path())
        .env_remove("TOLLWAY_LOG");
    command
}

/// A gateway that charges nothing.
fn free(home: &TempDir, upstream: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = tollway(home);
    let upstream = upstream.to_string();
    command.args(["serve", "--free", "--upstream", &upstream]);
    command.args(arguments);
    command
}

/// Begins a download that never ends, and returns once a byte of it has arrived.
fn download(gateway: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(gateway).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    stream.read_exact(&mut [0; 16]).unwrap();
    stream
}

/// A self-signed certificate and its key, PEM.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

const PATIENCE: Duration = Duration::from_secs(30);
