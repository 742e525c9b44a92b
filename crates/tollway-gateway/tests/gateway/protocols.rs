//! The same paid request over every protocol spoken.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use l402::SchemeName;
use tokio::io::{AsyncRead, AsyncWrite};
use tollway_gateway::{Gateway, GatewayLimits, Price, RoutingConfig, Running};

use crate::support::client::{Client, empty, full, get, shout};
use crate::support::shop::Shop;
use crate::support::upstream::Upstream;
use crate::support::{self, Identity, upstream};

#[tokio::test]
async fn a_paid_request_passes_over_http_1() {
    let site = Site::open().await;
    let client = Client::http1(support::http(&site.running)).await;

    site.buys_over(client).await;
}

#[tokio::test]
async fn a_paid_request_passes_over_http_2_with_prior_knowledge() {
    let site = Site::open().await;
    let client = Client::h2c(support::http(&site.running)).await;

    site.buys_over(client).await;
}

#[tokio::test]
async fn a_paid_request_passes_over_http_2_with_tls() {
    let site = Site::open().await;
    let client = Client::http2_tls(site.https(), &site.identity.certificate()).await;

    site.buys_over(client).await;
}

#[tokio::test]
async fn a_paid_request_passes_over_http_1_with_tls() {
    let site = Site::open().await;
    let client = Client::http1_tls(site.https(), &site.identity.certificate()).await;

    site.buys_over(client).await;
}

#[tokio::test]
async fn an_upstream_with_tls_is_spoken_to_in_either_version() {
    // Another gateway plays the upstream: it speaks TLS and offers both.
    let mut upstream = Upstream::sunny().await;
    let identity = Identity::new();
    let inner = identity_gateway(&identity, upstream.address);
    let mut service = support::service(support::any_port());
    let port = inner.addresses().https.unwrap().port();
    service.upstream = format!("https://localhost:{port}").parse().unwrap();
    service.upstream_authorities = Some(identity.certificate());
    let outer = support::start_with(
        RoutingConfig::single(service, Price::Free),
        GatewayLimits::default(),
    );
    let mut client = Client::http1(support::http(&outer)).await;

    for _ in 0..3 {
        let answer = client.ask(get("/").body(empty()).unwrap()).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, "sunny"));
        let seen = upstream.seen().await;
        assert_eq!(seen.head.headers["x-forwarded-proto"], "https");
        assert_eq!(
            seen.head.headers["x-forwarded-host"],
            format!("localhost:{port}")
        );
    }
}

#[tokio::test]
async fn an_upstream_that_is_replaced_by_one_without_http_2_fails_no_request() {
    let identity = Identity::new();
    let [before, after] =
        [&["h2", "http/1.1"][..], &["http/1.1"]].map(|protocols| identity.acceptor(protocols));
    let connections = AtomicUsize::new(0);
    let address = upstream::accept(move |stream| {
        let is_first = connections.fetch_add(1, Ordering::SeqCst) == 0;
        let acceptor = if is_first {
            before.clone()
        } else {
            after.clone()
        };
        async move {
            // The handshake fails when HTTP/2 alone is offered.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            match is_first {
                true => respond_once_over_http2(stream).await,
                false => upstream::serve_http1(stream, |_| async { sunny() }).await,
            }
        }
    })
    .await;
    let mut service = support::service(address);
    service.upstream = format!("https://localhost:{}", address.port())
        .parse()
        .unwrap();
    service.upstream_authorities = Some(identity.certificate());
    let routing = RoutingConfig::single(service, Price::Free);
    let running = support::start_with(routing, GatewayLimits::default());
    let mut client = Client::http1(support::http(&running)).await;

    for _ in 0..3 {
        let answer = support::soon(client.ask(get("/").body(empty()).unwrap())).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, "sunny"));
    }
}

#[tokio::test]
async fn an_upstream_whose_certificate_is_not_trusted_is_not_spoken_to() {
    let mut upstream = Upstream::sunny().await;
    let (shown, trusted) = (Identity::new(), Identity::new());
    let inner = identity_gateway(&shown, upstream.address);
    let mut service = support::service(support::any_port());
    let port = inner.addresses().https.unwrap().port();
    service.upstream = format!("https://localhost:{port}").parse().unwrap();
    service.upstream_authorities = Some(trusted.certificate());
    let outer = support::start_with(
        RoutingConfig::single(service, Price::Free),
        GatewayLimits::default(),
    );

    let mut client = Client::http1(support::http(&outer)).await;
    let answer = client.ask(get("/").body(empty()).unwrap()).await;

    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(upstream.all_seen().is_empty());
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    for mut client in [
        Client::http1(support::http(&running)).await,
        Client::h2c(support::http(&running)).await,
    ] {
        let head = Request::head("http://localhost/").body(empty()).unwrap();
        let answer = client.ask(head).await;

        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, ""));
        assert_eq!(answer.header("content-length"), Some("5"));
        assert_eq!(upstream.seen().await.head.method, Method::HEAD);
        let next = client.ask(get("/").body(empty()).unwrap()).await;
        assert_eq!(next.body, "sunny", "the connection is still in step");
        upstream.seen().await;
    }
}

