//! Responses when something is missing, down, slow or broken.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollway_gateway::{GatewayLimits, Price, RoutingConfig, Running, ServiceConfig};

use crate::support::client::{
    Answer, Body, Client, empty, full, get, read_to_close, read_until, shout,
};
use crate::support::shop::{NOON, Shop, ten_sat, weather};
use crate::support::upstream::Upstream;
use crate::support::{self, dead_port, upstream};

#[tokio::test]
async fn a_path_without_a_service_is_not_found() {
    let running = support::start_with(support::nothing(), GatewayLimits::default());

    let answer = Client::http1(support::http(&running))
        .await
        .ask(plain_get("/x"))
        .await;

    is_problem(
        &answer,
        404,
        "Not Found",
        "no service at this host and path",
        "no_service",
    );
}

#[tokio::test]
async fn requests_that_cannot_be_distinguished_are_refused() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    for (request, status) in [
        ("GET /free/../paid HTTP/1.1\r\nHost: a\r\n", "400"),
        ("GET /free/%2e%2e/paid HTTP/1.1\r\nHost: a\r\n", "400"),
        ("GET /free/%252e%252e/paid HTTP/1.1\r\nHost: a\r\n", "400"),
        ("GET /free/..;/paid HTTP/1.1\r\nHost: a\r\n", "400"),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n", "400"),
        ("GET / HTTP/1.1\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n", "400"),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n", "501"),
    ] {
        let request = format!("{request}Connection: close\r\n\r\n");
        let answer = support::soon(shout(support::http(&running), &request)).await;

        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?} got {answer:?}"
        );
        assert!(upstream.all_seen().is_empty(), "{request:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_bad_gateway() {
    let running = support::start(Price::Free, dead_port());
    let mut client = Client::http1(support::http(&running)).await;

    let answer = client.ask(plain_get("/")).await;

    let detail = "the upstream cannot be reached";
    is_problem(&answer, 502, "Bad Gateway", detail, "upstream_down");
    let head = client
        .ask(Request::head("http://localhost/").body(empty()).unwrap())
        .await;
    assert_eq!((head.status.as_u16(), &head.body[..]), (502, ""));
    assert_eq!(
        head.header("content-length"),
        answer.header("content-length")
    );
}

#[tokio::test]
async fn an_upstream_that_is_too_slow_is_a_gateway_timeout() {
    let address = upstream::serve(|_| std::future::pending()).await;
    let mut service = support::service(address);
    service.limits.response_timeout = Duration::from_millis(1);
    let running = start_single(service, Price::Free);

    let mut client = Client::http1(support::http(&running)).await;
    let answer = support::soon(client.ask(plain_get("/"))).await;

    let detail = "the upstream took too long";
    is_problem(&answer, 504, "Gateway Timeout", detail, "upstream_timeout");
}

#[tokio::test]
async fn an_upstream_that_never_completes_tls_is_a_gateway_timeout() {
    let address = upstream::accept(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let identity = support::Identity::new();
    let mut service = support::service(address);
    service.upstream = format!("https://localhost:{}", address.port())
        .parse()
        .unwrap();
    service.upstream_authorities = Some(identity.certificate());
    service.limits.connect_timeout = Duration::from_millis(1);
    let running = start_single(service, Price::Free);

    let mut client = Client::http1(support::http(&running)).await;
    let answer = support::soon(client.ask(plain_get("/"))).await;

    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn a_grpc_client_gets_a_grpc_status() {
    let dead = support::start(Price::Free, dead_port());
    let nothing = support::start_with(support::nothing(), GatewayLimits::default());
    for (running, status, message) in [
        (&dead, "14", "the upstream cannot be reached"),
        (&nothing, "12", "no service at this host and path"),
    ] {
        let call = Request::post("http://localhost/tollway.test.Echo/Unary")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let answer = Client::h2c(support::http(running))
            .await
            .ask(call.body(empty()).unwrap())
            .await;

        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), Some("application/grpc"));
        assert_eq!(answer.header("grpc-status"), Some(status));
        assert_eq!(answer.header("grpc-message"), Some(message));
        assert_eq!(answer.body, "");
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_does_not_look_complete() {
    let address = upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let half = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        stream.write_all(half).await.unwrap();
    })
    .await;
    let running = support::start(Price::Free, address);
    for mut client in [
        Client::http1(support::http(&running)).await,
        Client::h2c(support::http(&running)).await,
    ] {
        let response = client.send(plain_get("/")).await;
        assert!(support::soon(response.into_body().collect()).await.is_err());
    }
}

#[tokio::test]
async fn a_response_that_ends_with_its_connection_does_not_look_complete_when_cut() {
    for (rest, is_complete) in [("", false), ("0\r\n\r\n", true)] {
        let address = upstream::accept(move |mut stream| async move {
            read_until(&mut stream, "\r\n\r\n").await;
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let response = format!("{head}5\r\nhello\r\n{rest}");
            stream.write_all(response.as_bytes()).await.unwrap();
        })
        .await;
        let running = support::start(Price::Free, address);
        let mut client = TcpStream::connect(support::http(&running)).await.unwrap();
        let request = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n";
        client.write_all(request).await.unwrap();

        let mut received = Vec::new();
        let ended = support::soon(client.read_to_end(&mut received)).await;

        let received = String::from_utf8(received).unwrap();
        assert_eq!(ended.is_ok(), is_complete, "{ended:?} after {received}");
        assert!(!is_complete || received.ends_with("hello"), "{received}");
    }
}

