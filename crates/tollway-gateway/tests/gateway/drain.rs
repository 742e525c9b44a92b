//! Stopping: requests in flight finish, streams and tunnels are closed, no request begins.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tollway_gateway::{GatewayLimits, Price, Stopped};
use tollway_server::ledger::MemoryLedger;

use crate::support::client::{Client, empty, get, read_to_close, read_until};
use crate::support::shop::Shop;
use crate::support::site::{SUNNY, Site, held};
use crate::support::{self, upstream};

#[tokio::test]
async fn an_open_stream_is_finished_before_the_gateway_stops() {
    for http2 in [false, true] {
        let (happen, events) = mpsc::unbounded_channel::<&'static str>();
        let running = support::start(Price::Free, streaming(events).await);
        let address = support::http(&running);
        let mut client = if http2 {
            Client::h2c(address).await
        } else {
            Client::http1(address).await
        };
        let mut body = client
            .send(get("/").body(empty()).unwrap())
            .await
            .into_body();
        happen.send("before").unwrap();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "before"
        );

        let stopping = tokio::spawn(running.stop());
        refuses(address).await;
        assert!(!stopping.is_finished());
        happen.send("after").unwrap();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "after"
        );
        drop(happen);

        let rest = support::soon(body.collect()).await.unwrap().to_bytes();
        assert!(rest.is_empty());
        assert_eq!(support::soon(stopping).await.unwrap(), Stopped::default());
    }
}

#[tokio::test]
async fn a_request_in_flight_is_finished_and_the_connection_closed() {
    let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (notify, wait) = (Arc::clone(&arrived), Arc::clone(&release));
    let upstream = upstream::serve(move |_| {
        let (notify, wait) = (Arc::clone(&notify), Arc::clone(&wait));
        async move {
            notify.notify_one();
            wait.notified().await;
            Response::new(Full::new(Bytes::from_static(b"sunny")).boxed_unsync())
        }
    })
    .await;
    let running = support::start(Price::Free, upstream);
    let address = support::http(&running);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    arrived.notified().await;

    let stopping = tokio::spawn(running.stop());
    refuses(address).await;
    release.notify_one();

    let answer = support::soon(read_until(&mut stream, "sunny")).await;
    assert!(
        answer.to_lowercase().contains("connection: close\r\n"),
        "{answer}"
    );
    assert_eq!(
        support::soon(stream.read_u8()).await.unwrap_err().kind(),
        std::io::ErrorKind::UnexpectedEof
    );
    assert_eq!(support::soon(stopping).await.unwrap(), Stopped::default());
}

#[tokio::test]
async fn a_use_is_taken_by_the_response_that_a_stop_waits_for() {
    let (address, mut arrivals) = held().await;
    let site = Site::open(address).await;
    let gateway = support::http(&site.running);
    let mut client = site.show_and_wait().await;
    let respond = support::soon(arrivals.recv()).await.unwrap();

    let stopping = tokio::spawn(site.restart());
    refuses(gateway).await;
    respond.send(SUNNY).unwrap();

    support::soon(read_until(&mut client, "sunny")).await;
    let (stopped, site) = support::soon(stopping).await.unwrap();
    assert_eq!(stopped, Stopped::default());
    site.use_is_taken().await;
}

#[tokio::test]
async fn a_request_that_is_cut_off_before_its_response_takes_no_use() {
    let (address, mut arrivals) = held().await;
    let limits = GatewayLimits {
        drain_timeout: Duration::from_millis(1),
        ..GatewayLimits::default()
    };
    let shop = Shop::single_use(Arc::new(MemoryLedger::new())).await;
    let routing = support::single(shop.price(), address);
    let site = Site::limited(shop, routing, limits).await;
    let client = site.show_and_wait().await;
    let _never = support::soon(arrivals.recv()).await.unwrap();

    let (stopped, site) = site.restart().await;

    assert_eq!(stopped.connections_cut_off, 1);
    assert_eq!(support::soon(read_to_close(client)).await, "");
    site.use_is_left().await;
}

#[tokio::test]
async fn a_request_of_a_gateway_that_is_dropped_takes_no_use() {
    let (address, mut arrivals) = held().await;
    let mut site = Site::open(address).await;
    let _client = site.show_and_wait().await;
    let _never = support::soon(arrivals.recv()).await.unwrap();

    site.running = support::start_with(support::nothing(), GatewayLimits::default());

    site.use_is_left().await;
}

#[tokio::test]
async fn idle_connections_do_not_delay_a_stop() {
    let running = support::start_with(support::nothing(), GatewayLimits::default());
    let mut used = TcpStream::connect(support::http(&running)).await.unwrap();
    used.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut used, "}").await;
    let _silent = TcpStream::connect(support::http(&running)).await.unwrap();
    let _http2 = Client::h2c(support::http(&running)).await;

    assert_eq!(support::soon(running.stop()).await, Stopped::default());
}

#[tokio::test]
async fn a_stream_without_end_is_cut_off_at_the_limit_and_counted() {
    let (_happen, events) = mpsc::unbounded_channel();
    let limits = GatewayLimits {
        drain_timeout: Duration::from_millis(1),
        ..GatewayLimits::default()
    };
    let routing = support::single(Price::Free, streaming(events).await);
    let running = support::start_with(routing, limits);
    let mut client = Client::http1(support::http(&running)).await;
    let body = client
        .send(get("/").body(empty()).unwrap())
        .await
        .into_body();

    let stopped = support::soon(running.stop()).await;

    assert_eq!(
        stopped,
        Stopped {
            connections_cut_off: 1,
            workers_lost: 0
        }
    );
    assert!(support::soon(body.collect()).await.is_err());
}

#[tokio::test]
async fn a_tunnel_is_closed_after_its_own_limit() {
    let upstream = upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello";
        stream.write_all(answer).await.unwrap();
        std::future::pending().await
    })
    .await;
    let limits = GatewayLimits {
        tunnel_drain_timeout: Duration::from_millis(1),
        ..GatewayLimits::default()
    };
    let running = support::start_with(support::single(Price::Free, upstream), limits);
    let mut stream = TcpStream::connect(support::http(&running)).await.unwrap();
    let opening = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(opening).await.unwrap();
    read_until(&mut stream, "hello").await;

    let stopped = support::soon(running.stop()).await;

    assert_eq!(stopped, Stopped::default(), "closed, not cut off");
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn dropping_a_gateway_stops_it_at_once() {
    let (_happen, events) = mpsc::unbounded_channel();
    let running = support::start(Price::Free, streaming(events).await);
    let address = support::http(&running);
    let mut client = Client::http1(address).await;
    let body = client
        .send(get("/").body(empty()).unwrap())
        .await
        .into_body();

    drop(running);

    assert!(support::soon(body.collect()).await.is_err());
    refuses(address).await;
}

/// Waits until connections are refused.
async fn refuses(address: std::net::SocketAddr) {
    support::soon(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn streaming(events: mpsc::UnboundedReceiver<&'static str>) -> std::net::SocketAddr {
    let events = Arc::new(tokio::sync::Mutex::new(Some(events)));
    upstream::serve(move |_| {
        let events = Arc::clone(&events);
        async move {
            let events = events.lock().await.take().unwrap();
            let frames = UnboundedReceiverStream::new(events)
                .map(|event| Ok(Frame::data(Bytes::from_static(event.as_bytes()))));
            Response::new(StreamBody::new(frames).boxed_unsync())
        }
    })
    .await
}
