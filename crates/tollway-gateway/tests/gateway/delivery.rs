//! Paid means delivered: whether the only use of a token is taken when a request fails.
//!
//! After each failure the route leads to a reliable upstream, and the same token is shown
//! again: it buys one response when the use was given back, and none when it was taken.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tollway_gateway::{GatewayLimits, Price, RoutingConfig};
use tollway_server::ledger::{LedgerError, MemoryLedger, Reservation, Reserved, Stores, Uses};
use tollway_server::{Pricer, PricerError, RequestInfo, Terms};

use crate::support::client::{Client, empty, full, read_to_close, read_until};
use crate::support::shop::Shop;
use crate::support::site::{SUNNY, Site, held, sends};
use crate::support::upstream::{self, Upstream};
use crate::support::{self, dead_port};

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_takes_no_use() {
    let site = Site::open(dead_port()).await;

    assert_eq!(site.show().await.status, StatusCode::BAD_GATEWAY);

    site.use_is_left().await;
}

#[tokio::test]
async fn an_upstream_that_resets_before_its_response_takes_no_use() {
    let address = upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
    })
    .await;
    let site = Site::open(address).await;

    assert_eq!(site.show().await.status, StatusCode::BAD_GATEWAY);

    site.use_is_left().await;
}

#[tokio::test]
async fn an_upstream_that_resets_within_the_head_takes_no_use() {
    let site = Site::open(sends(b"HTTP/1.1 200 OK\r\nContent-Le").await).await;

    assert_eq!(site.show().await.status, StatusCode::BAD_GATEWAY);

    site.use_is_left().await;
}

#[tokio::test]
async fn an_upstream_that_resets_within_the_body_takes_the_use() {
    let site = Site::open(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsu").await).await;
    let mut client = Client::http1(support::http(&site.running)).await;

    let response = client.send(site.paid()).await;

    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
    site.use_is_taken().await;
}

#[tokio::test]
async fn an_upstream_that_resets_after_its_head_takes_the_use_and_the_head_is_delivered() {
    for head in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        for is_http2 in [false, true] {
            let site = Site::open(sends(head).await).await;
            let gateway = support::http(&site.running);
            let mut client = match is_http2 {
                false => Client::http1(gateway).await,
                true => Client::h2c(gateway).await,
            };

            let response = support::soon(client.send(site.paid())).await;

            assert_eq!(response.status(), StatusCode::OK);
            assert!(response.into_body().collect().await.is_err());
            site.use_is_taken().await;
        }
    }
}

#[tokio::test]
async fn an_informational_response_is_not_the_response() {
    for (sent, is_taken) in [
        (
            &b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"[..],
            false,
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n", false),
        (
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Service Unavailable\r\n\r\n",
            false,
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            true,
        ),
    ] {
        let site = Site::open(sends(sent).await).await;

        let answer = site.show().await;

        assert_eq!(answer.status.is_server_error(), !is_taken, "{answer:?}");
        match is_taken {
            true => site.use_is_taken().await,
            false => site.use_is_left().await,
        }
    }
}

#[tokio::test]
async fn a_response_without_a_body_takes_the_use() {
    for (method, status, is_taken) in [
        ("HEAD", "200 OK", true),
        ("HEAD", "304 Not Modified", true),
        ("HEAD", "502 Bad Gateway", false),
        ("DELETE", "204 No Content", true),
    ] {
        let address = upstream::accept(move |mut stream| async move {
            read_until(&mut stream, "\r\n\r\n").await;
            let head = format!("HTTP/1.1 {status}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
        })
        .await;
        let site = Site::open(address).await;
        let mut client = TcpStream::connect(support::http(&site.running))
            .await
            .unwrap();
        let request = site.raw(&format!("{method} / HTTP/1.1\r\n"), "");
        client.write_all(request.as_bytes()).await.unwrap();

        let head = support::soon(read_until(&mut client, "\r\n\r\n")).await;

        assert!(head.contains(status), "{head}");
        match is_taken {
            true => site.use_is_taken().await,
            false => site.use_is_left().await,
        }
    }
}

#[tokio::test]
async fn a_websocket_that_does_not_open_takes_a_use_only_for_a_response() {
    for (sent, is_taken) in [
        (
            &b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"[..],
            true,
        ),
        (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
        (b"HTTP/1.1 101 Switching Pro", false),
        (b"", false),
    ] {
        let site = Site::open(sends(sent).await).await;
        let mut client = TcpStream::connect(support::http(&site.running))
            .await
            .unwrap();
        client
            .write_all(site.raw(OPENING, "").as_bytes())
            .await
            .unwrap();

        support::soon(read_until(&mut client, "\r\n\r\n")).await;

        match is_taken {
            true => site.use_is_taken().await,
            false => site.use_is_left().await,
        }
    }
}

#[tokio::test]
async fn a_switch_of_protocol_that_was_not_asked_for_takes_no_use() {
    let site = Site::open(sends(SWITCHED).await).await;

    assert_eq!(site.show().await.status, StatusCode::BAD_GATEWAY);

    site.use_is_left().await;
}

#[tokio::test]
async fn a_grpc_service_that_fails_after_its_head_takes_the_use() {
    let address = upstream::serve_h2c(|_| async {
        let trailers = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("14"),
        )]);
        let frames = tokio_stream::iter([Ok(http_body::Frame::trailers(trailers))]);
        Response::builder()
            .header("content-type", "application/grpc")
            .body(http_body_util::StreamBody::new(frames).boxed_unsync())
            .unwrap()
    })
    .await;
    let site = Site::open(address).await;
    let mut client = Client::h2c(support::http(&site.running)).await;
    let call = Request::post("http://localhost/weather.Weather/Today")
        .header("authorization", &site.line)
        .header("content-type", "application/grpc");

    let answer = client.ask(call.body(empty()).unwrap()).await;

    assert_eq!(answer.trailers.unwrap()["grpc-status"], "14");
    site.use_is_taken().await;
}

