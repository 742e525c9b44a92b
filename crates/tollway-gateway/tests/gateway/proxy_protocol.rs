//! The PROXY protocol in front of HTTP and TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use http::StatusCode;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tollway_gateway::{Gateway, GatewayConfig, GatewayLimits, Price, ProxyProtocol, Running};

use super::proxies::{PROXY, STRANGER, from, trusted};
use crate::support::client::{Client, empty, get, read_to_close, tls_over};
use crate::support::upstream::Upstream;
use crate::support::{self, Identity};

#[tokio::test]
async fn the_client_is_whom_the_header_names() {
    let mut upstream = Upstream::sunny().await;
    let identity = Identity::new();
    let running = start(upstream.address, &identity, GatewayLimits::default());
    let v4 = v2(0x21, 0x11, &ends());
    let with_values = v2(0x21, 0x11, &[&ends()[..], &[0xee; 3000]].concat());
    for (header, client) in [
        (
            &b"PROXY TCP4 203.0.113.9 127.0.0.1 56324 80\r\n"[..],
            "203.0.113.9",
        ),
        (b"PROXY TCP6 2001:db8::9 ::1 56324 80\r\n", "2001:db8::9"),
        (&v4, "203.0.113.9"),
        (&with_values, "203.0.113.9"),
        // The proxy speaks for itself.
        (b"PROXY UNKNOWN\r\n", "127.0.0.2"),
        (&v2(0x20, 0x00, &[]), "127.0.0.2"),
    ] {
        let lie = || {
            let request = get("/").header("x-forwarded-for", "6.6.6.6");
            request.body(empty()).unwrap()
        };
        let stream = after(header, support::http(&running)).await;
        let mut plain = Client::http1_over(stream).await;
        plain.ask(lie()).await;
        let seen = upstream.seen().await.head.headers;
        assert_eq!(seen["x-forwarded-for"], client);
        assert_eq!(seen["x-forwarded-proto"], "http");

        let stream = after(header, support::http(&running)).await;
        Client::http2_over(stream).await.ask(lie()).await;
        let seen = upstream.seen().await.head.headers;
        assert_eq!(seen["x-forwarded-for"], client);

        let stream = after(header, running.addresses().https.unwrap()).await;
        let stream = tls_over(stream, &identity.certificate(), &[b"h2"]).await;
        Client::http2_over(stream.unwrap()).await.ask(lie()).await;
        let seen = upstream.seen().await.head.headers;
        assert_eq!(seen["x-forwarded-for"], client);
        assert_eq!(seen["x-forwarded-proto"], "https");
    }
}

#[tokio::test]
async fn a_header_and_a_request_may_arrive_a_byte_at_a_time() {
    let mut upstream = Upstream::sunny().await;
    let identity = Identity::new();
    let running = start(upstream.address, &identity, GatewayLimits::default());
    let header = b"PROXY TCP4 203.0.113.9 127.0.0.1 56324 80\r\n";
    let header2 = v2(0x21, 0x11, &[&ends()[..], &[0xee; 40]].concat());
    for header in [&header[..], &header2] {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut stream = from(PROXY, support::http(&running)).await;
        stream.set_nodelay(true).unwrap();
        for byte in [header, request].concat() {
            stream.write_all(&[byte]).await.unwrap();
        }

        let answer = support::soon(read_to_close(stream)).await;

        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let seen = upstream.seen().await.head.headers;
        assert_eq!(seen["x-forwarded-for"], "203.0.113.9");
    }
}

#[tokio::test]
async fn a_proxy_named_by_a_proxy_is_believed_too() {
    let mut upstream = Upstream::sunny().await;
    let running = start(upstream.address, &Identity::new(), GatewayLimits::default());
    let header = b"PROXY TCP4 10.1.1.1 127.0.0.1 56324 80\r\n";
    let stream = after(header, support::http(&running)).await;

    let request = get("/").header("x-forwarded-for", "6.6.6.6, 203.0.113.9");
    let mut client = Client::http1_over(stream).await;
    client.ask(request.body(empty()).unwrap()).await;

    let seen = upstream.seen().await.head.headers;
    assert_eq!(seen["x-forwarded-for"], "203.0.113.9, 10.1.1.1");
}

#[tokio::test]
async fn a_trusted_proxy_without_a_header_is_not_served() {
    let mut upstream = Upstream::sunny().await;
    let running = start(upstream.address, &Identity::new(), GatewayLimits::default());
    let header = "PROXY TCP4 203.0.113.9 127.0.0.1 56324 80\r\n";
    let too_long = v2(0x21, 0x11, &[0; 65535]);
    for (bytes, answer_begins) in [
        (REQUEST.as_bytes(), ""),
        (b"PROXY TCP4 203.0.113.9\r\n".as_slice(), ""),
        (&[b'P'; 4096], ""),
        (&too_long, ""),
        (&v2(0x21, 0x41, &ends()), ""),
        // A second one is a request that cannot be read.
        (
            format!("{header}{header}{REQUEST}").as_bytes(),
            "HTTP/1.1 400 ",
        ),
    ] {
        let mut stream = from(PROXY, support::http(&running)).await;
        // It may be closed before all of it is written.
        let _written = stream.write_all(bytes).await;
        let answer = support::soon(read_to_close(stream)).await;
        assert!(answer.starts_with(answer_begins), "{answer}");
        assert_eq!(answer.is_empty(), answer_begins.is_empty(), "{answer}");
    }
    assert!(upstream.all_seen().is_empty());
}

