//! Requests by way of a proxy: whom they are from, and whose word is taken for it.
//!
//! The proxy is at 127.0.0.2, other clients are at other addresses of this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use http::{HeaderMap, StatusCode};
use l402::SchemeName;
use tokio::net::{TcpSocket, TcpStream};
use tollway_gateway::{
    Gateway, GatewayConfig, GatewayLimits, Price, ProxiesConfig, ProxyProtocol, Running, StartError,
};

use crate::support::client::{Client, empty, get};
use crate::support::shop::Shop;
use crate::support::site::{SUNNY, held};
use crate::support::upstream::Upstream;
use crate::support::{self};

#[tokio::test]
async fn an_upstream_receives_what_a_trusted_proxy_states() {
    let mut upstream = Upstream::sunny().await;
    let running = start(Price::Free, upstream.address, GatewayLimits::default());
    for over_http2 in [false, true] {
        let stream = from(PROXY, support::http(&running)).await;
        let mut client = match over_http2 {
            false => Client::http1_over(stream).await,
            true => Client::http2_over(stream).await,
        };
        for (lines, expected) in [
            (&[][..], ["127.0.0.2", "http", "localhost"]),
            (
                &[
                    ("x-forwarded-for", "6.6.6.6, 203.0.113.9"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-host", "shop.example"),
                ],
                ["203.0.113.9, 127.0.0.2", "https", "shop.example"],
            ),
            (
                &[
                    ("x-forwarded-for", "6.6.6.6"),
                    ("x-forwarded-for", "203.0.113.9, 10.1.1.1"),
                    ("x-forwarded-proto", "gopher"),
                    ("x-forwarded-host", "a b"),
                    ("x-forwarded-port", "1"),
                    ("x-real-ip", "6.6.6.6"),
                    ("forwarded", "for=6.6.6.6"),
                ],
                ["203.0.113.9, 10.1.1.1, 127.0.0.2", "http", "localhost"],
            ),
            (
                &[("x-forwarded-for", "6.6.6.6, unknown")],
                ["127.0.0.2", "http", "localhost"],
            ),
        ] {
            let mut request = get("/");
            for (name, value) in lines {
                request = request.header(*name, *value);
            }
            let answer = client.ask(request.body(empty()).unwrap()).await;

            assert_eq!(answer.status, StatusCode::OK);
            let seen = upstream.seen().await.head.headers;
            assert_eq!(stated(&seen), expected, "{lines:?}");
            for name in ["x-forwarded-port", "x-real-ip", "forwarded"] {
                assert!(!seen.contains_key(name), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn the_claims_of_any_other_address_are_dropped() {
    let mut upstream = Upstream::sunny().await;
    let running = start(Price::Free, upstream.address, GatewayLimits::default());
    let mut client = Client::http1_over(from(STRANGER, support::http(&running)).await).await;

    let request = get("/")
        .header("x-forwarded-for", "203.0.113.9, 127.0.0.2")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "shop.example");
    client.ask(request.body(empty()).unwrap()).await;

    let seen = upstream.seen().await.head.headers;
    assert_eq!(stated(&seen), ["127.0.0.3", "http", "localhost"]);
}

#[tokio::test]
async fn a_token_for_an_address_is_good_for_that_client_of_a_proxy() {
    let shop = Shop::open().await;
    let upstream = Upstream::sunny().await;
    let running = start(shop.price(), upstream.address, GatewayLimits::default());
    let bought = shop.buy().await;
    let bound = bought.macaroon().with_caveat(b"ip=203.0.113.9").unwrap();
    let bound = l402::Credential::new(bound, bought.preimage().clone());
    let line = bound.authorization(SchemeName::L402);
    let mut client = Client::http1_over(from(PROXY, support::http(&running)).await).await;

    for (stated, status) in [
        ("203.0.113.9", StatusCode::OK),
        ("203.0.113.8", StatusCode::PAYMENT_REQUIRED),
        ("203.0.113.9", StatusCode::OK),
        ("203.0.113.9, 203.0.113.8", StatusCode::PAYMENT_REQUIRED),
        ("unknown", StatusCode::PAYMENT_REQUIRED),
    ] {
        let request = get("/")
            .header("authorization", &line)
            .header("x-forwarded-for", stated);
        let answer = client.ask(request.body(empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{stated}");
    }
}

#[tokio::test]
async fn connections_of_a_proxy_are_not_those_of_one_client() {
    let upstream = Upstream::sunny().await;
    let limits = GatewayLimits {
        client_connections_max: Some(NonZeroUsize::MIN),
        ..GatewayLimits::default()
    };
    let running = start(Price::Free, upstream.address, limits);
    let mut clients = Vec::new();
    for _ in 0..5 {
        let stream = from(PROXY, support::http(&running)).await;
        clients.push(Client::http1_over(stream).await);
    }

    for client in &mut clients {
        let answer = support::soon(client.ask(get("/").body(empty()).unwrap())).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn concurrent_requests_are_limited_for_each_client_of_a_proxy() {
    let (address, mut arrivals) = held().await;
    let limits = GatewayLimits {
        client_requests_max: Some(NonZeroUsize::MIN),
        ..GatewayLimits::default()
    };
    let running = start(Price::Free, address, limits);
    let proxy = Client::http2_over(from(PROXY, support::http(&running)).await).await;
    let ask = |client: &'static str| {
        let mut proxy = proxy.another();
        tokio::spawn(async move {
            let request = get("/").header("x-forwarded-for", client);
            proxy.ask(request.body(empty()).unwrap()).await
        })
    };
    let mut asked = Vec::new();
    let mut responses = Vec::new();
    for client in ["203.0.113.8", "203.0.113.9"] {
        asked.push(ask(client));
        responses.push(support::soon(arrivals.recv()).await.unwrap());
    }

    // What the client wrote before its address makes it no other one.
    let refused = support::soon(ask("6.6.6.6, 203.0.113.9")).await.unwrap();

    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    for respond in responses {
        respond.send(SUNNY).unwrap();
    }
    for asked in asked {
        assert_eq!(support::soon(asked).await.unwrap().status, StatusCode::OK);
    }
    let next = ask("203.0.113.9");
    let respond = support::soon(arrivals.recv()).await.unwrap();
    respond.send(SUNNY).unwrap();
    assert_eq!(support::soon(next).await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_list_as_long_as_a_head_may_be_is_read() {
    let mut upstream = Upstream::sunny().await;
    let limits = GatewayLimits {
        head_max_bytes: 256 * 1024,
        ..GatewayLimits::default()
    };
    let running = start(Price::Free, upstream.address, limits);
    let mut client = Client::http1_over(from(PROXY, support::http(&running)).await).await;
    let forged = "127.0.0.2, ".repeat(10_000);

    let request = get("/").header("x-forwarded-for", forged + "203.0.113.9");
    let answer = support::soon(client.ask(request.body(empty()).unwrap())).await;

    assert_eq!(answer.status, StatusCode::OK);
    let seen = upstream.seen().await.head.headers;
    assert_eq!(seen["x-forwarded-for"], "203.0.113.9, 127.0.0.2");
}

#[tokio::test]
async fn the_proxy_protocol_without_trusted_proxies_is_a_mistake() {
    let mut config = support::config(support::nothing(), GatewayLimits::default());
    config.proxies.protocol = ProxyProtocol::Required;

    let refused = Gateway::start(config).unwrap_err();

    assert!(
        matches!(refused, StartError::NoTrustedProxies),
        "{refused:?}"
    );
}

/// A gateway that trusts 127.0.0.2 and 10.0.0.0/8.
fn start(price: Price, upstream: SocketAddr, limits: GatewayLimits) -> Running {
    let config = support::config(support::single(price, upstream), limits);
    Gateway::start(GatewayConfig {
        proxies: trusted(ProxyProtocol::Off),
        ..config
    })
    .unwrap()
}

pub(crate) fn trusted(protocol: ProxyProtocol) -> ProxiesConfig {
    let trusted = ["127.0.0.2", "10.0.0.0/8"];
    ProxiesConfig {
        trusted: trusted.iter().map(|text| text.parse().unwrap()).collect(),
        protocol,
    }
}

/// Connects from an address of this machine.
pub(crate) async fn from(address: Ipv4Addr, gateway: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    socket.connect(gateway).await.unwrap()
}

fn stated(headers: &HeaderMap) -> [&str; 3] {
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map(|name| {
        let mut lines = headers.get_all(name).iter();
        let line = lines.next().unwrap().to_str().unwrap();
        assert!(lines.next().is_none(), "{name} is one line");
        line
    })
}

pub(crate) const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