#[tokio::test]
async fn a_pricer_that_panics_ends_its_own_request_only() {
    let (address, mut arrivals) = held().await;
    let shop = Shop::single_use(Arc::new(MemoryLedger::new())).await;
    let mut routing = support::single(shop.price(), address);
    let panics = tollway_gateway::RouteConfig {
        path_prefix: "/panics".to_owned(),
        ..tollway_gateway::RouteConfig::new(
            "weather",
            Price::Paid {
                gate: Arc::clone(&shop.gate),
                requirement: Box::new(shop.requirement.clone().bound_to_path()),
                pricer: Arc::new(Panics),
            },
        )
    };
    routing.routes.insert(0, panics);
    let site = Site::with(shop, routing).await;
    let mut client = Client::h2c(support::http(&site.running)).await;
    let mut other = client.another();
    let paid = site.paid();
    let paid = tokio::spawn(async move { client.ask(paid).await });
    let respond = support::soon(arrivals.recv()).await.unwrap();

    let unpaid = Request::get("http://localhost/panics").body(empty());
    assert!(
        support::soon(other.try_send(unpaid.unwrap()))
            .await
            .is_err()
    );
    respond.send(SUNNY).unwrap();

    assert_eq!(support::soon(paid).await.unwrap().body, "sunny");
    site.use_is_taken().await;
}

#[tokio::test]
async fn an_upstream_that_is_too_slow_takes_no_use() {
    let address = upstream::serve(|_| std::future::pending()).await;
    let shop = Shop::single_use(Arc::new(MemoryLedger::new())).await;
    let mut service = support::service(address);
    service.limits.response_timeout = Duration::from_millis(1);
    let routing = RoutingConfig::single(service, shop.price());
    let site = Site::with(shop, routing).await;

    assert_eq!(site.show().await.status, StatusCode::GATEWAY_TIMEOUT);

    site.use_is_left().await;
}

#[tokio::test]
async fn a_client_that_stops_sending_its_request_has_used_its_token() {
    let address = upstream::serve(|_| std::future::pending()).await;
    let shop = Shop::single_use(Arc::new(MemoryLedger::new())).await;
    let routing = support::single(shop.price(), address);
    let limits = GatewayLimits {
        read_timeout: Duration::from_secs(1),
        ..GatewayLimits::default()
    };
    let site = Site::limited(shop, routing, limits).await;
    let mut client = TcpStream::connect(support::http(&site.running))
        .await
        .unwrap();
    let request = site.raw(
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
        "5\r\nfirst\r\n",
    );
    client.write_all(request.as_bytes()).await.unwrap();

    let head = support::soon(read_until(&mut client, "\r\n\r\n")).await;

    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    site.use_is_taken().await;
}

#[tokio::test]
async fn a_service_that_reports_its_own_failure_takes_no_use() {
    for (status, is_taken) in [
        (StatusCode::BAD_GATEWAY, false),
        (StatusCode::SERVICE_UNAVAILABLE, false),
        (StatusCode::GATEWAY_TIMEOUT, false),
        (StatusCode::INTERNAL_SERVER_ERROR, true),
        (StatusCode::NOT_FOUND, true),
        (StatusCode::PAYMENT_REQUIRED, true),
        (StatusCode::NO_CONTENT, true),
        (StatusCode::NOT_MODIFIED, true),
    ] {
        let upstream = Upstream::responding(move |_| {
            let mut response = Response::new(Full::<Bytes>::default().boxed_unsync());
            *response.status_mut() = status;
            response
        })
        .await;
        let site = Site::open(upstream.address).await;

        let answer = site.show().await;

        assert_eq!(answer.status, status);
        assert_eq!(answer.header("l402-reason"), None, "the upstream's own");
        match is_taken {
            true => site.use_is_taken().await,
            false => site.use_is_left().await,
        }
    }
}