#[tokio::test]
async fn a_request_the_upstream_may_have_seen_is_not_sent_twice() {
    let (address, requests) = closes_on_second_request().await;
    let shop = Shop::open().await;
    let running = support::start(shop.price(), address);
    let mut client = Client::http1(support::http(&running)).await;
    let line = shop.authorization().await;
    let post = || {
        Request::post("http://localhost/")
            .header("authorization", &line)
            .body(full("order"))
            .unwrap()
    };
    assert_eq!(client.ask(post()).await.status, StatusCode::OK);

    let answer = client.ask(post()).await;

    let detail = "the upstream closed the connection";
    is_problem(&answer, 502, "Bad Gateway", detail, "upstream_reset");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_idempotent_request_is_sent_once_more_when_a_kept_connection_fails() {
    let (address, requests) = closes_on_second_request().await;
    let running = support::start(Price::Free, address);
    let mut client = Client::http1(support::http(&running)).await;
    client.ask(plain_get("/")).await;

    let answer = client.ask(plain_get("/")).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_request_that_is_sent_once_more_is_charged_once() {
    let (address, requests) = closes_on_second_request().await;
    let two_uses = ten_sat().with_uses_max(2.try_into().unwrap());
    let shop = Shop::with(weather(), two_uses, 1, || NOON).await;
    let running = support::start(shop.price(), address);
    let mut client = Client::http1(support::http(&running)).await;
    let line = shop.authorization().await;
    let mut status = async || {
        let request = get("/").header("authorization", &line);
        client
            .ask(request.body(empty()).unwrap())
            .await
            .status
            .as_u16()
    };

    assert_eq!(
        [status().await, status().await, status().await],
        [200, 200, 402]
    );
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_request_that_fails_on_a_new_connection_is_not_sent_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let address = upstream::accept(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            counted.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let running = support::start(Price::Free, address);

    let answer = Client::http1(support::http(&running))
        .await
        .ask(plain_get("/"))
        .await;

    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_kept_connection_is_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = upstream::accept(move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            loop {
                read_until(&mut stream, "\r\n\r\n").await;
                stream.write_all(SUNNY).await.unwrap();
            }
        }
    })
    .await;
    let running = support::start(Price::Free, address);

    for method in [Method::GET, Method::DELETE, Method::GET] {
        let mut client = Client::http1(support::http(&running)).await;
        let request = Request::builder().method(method).uri("http://localhost/");
        assert_eq!(
            client.ask(request.body(empty()).unwrap()).await.body,
            "sunny"
        );
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_drips_its_headers_is_cut_off() {
    let running = impatient();
    let drips = [
        "",
        "G",
        "PRI * HTTP/2.0\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    ];
    let answers = drips.map(async |drip| {
        let mut stream = TcpStream::connect(support::http(&running)).await.unwrap();
        stream.write_all(drip.as_bytes()).await.unwrap();
        read_to_close(stream).await
    });

    assert_eq!(support::soon(join_all(answers)).await, [""; 4]);
}

#[tokio::test]
async fn an_idle_connection_is_let_go() {
    let running = impatient();
    let mut stream = TcpStream::connect(support::http(&running)).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut stream, "}").await;

    assert_eq!(support::soon(read_to_close(stream)).await, "");
}

#[tokio::test]
async fn one_connection_too_many_waits_for_another_to_end() {
    let upstream = Upstream::sunny().await;
    let limits = GatewayLimits {
        connections_max: 1.try_into().unwrap(),
        ..GatewayLimits::default()
    };
    let running = support::start_with(support::single(Price::Free, upstream.address), limits);
    let first = TcpStream::connect(support::http(&running)).await.unwrap();
    let mut second = TcpStream::connect(support::http(&running)).await.unwrap();
    second
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();

    drop(first);

    support::soon(read_until(&mut second, "sunny")).await;
}

fn start_single(service: ServiceConfig, price: Price) -> Running {
    support::start_with(
        RoutingConfig::single(service, price),
        GatewayLimits::default(),
    )
}

/// A gateway without services that waits one second for a request.
fn impatient() -> Running {
    let limits = GatewayLimits {
        idle_timeout: Duration::from_secs(1),
        ..GatewayLimits::default()
    };
    support::start_with(support::nothing(), limits)
}

/// An upstream whose connections respond once and then fail the next request. After the
/// first connection they are reliable.
async fn closes_on_second_request() -> (SocketAddr, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let address = upstream::accept(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            loop {
                let head = read_until(&mut stream, "\r\n\r\n").await;
                if head.starts_with("POST") && !head.contains("order") {
                    read_until(&mut stream, "order").await;
                }
                if counted.fetch_add(1, Ordering::SeqCst) == 1 {
                    return;
                }
                stream.write_all(SUNNY).await.unwrap();
            }
        }
    })
    .await;
    (address, requests)
}

fn plain_get(path: &str) -> Request<Body> {
    get(path).body(empty()).unwrap()
}

fn is_problem(answer: &Answer, status: u16, title: &str, detail: &str, reason: &str) {
    assert_eq!(answer.status.as_u16(), status);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let expected = serde_json::json!({
        "type": "about:blank", "title": title, "status": status,
        "detail": detail, "reason": reason,
    });
    assert_eq!(body, expected);
}

const SUNNY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsunny";
