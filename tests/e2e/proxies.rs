//! `tollway serve` with a proxy in front, which is at 127.0.0.2: other clients are at other
//! addresses of this machine.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::support::{Gateway, Market, echo_api};

#[tokio::test(flavor = "multi_thread")]
async fn challenges_are_limited_for_each_client_of_a_trusted_proxy() {
    let market = Market::open().await;
    let trust = ["--trusted-proxy", "127.0.0.2"];
    let limit = ["--challenges-per-minute", "1"];
    let gateway = market
        .serve(echo_api().await, &[trust, limit].concat())
        .await;

    for (from, stated, status) in [
        (PROXY, "203.0.113.9", 402),
        (PROXY, "203.0.113.9", 429),
        (PROXY, "192.0.2.1, 203.0.113.9", 429),
        (PROXY, "198.51.100.9", 402),
        // Whatever another address claims, it is counted itself.
        (STRANGER, "198.51.101.9", 402),
        (STRANGER, "198.51.102.9", 429),
    ] {
        let request = request(&format!("X-Forwarded-For: {stated}\r\n"));
        let response = exchange(from, gateway.address(), request.as_bytes()).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(response.starts_with(&expected), "{stated}: {response}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_and_the_upstream_have_the_client_of_the_proxy() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("log");
    let trust = ["--access-log", "--trusted-proxy", "127.0.0.2"];
    let mut command = serve_free(&home, echo_api().await, &trust);
    let gateway = Gateway::start(&mut command, Stdio::from(File::create(&log).unwrap()));
    let claims = "X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: shop.example\r\nTrue-Client-IP: 6.6.6.6\r\n";

    let request = request(claims);
    let proxied = exchange(PROXY, gateway.address(), request.as_bytes()).await;
    let direct = exchange(STRANGER, gateway.address(), request.as_bytes()).await;

    for (response, headers) in [
        (
            &proxied,
            ["203.0.113.9, 127.0.0.2", "https", "shop.example"],
        ),
        (&direct, ["127.0.0.3", "http", "api.example"]),
    ] {
        let [address, scheme, host] = headers;
        for line in [
            format!("x-forwarded-for: {address}\""),
            format!("x-forwarded-proto: {scheme}\""),
            format!("x-forwarded-host: {host}\""),
        ] {
            assert!(response.contains(&line), "{line} in {response}");
        }
        assert!(!response.contains("6.6.6.6"), "{response}");
    }
    assert_eq!(gateway.stop().await, Some(0));
    let log = fs::read_to_string(log).unwrap();
    for client in ["\"client\":\"203.0.113.9\"", "\"client\":\"127.0.0.3\""] {
        assert!(log.contains(client), "{client} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_file_has_the_proxies_and_the_host() {
    let home = tempfile::tempdir().unwrap();
    let config = "[serve]\ntrusted_proxies = [\"127.0.0.2\", \"10.0.0.0/8\"]\n\
        proxy_protocol = true\nupstream_host = \"preserve\"\n";
    fs::write(home.path().join("config.toml"), config).unwrap();
    let mut command = serve_free(&home, echo_api().await, &[]);
    let gateway = Gateway::start(&mut command, Stdio::null());
    let request = request("X-Forwarded-For: 6.6.6.6\r\n");
    let v1 = b"PROXY TCP4 203.0.113.9 127.0.0.1 56324 80\r\n".to_vec();
    let v2 = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f".as_slice(),
        &[203, 0, 113, 9, 127, 0, 0, 1, 0xdc, 4, 0, 80],
        // A value of another type.
        &[0xe0, 0, 0],
    ]
    .concat();

    for header in [v1, v2] {
        let both = [&header, request.as_bytes()].concat();
        let response = exchange(PROXY, gateway.address(), &both).await;
        assert!(
            response.contains("x-forwarded-for: 203.0.113.9\""),
            "{response}"
        );
        assert!(response.contains("\"host: api.example\""), "{response}");

        let refused = exchange(STRANGER, gateway.address(), &both).await;
        assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    }
    let unannounced = exchange(PROXY, gateway.address(), request.as_bytes()).await;
    assert_eq!(unannounced, "");
    let direct = exchange(STRANGER, gateway.address(), request.as_bytes()).await;
    assert!(direct.contains("x-forwarded-for: 127.0.0.3\""), "{direct}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_about_proxies_is_named_with_its_flag() {
    let home = tempfile::tempdir().unwrap();
    let upstream = SocketAddr::from(([127, 0, 0, 1], 1));
    for (arguments, message) in [
        (&["--proxy-protocol"][..], "add --trusted-proxy"),
        (
            &["--trusted-proxy", "10.0.0.0/33"],
            "`10.0.0.0/33` is not a network",
        ),
        (
            &["--trusted-proxy", "proxy.example"],
            "write an address or a network",
        ),
    ] {
        let mut command = serve_free(&home, upstream, arguments);
        let Output { status, stderr, .. } = command.output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    }
}

/// `tollway serve --free`, not started yet.
fn serve_free(home: &TempDir, upstream: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollway"));
    command
        .args(["serve", "--json", "--free", "--listen", "127.0.0.1:0"])
        .args(["--upstream", &format!("http://{upstream}")])
        .args(arguments)
        .env("TOLLWAY_HOME", home.path())
        .env_remove("TOLLWAY_LOG");
    command
}

fn request(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n{lines}\r\n")
}

/// Sends bytes from an address of this machine, and reads until the gateway closes.
async fn exchange(from: Ipv4Addr, gateway: SocketAddr, bytes: &[u8]) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut stream = socket.connect(gateway).await.unwrap();
    // A connection that is refused may be closed before.
    let _written = stream.write_all(bytes).await;
    let mut response = Vec::new();
    let _end_or_reset = stream.read_to_end(&mut response).await;
    String::from_utf8(response).unwrap()
}

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
