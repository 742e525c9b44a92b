//! Headers that cross the gateway, and headers that do not.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use l402::SchemeName;
use tollway_gateway::{GatewayLimits, Price, RoutingConfig};

use crate::support::client::{Client, empty, get, shout};
use crate::support::shop::Shop;
use crate::support::upstream::{self, Upstream};
use crate::support::{self};

#[tokio::test]
async fn the_credential_is_never_forwarded() {
    let shop = Shop::open().await;
    let mut upstream = Upstream::sunny().await;
    let running = support::start(shop.price(), upstream.address);
    let bought = shop.buy().await;
    let preimage = bought.preimage().expose_hex();
    let paid_macaroon = bought
        .macaroon()
        .with_caveat(format!("preimage={preimage}").as_bytes())
        .unwrap();
    let line = bought.authorization(SchemeName::L402);

    for lines in [
        vec![("authorization", line.clone())],
        vec![("authorization", bought.authorization(SchemeName::Lsat))],
        vec![("authorization", line.replace("L402", "l402"))],
        vec![
            ("authorization", "Bearer its-own".to_owned()),
            ("authorization", line.clone()),
        ],
        vec![("authorization", format!("Basic aXRzOm93bg==, {line}"))],
        vec![("grpc-metadata-macaroon", paid_macaroon.to_hex())],
        vec![("macaroon", paid_macaroon.to_hex())],
        vec![("token", paid_macaroon.to_base64())],
        vec![
            ("authorization", line.clone()),
            ("macaroon", paid_macaroon.to_hex()),
        ],
    ] {
        for mut client in [
            Client::http1(support::http(&running)).await,
            Client::h2c(support::http(&running)).await,
        ] {
            let mut request = get("/");
            for (name, value) in &lines {
                request = request.header(*name, value);
            }
            let answer = client.ask(request.body(empty()).unwrap()).await;

            assert_eq!(answer.status, StatusCode::OK, "{lines:?}");
            let seen = format!("{:?}", upstream.seen().await.head.headers);
            assert!(!seen.contains(&preimage), "{lines:?}");
            assert!(!seen.contains(&paid_macaroon.to_base64()), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn a_credential_for_a_free_service_is_not_forwarded_either() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    let line = Shop::open().await.authorization().await;
    let mut client = Client::http1(support::http(&running)).await;

    client
        .ask(
            get("/")
                .header("authorization", line)
                .body(empty())
                .unwrap(),
        )
        .await;

    assert!(
        !upstream
            .seen()
            .await
            .head
            .headers
            .contains_key("authorization")
    );
}

#[tokio::test]
async fn the_upstreams_own_authorization_is_forwarded() {
    let shop = Shop::open().await;
    let mut upstream = Upstream::sunny().await;
    let running = support::start(shop.price(), upstream.address);
    let mut client = Client::http1(support::http(&running)).await;
    let request = get("/")
        .header("authorization", "Bearer its-own")
        .header("authorization", shop.authorization().await)
        .header("token", "its own too");

    client.ask(request.body(empty()).unwrap()).await;

    let seen = upstream.seen().await.head.headers;
    assert_eq!(all(&seen, "authorization"), ["Bearer its-own"]);
    assert_eq!(all(&seen, "token"), ["its own too"]);
}

#[tokio::test]
async fn an_upstream_receives_who_asked_for_what() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    let lies = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
    ];
    for mut client in [
        Client::http1(support::http(&running)).await,
        Client::h2c(support::http(&running)).await,
    ] {
        let mut request = http::Request::get("http://api.example.com:8402/");
        for (name, value) in lies {
            request = request.header(name, value);
        }
        client.ask(request.body(empty()).unwrap()).await;

        let seen = upstream.seen().await.head.headers;
        assert_eq!(all(&seen, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(all(&seen, "x-forwarded-host"), ["api.example.com:8402"]);
        assert_eq!(all(&seen, "x-forwarded-proto"), ["http"]);
        assert_eq!(all(&seen, "host"), [upstream.address.to_string()]);
        for name in ["x-forwarded-port", "forwarded", "x-real-ip"] {
            assert!(!seen.contains_key(name), "{name}");
        }
    }
}

#[tokio::test]
async fn no_header_of_a_client_steps_round_what_the_gateway_decides() {
    let shop = Shop::open().await;
    let mut upstream = Upstream::sunny().await;
    let running = support::start(shop.price(), upstream.address);
    let line = shop.authorization().await;
    let claims = [
        "true-client-ip",
        "x-client-ip",
        "cf-connecting-ip",
        "x_forwarded_for",
        "x-original-url",
        "x_rewrite_url",
        "x-original-host",
        "x-http-method-override",
        "x-method_override",
    ];
    for mut client in [
        Client::http1(support::http(&running)).await,
        Client::h2c(support::http(&running)).await,
    ] {
        let mut request = get("/").header("authorization", &line);
        for name in claims {
            request = request.header(name, "/other");
        }
        let answer = client.ask(request.body(empty()).unwrap()).await;

        assert_eq!(answer.status, StatusCode::OK);
        let seen = upstream.seen().await.head.headers;
        let passed: Vec<_> = claims
            .iter()
            .filter(|name| seen.contains_key(**name))
            .collect();
        assert!(passed.is_empty(), "{passed:?}");
    }
}

#[tokio::test]
async fn the_host_of_the_upstream_is_its_own_the_clients_or_a_named_one() {
    // Its authority comes back, be it a `Host` line or `:authority`.
    let echo = |request: http::Request<Incoming>| async move {
        let line = request.headers().get(header::HOST).cloned();
        let line = line.map(|line| line.to_str().unwrap().to_owned());
        let authority = request.uri().authority().map(ToString::to_string);
        let host = authority.or(line).unwrap_or_default();
        Response::new(Full::new(Bytes::from(host)).boxed_unsync())
    };
    let (http1, http2) = (upstream::serve(echo).await, upstream::serve_h2c(echo).await);
    for (address, content_type) in [(http1, "text/plain"), (http2, "application/grpc")] {
        for (configured, host) in [
            ("upstream", address.to_string()),
            ("preserve", "api.example.com:8402".to_owned()),
            ("inner.example", "inner.example".to_owned()),
        ] {
            let mut service = support::service(address);
            service.upstream_host = configured.parse().unwrap();
            let routing = RoutingConfig::single(service, Price::Free);
            let running = support::start_with(routing, GatewayLimits::default());
            let request = http::Request::post("http://api.example.com:8402/")
                .header("content-type", content_type)
                .body(empty())
                .unwrap();

            let answer = Client::h2c(support::http(&running))
                .await
                .ask(request)
                .await;

            assert_eq!(answer.body, host, "{configured}, {content_type}");
        }
    }
}

#[tokio::test]
async fn headers_of_one_connection_stop_at_the_gateway_both_ways() {
    let mut upstream = Upstream::responding(|_| {
        Response::builder()
            .header("connection", "x-hop-back")
            .header("x-hop-back", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("x-end-to-end", "1")
            .body(Full::new(Bytes::from_static(b"sunny")).boxed_unsync())
            .unwrap()
    })
    .await;
    let running = support::start(Price::Free, upstream.address);

    let answer = shout(
        support::http(&running),
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nTE: gzip\r\n\
         X-End-To-End: 1\r\n\r\n",
    )
    .await;

    let seen = upstream.seen().await.head.headers;
    let mut names: Vec<&str> = seen.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "host",
            "x-end-to-end",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id"
        ]
    );
    let answer = answer.to_lowercase();
    for name in ["x-hop-back", "keep-alive", "proxy-authenticate"] {
        assert!(!answer.contains(name), "{name} in {answer}");
    }
    assert!(answer.contains("x-end-to-end: 1\r\n"), "{answer}");
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_request_has_one_id_on_both_sides() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    for mut client in [
        Client::http1(support::http(&running)).await,
        Client::h2c(support::http(&running)).await,
    ] {
        let mut made = Vec::new();
        for sent in [None, Some("7f9c-1"), Some("two words"), None] {
            let mut request = get("/");
            if let Some(id) = sent {
                request = request.header("x-request-id", id);
            }
            let answer = client.ask(request.body(empty()).unwrap()).await;

            let id = answer.header("x-request-id").unwrap().to_owned();
            let arrived = upstream.seen().await.head.headers;
            let arrived: Vec<_> = arrived.get_all("x-request-id").iter().collect();
            assert_eq!(arrived, [id.as_str()]);
            match sent {
                Some("7f9c-1") => assert_eq!(id, "7f9c-1"),
                _ => made.push(id),
            }
        }
        made.dedup();
        assert_eq!(made.len(), 3, "{made:?}");
        assert!(!made.contains(&"two words".to_owned()));
    }
    let refused = Client::http1(support::http(&running))
        .await
        .ask(get("/a/../b").body(empty()).unwrap())
        .await;
    assert!(refused.header("x-request-id").is_some());
}