#[tokio::test]
async fn a_grpc_service_that_is_unavailable_takes_no_use() {
    for (grpc_status, is_taken) in [("14", false), ("5", true)] {
        let address = upstream::serve_h2c(move |_| async move {
            Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", grpc_status)
                .body(Full::<Bytes>::default().boxed_unsync())
                .unwrap()
        })
        .await;
        let site = Site::open(address).await;
        let mut client = Client::h2c(support::http(&site.running)).await;
        let call = Request::post("http://localhost/weather.Weather/Today")
            .header("authorization", &site.line)
            .header("content-type", "application/grpc");

        let answer = client.ask(call.body(empty()).unwrap()).await;

        assert_eq!(answer.header("grpc-status"), Some(grpc_status));
        match is_taken {
            true => site.use_is_taken().await,
            false => site.use_is_left().await,
        }
    }
}

#[tokio::test]
async fn two_requests_at_once_are_not_both_delivered() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let address = upstream::serve(move |_| {
        let (finish, finished) = tokio::sync::oneshot::channel::<()>();
        arrived.send(finish).unwrap();
        async move {
            let _released = finished.await;
            Response::new(Full::from("sunny").boxed_unsync())
        }
    })
    .await;
    let site = Site::open(address).await;
    let mut first = Client::http1(support::http(&site.running)).await;
    let request = site.paid();
    let first = tokio::spawn(async move { first.ask(request).await });
    let finish = support::soon(arrivals.recv()).await.unwrap();

    let second = site.show().await;
    assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(second.header("l402-reason"), Some("token_in_use"));
    assert_eq!(second.header("retry-after"), Some("1"));

    finish.send(()).unwrap();
    assert_eq!(support::soon(first).await.unwrap().body, "sunny");
    assert_eq!(site.show().await.status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn the_use_is_taken_before_the_body_is_sent() {
    let (more, body) = mpsc::channel::<Result<http_body::Frame<Bytes>, _>>(1);
    let body = std::sync::Mutex::new(Some(body));
    let upstream = Upstream::responding(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::new(body);
        Response::new(http_body_util::StreamBody::new(stream).boxed_unsync())
    })
    .await;
    let site = Site::open(upstream.address).await;
    let mut client = Client::http1(support::http(&site.running)).await;

    let _unread = support::soon(client.send(site.paid())).await;

    site.use_is_taken().await;
    drop(more);
}

#[tokio::test]
async fn a_tunnel_takes_the_use_when_it_opens() {
    let address = upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(SWITCHED).await.unwrap();
        read_to_close(stream).await;
    })
    .await;
    let site = Site::open(address).await;
    let mut client = TcpStream::connect(support::http(&site.running))
        .await
        .unwrap();
    client
        .write_all(site.raw(OPENING, "").as_bytes())
        .await
        .unwrap();

    support::soon(read_until(&mut client, "\r\n\r\n")).await;

    site.use_is_taken().await;
}

#[tokio::test]
async fn a_use_that_cannot_be_committed_is_our_failure_and_delivers_nothing() {
    let ledger = Arc::new(MemoryLedger::new());
    let stores = Stores {
        uses: Arc::new(FailsToCommit(Arc::clone(&ledger))),
        ..Stores::from(ledger)
    };
    let shop = Shop::single_use(stores).await;
    let upstream = Upstream::sunny().await;
    let site = Site::with(
        shop.clone(),
        support::single(shop.price(), upstream.address),
    )
    .await;

    let answer = site.show().await;

    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("l402-reason"), Some("unavailable"));
    assert!(!answer.body.contains("sunny") && !answer.body.contains(DISK_FULL));
}

#[tokio::test]
async fn an_upload_is_delivered_once() {
    let mut upstream = Upstream::sunny().await;
    let site = Site::open(upstream.address).await;
    let post = || {
        let request = Request::post("http://localhost/").header("authorization", &site.line);
        request.body(full("order")).unwrap()
    };
    let mut client = Client::http1(support::http(&site.running)).await;

    assert_eq!(client.ask(post()).await.status, StatusCode::OK);
    assert_eq!(
        client.ask(post()).await.status,
        StatusCode::PAYMENT_REQUIRED
    );

    assert_eq!(upstream.all_seen().len(), 1);
}

/// Reserves, and loses its disk before it commits.
#[derive(Debug)]
struct FailsToCommit(Arc<MemoryLedger>);

impl Uses for FailsToCommit {
    fn reserve(
        &self,
        token: l402::TokenId,
        uses_max: std::num::NonZeroU64,
    ) -> BoxFuture<'_, Result<Reserved, LedgerError>> {
        self.0.reserve(token, uses_max)
    }

    fn commit(&self, reservation: Reservation) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.0.release(reservation);
        Box::pin(std::future::ready(Err(LedgerError::Store(Arc::from(
            Box::<dyn std::error::Error + Send + Sync>::from(DISK_FULL),
        )))))
    }

    fn release(&self, reservation: Reservation) {
        self.0.release(reservation);
    }
}

/// Has no price for anything.
#[derive(Debug)]
struct Panics;

impl Pricer for Panics {
    fn terms<'a>(
        &'a self,
        _request: &'a RequestInfo<'a>,
    ) -> BoxFuture<'a, Result<Terms, PricerError>> {
        panic!("this pricer panics");
    }
}

const OPENING: &str = "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
const DISK_FULL: &str = "no space left on device";
const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