#[tokio::test]
async fn a_header_from_any_other_address_is_not_read() {
    let mut upstream = Upstream::sunny().await;
    let identity = Identity::new();
    let running = start(upstream.address, &identity, GatewayLimits::default());
    let header = b"PROXY TCP4 203.0.113.9 127.0.0.1 56324 80\r\n".to_vec();
    for header in [header, v2(0x21, 0x11, &ends())] {
        let mut stream = from(STRANGER, support::http(&running)).await;
        stream.write_all(&header).await.unwrap();
        let _written = stream.write_all(REQUEST.as_bytes()).await;
        let answer = support::soon(read_to_close(stream)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");

        let mut stream = from(STRANGER, running.addresses().https.unwrap()).await;
        stream.write_all(&header).await.unwrap();
        let refused = tls_over(stream, &identity.certificate(), &[b"h2"]).await;
        assert!(refused.is_err());
    }
    assert!(upstream.all_seen().is_empty());

    let mut direct = Client::http1_over(from(STRANGER, support::http(&running)).await).await;
    direct.ask(get("/").body(empty()).unwrap()).await;
    let seen = upstream.seen().await.head.headers;
    assert_eq!(seen["x-forwarded-for"], "127.0.0.3");
}

#[tokio::test]
async fn the_port_for_metrics_needs_no_header() {
    let upstream = Upstream::sunny().await;
    let running = start(upstream.address, &Identity::new(), GatewayLimits::default());
    let mut stream = from(PROXY, running.addresses().admin.unwrap()).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();

    let answer = support::soon(read_to_close(stream)).await;

    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_slow_header_has_the_time_of_a_head() {
    let upstream = Upstream::sunny().await;
    let limits = GatewayLimits {
        idle_timeout: Duration::from_secs(1),
        ..GatewayLimits::default()
    };
    let running = start(upstream.address, &Identity::new(), limits);
    let endless = v2(0x21, 0x11, &[0; 4000]);
    for beginning in [b"PROXY TCP4 ".as_slice(), &endless[..100], b""] {
        let mut stream = from(PROXY, support::http(&running)).await;
        stream.write_all(beginning).await.unwrap();

        assert_eq!(support::soon(read_to_close(stream)).await, "");
    }
}

#[tokio::test]
async fn connections_are_limited_for_each_client_that_is_named() {
    let upstream = Upstream::sunny().await;
    let limits = GatewayLimits {
        client_connections_max: Some(NonZeroUsize::MIN),
        ..GatewayLimits::default()
    };
    let running = start(upstream.address, &Identity::new(), limits);
    let connect = async |client: Ipv4Addr| {
        let header = format!("PROXY TCP4 {client} 127.0.0.1 1 80\r\n");
        let stream = after(header.as_bytes(), support::http(&running)).await;
        let mut client = Client::http1_over(stream).await;
        let answer = client.ask(get("/").body(empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK);
        while running.in_flight().get() > 0 {
            tokio::task::yield_now().await;
        }
        client
    };
    let mut first = connect(Ipv4Addr::new(203, 0, 113, 8)).await;
    let mut other = connect(Ipv4Addr::new(203, 0, 113, 9)).await;

    // It takes the place of the client's idle one, and of no other client's.
    let _second = connect(Ipv4Addr::new(203, 0, 113, 8)).await;

    let again = || get("/").body(empty()).unwrap();
    assert!(support::soon(first.try_send(again())).await.is_err());
    assert_eq!(other.ask(again()).await.status, StatusCode::OK);
}

/// A gateway, with TLS as well, that requires headers of 127.0.0.2 and 10.0.0.0/8.
fn start(upstream: SocketAddr, identity: &Identity, limits: GatewayLimits) -> Running {
    let config = support::config(support::single(Price::Free, upstream), limits);
    Gateway::start(GatewayConfig {
        https: Some(identity.listener()),
        proxies: trusted(ProxyProtocol::Required),
        ..config
    })
    .unwrap()
}

/// Connects as the proxy, and sends its header.
async fn after(header: &[u8], gateway: SocketAddr) -> TcpStream {
    let mut stream = from(PROXY, gateway).await;
    stream.write_all(header).await.unwrap();
    stream
}

fn v2(version_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    let fixed = [version_command, family];
    [b"\r\n\r\n\0\r\nQUIT\n", &fixed[..], &len, rest].concat()
}

/// 203.0.113.9 and 127.0.0.1, with their ports.
fn ends() -> [u8; 12] {
    [203, 0, 113, 9, 127, 0, 0, 1, 0xdc, 4, 0, 80]
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
