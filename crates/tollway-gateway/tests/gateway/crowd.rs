//! Many connections and requests at once: what they take is bounded, and others are served.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tollway_gateway::{GatewayLimits, Price, Running};

use crate::support;
use crate::support::client::{Client, empty, get};
use crate::support::shop::Shop;
use crate::support::site::{SUNNY, held};
use crate::support::upstream::{self, Upstream};

#[tokio::test]
async fn silent_connections_make_room_for_a_customer() {
    let shop = Shop::open().await;
    let upstream = Upstream::sunny().await;
    let limits = GatewayLimits {
        connections_max: count(20),
        ..GatewayLimits::default()
    };
    let running = support::start_with(support::single(shop.price(), upstream.address), limits);
    let mut silent = connect(&running, 20).await;
    let line = shop.authorization().await;

    for _ in 0..5 {
        let mut customer = Client::http1(support::http(&running)).await;
        let paid = get("/").header("authorization", &line);
        let answer = support::soon(customer.ask(paid.body(empty()).unwrap())).await;
        assert_eq!(answer.status, StatusCode::OK);
        silent.extend(connect(&running, 20).await);
    }

    let oldest = support::soon(silent[0].read(&mut [0])).await;
    assert_eq!(oldest.unwrap_or(0), 0, "it was closed");
}

#[tokio::test]
async fn a_connection_with_a_request_is_not_closed_for_another() {
    let (address, mut arrivals) = held().await;
    let limits = GatewayLimits {
        connections_max: count(1),
        ..GatewayLimits::default()
    };
    let running = support::start_with(support::single(Price::Free, address), limits);
    let mut busy = Client::http1(support::http(&running)).await;
    let asked = tokio::spawn(async move { busy.ask(get("/").body(empty()).unwrap()).await });
    let respond = support::soon(arrivals.recv()).await.unwrap();
    let _waits = connect(&running, 3).await;

    respond.send(SUNNY).unwrap();

    assert_eq!(support::soon(asked).await.unwrap().body, "sunny");
}

#[tokio::test]
async fn a_response_that_is_being_sent_is_not_cut_off_for_another_connection() {
    let address = upstream::accept(|mut stream| async move {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
        let response = [head.as_bytes(), &vec![b'.'; LONG]].concat();
        let _request = stream.read(&mut [0; 1024]).await.unwrap();
        stream.write_all(&response).await.unwrap();
    })
    .await;
    let limits = GatewayLimits {
        connections_max: count(2),
        ..GatewayLimits::default()
    };
    let running = support::start_with(support::single(Price::Free, address), limits);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(support::http(&running)).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    slow.write_all(request).await.unwrap();
    slow.peek(&mut [0]).await.unwrap();
    while running.in_flight().get() > 0 {
        tokio::task::yield_now().await;
    }

    let mut others = connect(&running, 20).await;
    let first = support::soon(others[0].read(&mut [0])).await;
    assert_eq!(first.unwrap_or(0), 0, "it made room");

    let mut received = vec![0; LONG];
    support::soon(slow.read_exact(&mut received)).await.unwrap();
}

#[tokio::test]
async fn a_client_with_many_connections_loses_its_own_idle_ones() {
    let upstream = Upstream::sunny().await;
    let limits = GatewayLimits {
        client_connections_max: Some(count(5)),
        ..GatewayLimits::default()
    };
    let running = support::start_with(support::single(Price::Free, upstream.address), limits);
    let mut silent = connect(&running, 20).await;

    let mut customer = Client::http1(support::http(&running)).await;
    let answer = support::soon(customer.ask(get("/").body(empty()).unwrap())).await;

    assert_eq!(answer.status, StatusCode::OK);
    for stream in &mut silent[..10] {
        assert_eq!(support::soon(stream.read(&mut [0])).await.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn requests_of_one_client_at_once_are_limited() {
    let (address, mut arrivals) = held().await;
    let limits = GatewayLimits {
        client_requests_max: Some(count(2)),
        ..GatewayLimits::default()
    };
    let running = support::start_with(support::single(Price::Free, address), limits);
    let mut client = Client::h2c(support::http(&running)).await;
    let mut asked = Vec::new();
    let mut responses = Vec::new();
    for _ in 0..2 {
        let mut client = client.another();
        asked.push(tokio::spawn(async move {
            client.ask(get("/").body(empty()).unwrap()).await
        }));
        responses.push(support::soon(arrivals.recv()).await.unwrap());
    }

    let refused = support::soon(client.ask(get("/").body(empty()).unwrap())).await;

    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(
        refused.body.contains("too_many_client_requests"),
        "{}",
        refused.body
    );
    for respond in responses {
        respond.send(SUNNY).unwrap();
    }
    for asked in asked {
        assert_eq!(support::soon(asked).await.unwrap().status, StatusCode::OK);
    }
    let next = tokio::spawn(async move { client.ask(get("/").body(empty()).unwrap()).await });
    support::soon(arrivals.recv())
        .await
        .unwrap()
        .send(SUNNY)
        .unwrap();
    assert_eq!(support::soon(next).await.unwrap().status, StatusCode::OK);
}

async fn connect(running: &Running, many: usize) -> Vec<TcpStream> {
    let address: SocketAddr = support::http(running);
    let mut streams = Vec::new();
    for _ in 0..many {
        streams.push(TcpStream::connect(address).await.unwrap());
    }
    streams
}

fn count(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// More than the kernel takes, and less than it and hyper take together.
/// More than the kernel takes, and little enough for the gateway to take it from the upstream.
const LONG: usize = 120_000;
