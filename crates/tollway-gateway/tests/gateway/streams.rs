//! Streams: events as they happen, uploads as large as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tollway_gateway::Price;

use crate::support::client::{Client, empty, get, read_until};
use crate::support::shop::Shop;
use crate::support::upstream::Upstream;
use crate::support::{self, upstream};

#[tokio::test]
async fn events_arrive_as_they_are_sent() {
    let (happen, events) = mpsc::unbounded_channel::<&'static str>();
    let events = Arc::new(Mutex::new(Some(events)));
    let address = upstream::serve(move |_| {
        let events = Arc::clone(&events);
        async move {
            let events = events.lock().await.take().unwrap();
            let frames = UnboundedReceiverStream::new(events)
                .map(|event| Ok(Frame::data(Bytes::from_static(event.as_bytes()))));
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(StreamBody::new(frames).boxed_unsync())
                .unwrap()
        }
    })
    .await;
    let shop = Shop::open().await;
    let running = support::start(shop.price(), address);
    let mut client = Client::http1(support::http(&running)).await;
    let request = get("/events").header("authorization", shop.authorization().await);

    let response = support::soon(client.send(request.body(empty()).unwrap())).await;

    let mut body = response.into_body();
    // The next event only happens once this one has arrived.
    for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        happen.send(event).unwrap();
        let frame = support::soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
    drop(happen);
    assert!(support::soon(body.frame()).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_takes_no_more_memory_than_a_small_one() {
    let sent = Arc::new(AtomicUsize::new(0));
    let held_max = Arc::new(AtomicUsize::new(0));
    let (counted, highest) = (Arc::clone(&sent), Arc::clone(&held_max));
    let address = upstream::serve(move |request| {
        let (counted, highest) = (Arc::clone(&counted), Arc::clone(&highest));
        async move {
            let mut received = 0;
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                received += frame.unwrap().into_data().unwrap().len();
                let held = counted.load(Ordering::Relaxed).saturating_sub(received);
                highest.fetch_max(held, Ordering::Relaxed);
            }
            Response::new(Full::from(received.to_string()).boxed_unsync())
        }
    })
    .await;
    let shop = Shop::open().await;
    let running = support::start(shop.price(), address);
    let chunk = Bytes::from(vec![7; CHUNK_BYTES]);
    let chunks = (0..UPLOAD_BYTES / CHUNK_BYTES).map(move |_| {
        sent.fetch_add(CHUNK_BYTES, Ordering::Relaxed);
        Ok(Frame::data(chunk.clone()))
    });
    let upload = Request::post("http://localhost/upload")
        .header("authorization", shop.authorization().await)
        .body(StreamBody::new(tokio_stream::iter(chunks)).boxed_unsync())
        .unwrap();
    let peak_before = peak_memory_bytes();

    let answer = support::soon(Client::http1(support::http(&running)).await.ask(upload)).await;

    assert_eq!(answer.body, UPLOAD_BYTES.to_string());
    let held_max = held_max.load(Ordering::Relaxed);
    assert!(
        held_max < HELD_BYTES_MAX,
        "{held_max} bytes were between client and upstream"
    );
    let grown = peak_memory_bytes() - peak_before;
    assert!(grown < HELD_BYTES_MAX, "memory grew by {grown} bytes");
}

#[tokio::test]
async fn a_response_may_begin_before_its_request_has_ended() {
    let address = upstream::serve(|request| async move {
        let echo = request.into_body().map_frame(|frame| frame);
        Response::new(echo.map_err(|broken| panic!("{broken}")).boxed_unsync())
    })
    .await;
    let running = support::start(Price::Free, address);
    let mut client = TcpStream::connect(support::http(&running)).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head).await.unwrap();

    // The next word is only sent once this one has come back.
    for word in ["alpha", "bravo", "gamma"] {
        let chunk = format!("5\r\n{word}\r\n");
        client.write_all(chunk.as_bytes()).await.unwrap();
        support::soon(read_until(&mut client, word)).await;
    }
    client.write_all(b"0\r\n\r\n").await.unwrap();
    support::soon(read_until(&mut client, "0\r\n\r\n")).await;

    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nagain")
        .await
        .unwrap();
    support::soon(read_until(&mut client, "again")).await;
}

#[tokio::test]
async fn an_upload_waits_for_leave_and_gets_it_when_paid() {
    let mut upstream = Upstream::sunny().await;
    let shop = Shop::open().await;
    let running = support::start(shop.price(), upstream.address);
    let mut stream = TcpStream::connect(support::http(&running)).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\
         Authorization: {}\r\nConnection: close\r\n\r\n",
        shop.authorization().await
    );
    stream.write_all(head.as_bytes()).await.unwrap();

    let leave = support::soon(read_until(&mut stream, "\r\n\r\n")).await;
    assert!(leave.starts_with("HTTP/1.1 100 Continue\r\n"), "{leave}");
    stream.write_all(b"hello").await.unwrap();

    let answer = support::soon(read_until(&mut stream, "sunny")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(upstream.seen().await.body, "hello");
}

#[tokio::test]
async fn an_upload_that_waits_for_leave_is_refused_without_being_sent() {
    let upstream = Upstream::sunny().await;
    let running = support::start(Shop::open().await.price(), upstream.address);
    let mut stream = TcpStream::connect(support::http(&running)).await.unwrap();

    stream
        .write_all(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\
              Expect: 100-continue\r\n\r\n",
        )
        .await
        .unwrap();

    let answer = support::soon(read_until(&mut stream, "\r\n\r\n")).await;
    assert!(
        answer.starts_with("HTTP/1.1 402 Payment Required\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_connection_of_a_refused_upload_can_be_used_to_pay() {
    let mut upstream = Upstream::sunny().await;
    let shop = Shop::open().await;
    let running = support::start(shop.price(), upstream.address);
    let mut client = Client::http1(support::http(&running)).await;
    let upload = |line: Option<String>| {
        let chunks = (0..3).map(|_| Ok(Frame::data(Bytes::from(vec![7; 40_000]))));
        let mut request = Request::post("http://localhost/");
        if let Some(line) = line {
            request = request.header("authorization", line);
        }
        request
            .body(StreamBody::new(tokio_stream::iter(chunks)).boxed_unsync())
            .unwrap()
    };

    let refused = client.ask(upload(None)).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    let paid = client.ask(upload(Some(shop.authorization().await))).await;

    assert_eq!(paid.body, "sunny");
    assert_eq!(upstream.seen().await.body.len(), 120_000);
}

/// The most this process ever held, as the kernel counts.
fn peak_memory_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

const UPLOAD_BYTES: usize = 1 << 30;
const CHUNK_BYTES: usize = 1 << 16;
/// Socket buffers may take some MiB each; storing the upload would take a thousand.
const HELD_BYTES_MAX: usize = 96 << 20;
