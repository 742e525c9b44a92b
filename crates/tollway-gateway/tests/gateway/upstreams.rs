//! Connections to upstreams: kept, lost, refused, shared and used up.

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use h2::server::SendResponse;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tollway_gateway::{GatewayLimits, Price, RoutingConfig, Running, ServiceConfig};

use crate::support::client::{Answer, Body, Client, empty, full, get, read_until};
use crate::support::site::{SUNNY, Site, held};
use crate::support::{self, upstream};

#[tokio::test]
async fn an_upstream_that_closes_kept_connections_fails_no_request() {
    let address = upstream::accept(|mut stream| async move {
        for _ in 0..3 {
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(SUNNY).await.unwrap();
        }
    })
    .await;
    let running = support::start(Price::Free, address);
    let clients = (0..4).map(async |_| {
        let mut client = Client::http1(support::http(&running)).await;
        for _ in 0..50 {
            let answer = client.ask(get("/").body(empty()).unwrap()).await;
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, "sunny"));
        }
    });

    support::soon(join_all(clients)).await;
}

#[tokio::test]
async fn a_connection_with_bytes_nobody_asked_for_is_not_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = upstream::accept(move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            loop {
                read_until(&mut stream, "\r\n\r\n").await;
                stream.write_all(SUNNY).await.unwrap();
                let stray = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray";
                stream.write_all(stray).await.unwrap();
            }
        }
    })
    .await;
    let running = support::start(Price::Free, address);
    let mut client = Client::http1(support::http(&running)).await;

    for _ in 0..3 {
        let answer = client.ask(get("/").body(empty()).unwrap()).await;
        assert_eq!(answer.body, "sunny");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_request_beyond_the_connections_allowed_is_told_to_come_back_and_takes_no_use() {
    let (address, mut arrivals) = held().await;
    let shop =
        support::shop::Shop::single_use(Arc::new(tollway_server::ledger::MemoryLedger::new()))
            .await;
    let mut service = support::service(address);
    service.limits.connections_max = 1.try_into().unwrap();
    service.limits.connect_timeout = Duration::from_millis(50);
    let mut routing = RoutingConfig::single(service, shop.price());
    routing.routes.insert(
        0,
        tollway_gateway::RouteConfig {
            path_prefix: "/free".to_owned(),
            ..tollway_gateway::RouteConfig::new("weather", Price::Free)
        },
    );
    let site = Site::with(shop, routing).await;
    let mut holder = Client::http1(support::http(&site.running)).await;
    let holding = tokio::spawn(async move {
        let request = get("/free").body(empty()).unwrap();
        holder.ask(request).await
    });
    let respond = support::soon(arrivals.recv()).await.unwrap();

    let refused = site.show().await;

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.body.contains("upstream_busy"), "{}", refused.body);
    respond.send(SUNNY).unwrap();
    assert_eq!(support::soon(holding).await.unwrap().body, "sunny");
    site.use_is_left().await;
}

#[tokio::test]
async fn a_request_waits_for_a_connection_to_be_free() {
    let (address, mut arrivals) = held().await;
    let mut service = support::service(address);
    service.limits.connections_max = 1.try_into().unwrap();
    let running = start(service);
    let requests = ["/one", "/two"].map(async |path| {
        let mut client = Client::http1(support::http(&running)).await;
        client.ask(get(path).body(empty()).unwrap()).await.body
    });
    let responding = async {
        for _ in 0..2 {
            let respond = support::soon(arrivals.recv()).await.unwrap();
            respond.send(SUNNY).unwrap();
        }
    };

    let (bodies, ()) = tokio::join!(support::soon(join_all(requests)), responding);

    assert_eq!(bodies, ["sunny", "sunny"]);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_with_its_body() {
    let upstream = H2c::new(|seen, mut respond| {
        if seen.nth == 0 {
            respond.send_reset(Reason::REFUSED_STREAM);
        } else {
            respond_with(&mut respond, seen.body);
        }
    })
    .await;
    let running = support::start(Price::Free, upstream.address);

    let answer = support::soon(call(&running, full("order"))).await;

    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, "order"));
    assert_eq!(upstream.counts(), (1, 2), "one connection, two streams");
}

#[tokio::test]
async fn a_stream_that_is_reset_is_not_sent_again_and_its_connection_is_kept() {
    let upstream = H2c::new(|seen, mut respond| match seen.nth {
        0..5 => respond.send_reset(Reason::INTERNAL_ERROR),
        _ => respond_with(&mut respond, seen.body),
    })
    .await;
    let running = support::start(Price::Free, upstream.address);

    for _ in 0..5 {
        let answer = support::soon(call(&running, empty())).await;
        assert_eq!(answer.header("grpc-status"), Some("14"));
    }
    assert_eq!(support::soon(call(&running, full("up"))).await.body, "up");
    assert_eq!(upstream.counts(), (1, 6));
}