#[tokio::test]
async fn the_preflight_of_a_browser_is_free_of_charge() {
    let shop = Shop::open().await;
    let mut upstream = Upstream::sunny().await;
    let running = support::start(shop.price(), upstream.address);
    let mut client = Client::http1(support::http(&running)).await;

    let options = Request::options("http://localhost/").body(empty()).unwrap();
    let answer = client.ask(options).await;

    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(upstream.all_seen().is_empty());
}

#[tokio::test]
async fn options_of_a_free_service_reach_the_upstream() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    let mut client = Client::http1(support::http(&running)).await;

    let options = Request::options("http://localhost/").body(empty()).unwrap();

    assert_eq!(client.ask(options).await.body, "sunny");
    assert_eq!(upstream.seen().await.head.method, Method::OPTIONS);
}

#[tokio::test]
async fn trailers_pass_over_http_1_to_those_who_take_them() {
    let upstream = upstream::serve(|_| async {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("42"));
        let frames = [
            Ok(Frame::data(Bytes::from_static(b"sunny"))),
            Ok(Frame::trailers(trailers)),
        ];
        Response::builder()
            .header("trailer", "x-checksum")
            .body(StreamBody::new(tokio_stream::iter(frames)).boxed_unsync())
            .unwrap()
    })
    .await;
    let running = support::start(Price::Free, upstream);
    let mut client = Client::http1(support::http(&running)).await;
    let request = get("/").header("te", "trailers");

    let answer = client.ask(request.body(empty()).unwrap()).await;

    assert_eq!(answer.body, "sunny");
    assert_eq!(answer.trailers.unwrap()["x-checksum"], "42");
}

#[tokio::test]
async fn a_client_of_http_1_0_is_served() {
    let upstream = upstream::serve(|_| async {
        let frames = ["sun", "ny"].map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))));
        Response::new(StreamBody::new(tokio_stream::iter(frames)).boxed_unsync())
    })
    .await;
    let running = support::start(Price::Free, upstream);

    let answer = shout(support::http(&running), "GET / HTTP/1.0\r\n\r\n").await;

    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nsunny"), "{answer}");
}

#[tokio::test]
async fn every_worker_serves() {
    let upstream = Upstream::sunny().await;
    let mut config = support::config(
        support::single(Price::Free, upstream.address),
        GatewayLimits::default(),
    );
    config.workers = 3.try_into().unwrap();
    let running = Gateway::start(config).unwrap();

    // The kernel spreads connections as it likes; more of them meet every worker.
    for _ in 0..24 {
        let mut client = Client::http1(support::http(&running)).await;
        assert_eq!(
            client.ask(get("/").body(empty()).unwrap()).await.body,
            "sunny"
        );
    }
    let stopped = support::soon(running.stop()).await;
    assert_eq!(stopped, tollway_gateway::Stopped::default());
}

/// A gateway on both ports, selling an upstream's `sunny`.
struct Site {
    shop: Shop,
    upstream: Upstream,
    identity: Identity,
    running: Running,
}

impl Site {
    async fn open() -> Self {
        let shop = Shop::open().await;
        let upstream = Upstream::sunny().await;
        let identity = Identity::new();
        let routing = support::single(shop.price(), upstream.address);
        let mut config = support::config(routing, GatewayLimits::default());
        config.https = Some(identity.listener());
        let running = Gateway::start(config).unwrap();
        Self {
            shop,
            upstream,
            identity,
            running,
        }
    }

    fn https(&self) -> std::net::SocketAddr {
        self.running.addresses().https.unwrap()
    }

    async fn buys_over(mut self, mut client: Client) {
        let post = |authorization: Option<String>| {
            let mut request = Request::post("http://localhost/forecast?days=3");
            if let Some(line) = authorization {
                request = request.header(header::AUTHORIZATION, line);
            }
            request.body(full("where?")).unwrap()
        };
        let refused = client.ask(post(None)).await;
        assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
        assert!(
            self.upstream.all_seen().is_empty(),
            "unpaid requests go nowhere"
        );

        let line = self
            .shop
            .pay_for(&refused.headers)
            .authorization(SchemeName::L402);
        let bought = client.send(post(Some(line))).await;

        assert_eq!(bought.status(), StatusCode::OK);
        let body = bought.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "sunny");
        let seen = self.upstream.seen().await;
        assert_eq!(seen.head.version, Version::HTTP_11);
        assert_eq!(seen.head.method, Method::POST);
        assert_eq!(seen.head.uri, "/forecast?days=3");
        assert_eq!(seen.body, "where?");
    }
}

fn identity_gateway(identity: &Identity, upstream: std::net::SocketAddr) -> Running {
    let mut config = support::config(
        support::single(Price::Free, upstream),
        GatewayLimits::default(),
    );
    config.https = Some(identity.listener());
    Gateway::start(config).unwrap()
}

fn sunny() -> Response<upstream::Body> {
    Response::new(Full::new(Bytes::from_static(b"sunny")).boxed_unsync())
}

/// Serves one request over HTTP/2 and closes.
async fn respond_once_over_http2(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut http = h2::server::handshake(stream).await.unwrap();
    let (_request, mut respond) = http.accept().await.unwrap().unwrap();
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    body.send_data(Bytes::from_static(b"sunny"), true).unwrap();
    http.graceful_shutdown();
    while http.accept().await.is_some() {}
}