#[tokio::test]
async fn a_call_beyond_the_streams_allowed_is_told_to_come_back() {
    let upstream = H2c::with(
        h2::server::Builder::new().max_concurrent_streams(1),
        |seen, respond| {
            // The first is never responded to.
            if seen.nth == 0 {
                mem::forget(respond);
            }
        },
    )
    .await;
    let mut service = support::service(upstream.address);
    service.limits.h2_max = 1.try_into().unwrap();
    service.limits.connect_timeout = Duration::from_millis(200);
    let running = start(service);
    let (mut first, mut second) = {
        let client = Client::h2c(support::http(&running)).await;
        (client.another(), client)
    };
    let held = tokio::spawn(async move { first.try_send(grpc(empty())).await });
    while upstream.counts() != (1, 1) {
        tokio::task::yield_now().await;
    }

    let refused = support::soon(second.ask(grpc(empty()))).await;

    assert_eq!(refused.header("grpc-status"), Some("14"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    held.abort();
}

#[tokio::test]
async fn streams_that_are_not_read_hold_up_no_other() {
    let large = Bytes::from(vec![7; 4 << 20]);
    let upstream = H2c::new(move |seen, mut respond| {
        let body = match &seen.body[..] {
            b"large" => large.clone(),
            _ => Bytes::from_static(b"small"),
        };
        respond_with(&mut respond, body);
    })
    .await;
    let running = support::start(Price::Free, upstream.address);
    let unread = Client::h2c(support::http(&running)).await;
    let mut held = Vec::new();
    for _ in 0..24 {
        let response = unread.another().send(grpc(full("large"))).await;
        assert_eq!(response.status(), StatusCode::OK);
        held.push(response);
    }

    let answer = support::soon(call(&running, full("small"))).await;

    assert_eq!(answer.body, "small");
    assert_eq!(upstream.counts().0, 1, "on the same connection");
    drop(held);
}

fn start(service: ServiceConfig) -> Running {
    let routing = RoutingConfig::single(service, Price::Free);
    support::start_with(routing, GatewayLimits::default())
}

async fn call(running: &Running, body: Body) -> Answer {
    Client::h2c(support::http(running))
        .await
        .ask(grpc(body))
        .await
}

fn grpc(body: Body) -> Request<Body> {
    let call = Request::post("http://localhost/weather.Weather/Today");
    let call = call.header("content-type", "application/grpc");
    call.header("te", "trailers")
        .body(body.boxed_unsync())
        .unwrap()
}

fn respond_with(respond: &mut SendResponse<Bytes>, body: Bytes) {
    let head = Response::builder().header("content-type", "application/grpc");
    let mut stream = respond
        .send_response(head.body(()).unwrap(), false)
        .unwrap();
    stream.send_data(body, true).unwrap();
}

/// An upstream that speaks HTTP/2 frame by frame.
struct H2c {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

/// A request, and how many came before it.
struct Seen {
    nth: usize,
    body: Bytes,
}

impl H2c {
    async fn new<F>(handler: F) -> Self
    where
        F: Fn(Seen, SendResponse<Bytes>) + Clone + Send + Sync + 'static,
    {
        Self::with(&mut h2::server::Builder::new(), handler).await
    }

    async fn with<F>(builder: &mut h2::server::Builder, handler: F) -> Self
    where
        F: Fn(Seen, SendResponse<Bytes>) + Clone + Send + Sync + 'static,
    {
        let (connections, requests) = (Arc::default(), Arc::default());
        let (opened, begun) = (Arc::clone(&connections), Arc::clone(&requests));
        let builder = builder.clone();
        let address = upstream::accept(move |stream| {
            AtomicUsize::fetch_add(&opened, 1, Ordering::SeqCst);
            let (begun, handler) = (Arc::clone(&begun), handler.clone());
            let builder = builder.clone();
            async move {
                let mut http = builder.handshake(stream).await.unwrap();
                while let Some(Ok((request, respond))) = http.accept().await {
                    let nth = AtomicUsize::fetch_add(&begun, 1, Ordering::SeqCst);
                    let handler = handler.clone();
                    tokio::spawn(async move {
                        let mut body = Vec::new();
                        let mut received = request.into_body();
                        while let Some(Ok(data)) = received.data().await {
                            body.extend_from_slice(&data);
                        }
                        let body = Bytes::from(body);
                        handler(Seen { nth, body }, respond);
                    });
                }
            }
        })
        .await;
        Self {
            address,
            connections,
            requests,
        }
    }

    /// How many connections were opened, and requests begun.
    fn counts(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.connections), count(&self.requests))
    }
}
