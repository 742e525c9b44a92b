//! Progress: what stands still ends, and what moves does not, however slowly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tollway_gateway::{GatewayLimits, Price, RouteConfig, RoutingConfig, Running, ServiceConfig};

use crate::support::client::{read_to_close, read_until};
use crate::support::upstream::Upstream;
use crate::support::{self, upstream};

#[tokio::test]
async fn an_answer_that_is_not_read_does_not_keep_an_http2_connection() {
    let limits = GatewayLimits {
        local_response_timeout: SECOND,
        idle_timeout: 2 * SECOND,
        ..GatewayLimits::default()
    };
    let running = support::start_with(support::nothing(), limits);
    let mut client = RawHttp2::connect(support::http(&running), 0).await;
    let response = client.get("/a/../b");
    let (head, mut body) = support::soon(response).await.unwrap().into_parts();
    assert_eq!(head.status, StatusCode::BAD_REQUEST);

    let ended = support::soon(body.data()).await.unwrap().unwrap_err();

    assert_eq!(ended.reason(), Some(Reason::CANCEL));
    support::soon(client.ended_while_pinging(&running)).await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_ends_alone() {
    let running = impatient_with_readers(endless().await);
    let mut client = RawHttp2::connect(support::http(&running), 64 * 1024).await;
    let unread = support::soon(client.get("/unread")).await.unwrap();
    let mut read = support::soon(client.get("/read")).await.unwrap();
    let reading = async {
        loop {
            for _ in 0..4 {
                let data = read.body_mut().data().await.unwrap().unwrap();
                let flow = read.body_mut().flow_control();
                flow.release_capacity(data.len()).unwrap();
            }
            pause(&running).await;
        }
    };
    let waiting = async {
        let mut body = unread.into_body();
        loop {
            if let Err(ended) = body.data().await.unwrap() {
                return ended;
            }
        }
    };

    let ended = tokio::select! {
        () = reading => panic!("the other stream has ended"),
        ended = support::soon(waiting) => ended,
    };

    assert_eq!(ended.reason(), Some(Reason::CANCEL));
    let data = support::soon(read.body_mut().data()).await.unwrap();
    assert!(!data.unwrap().is_empty(), "the other stream flows");
}

#[tokio::test]
async fn a_stream_that_is_read_slowly_is_read_to_its_end() {
    // The whole takes longer than the limit, but some of it is always taken.
    const PART: usize = 24 * 1024;
    let running = impatient_with_readers(whole(2 * PART).await);
    let window = u32::try_from(PART).unwrap();
    let mut client = RawHttp2::connect(support::http(&running), window).await;
    let mut body = support::soon(client.get("/")).await.unwrap().into_body();

    let mut received = 0;
    while let Some(data) = support::soon(body.data()).await {
        received += data.as_ref().unwrap().len();
        let flow = body.flow_control();
        if flow.used_capacity() >= PART / 2 {
            pause(&running).await;
            let used = body.flow_control().used_capacity();
            body.flow_control().release_capacity(used).unwrap();
        }
    }

    assert_eq!(received, 2 * PART);
}

#[tokio::test]
async fn a_response_that_is_not_read_ends_its_http1_connection() {
    let (closed, mut closings) = mpsc::unbounded_channel();
    let address = upstream::accept(move |mut stream| {
        let closed = closed.clone();
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
            stream.write_all(head).await.unwrap();
            while stream.write_all(&[0; 65536]).await.is_ok() {}
            closed.send(()).unwrap();
        }
    })
    .await;
    let running = impatient_with_readers(address);
    let mut client = request(&running, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    support::soon(closings.recv()).await.unwrap();

    let mut received = Vec::new();
    let _end_or_reset = support::soon(client.read_to_end(&mut received)).await;
    assert!(received.len() < 1_000_000_000);
}

#[tokio::test]
async fn an_upstream_that_stops_in_a_body_ends_the_response_with_an_error() {
    let part = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsunny\r\n";
    let running = impatient_with_upstream(stops_after(part).await);

    let http1 = request(&running, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let received = support::soon(read_to_close(http1)).await;
    let mut http2 = RawHttp2::connect(support::http(&running), 65_535).await;
    let mut body = support::soon(http2.get("/")).await.unwrap().into_body();

    assert!(received.ends_with("5\r\nsunny\r\n"), "no end: {received}");
    assert_eq!(support::soon(body.data()).await.unwrap().unwrap(), "sunny");
    assert!(support::soon(body.data()).await.unwrap().is_err());
}

#[tokio::test]
async fn a_stream_of_events_may_be_silent() {
    let happens = Arc::new(Notify::new());
    let happened = Arc::clone(&happens);
    let address = upstream::accept(move |mut stream| {
        let happened = Arc::clone(&happened);
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n";
            stream.write_all(head).await.unwrap();
            happened.notified().await;
            stream.write_all(b"data: late\n\n").await.unwrap();
        }
    })
    .await;
    let running = impatient_with_upstream(address);
    let mut client = request(&running, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    support::soon(read_until(&mut client, "\r\n\r\n")).await;

    for _ in 0..PAUSES {
        pause(&running).await;
    }
    happens.notify_one();

    support::soon(read_until(&mut client, "data: late")).await;
}

#[tokio::test]
async fn a_silent_upstream_is_waited_for_while_an_upload_moves() {
    let address = upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        stream.write_all(head).await.unwrap();
        read_until(&mut stream, "end").await;
        stream.write_all(b"sunny").await.unwrap();
    })
    .await;
    let running = impatient_with_upstream(address);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n";
    let mut client = request(&running, head).await;

    for _ in 0..PAUSES {
        pause(&running).await;
        client.write_all(b".").await.unwrap();
    }
    client.write_all(b"end").await.unwrap();

    support::soon(read_until(&mut client, "sunny")).await;
}

#[tokio::test]
async fn a_client_may_pause_for_longer_than_the_upstream_may() {
    let upstream = Upstream::sunny().await;
    let running = impatient_with_responses(&[
        ("silent", stops_after(b"").await),
        ("sunny", upstream.address),
    ]);
    let head = "POST /sunny HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nbe";
    let mut client = request(&running, head).await;

    for _ in 0..2 {
        let silent = request(&running, "GET /silent HTTP/1.1\r\nHost: a\r\n\r\n").await;
        support::soon(read_head(silent, " 504 ")).await;
    }
    client.write_all(b"late").await.unwrap();

    support::soon(read_until(&mut client, "sunny")).await;
}

#[tokio::test]
async fn a_client_that_stops_in_a_body_is_told_by_its_own_limit() {
    let limits = GatewayLimits {
        read_timeout: SECOND,
        ..GatewayLimits::default()
    };
    let routing = support::single(Price::Free, stops_after(b"").await);
    let running = support::start_with(routing, limits);

    let begun = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nbe";
    let http1 = request(&running, begun).await;
    let mut http2 = RawHttp2::connect(support::http(&running), 65_535).await;
    let post = Request::post("http://localhost/").body(()).unwrap();
    let (response, mut body) = http2.sender.send_request(post, false).unwrap();
    body.send_data(Bytes::from_static(b"be"), false).unwrap();

    support::soon(read_head(http1, " 408 ")).await;
    let response = support::soon(response).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    let mut problem = response.into_body();
    let problem = support::soon(problem.data()).await.unwrap().unwrap();
    assert!(problem.ends_with(b"}"), "{problem:?}");
}

#[tokio::test]
async fn an_upstream_that_reads_slowly_is_waited_for() {
    // As a whole it takes longer than the limit.
    const LENGTH: usize = 3_000_000;
    let address = upstream::accept(|mut stream| async move {
        let begun = read_until(&mut stream, "\r\n\r\n").await;
        let mut received = begun.split_once("\r\n\r\n").unwrap().1.len();
        let mut part = vec![0; 40_000];
        while received < LENGTH {
            let read = stream.read(&mut part).await.unwrap();
            assert_ne!(read, 0, "given up after {received}");
            received += read;
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsunny";
        stream.write_all(response).await.unwrap();
    })
    .await;
    let mut service = support::service(address);
    service.limits.response_timeout = 2 * SECOND;
    let routing = RoutingConfig::single(service, Price::Free);
    let running = support::start_with(routing, GatewayLimits::default());
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
    let mut client = request(&running, &head).await;

    client.write_all(&vec![b'.'; LENGTH]).await.unwrap();

    support::soon(read_until(&mut client, "sunny")).await;
}

#[tokio::test]
async fn the_rest_of_an_upload_is_sent_on_after_the_response() {
    let (uploaded, mut uploads) = mpsc::unbounded_channel();
    let address = upstream::accept(move |mut stream| {
        let uploaded = uploaded.clone();
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            let response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsunny";
            stream.write_all(response).await.unwrap();
            uploaded.send(read_until(&mut stream, "end").await).unwrap();
        }
    })
    .await;
    // Longer than the connection may be idle.
    let limits = GatewayLimits {
        idle_timeout: LIMIT,
        ..GatewayLimits::default()
    };
    let running = support::start_with(support::single(Price::Free, address), limits);
    let other = support::start_with(support::nothing(), with_pauses());
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n";
    let mut client = request(&running, head).await;
    support::soon(read_until(&mut client, "sunny")).await;

    for _ in 0..PAUSES {
        pause(&other).await;
        client.write_all(b".").await.unwrap();
    }
    client.write_all(b"end").await.unwrap();

    assert!(support::soon(uploads.recv()).await.is_some());
}

#[tokio::test]
async fn a_tunnel_ends_soon_after_one_of_its_ends() {
    let address = upstream::accept(|mut stream| async move {
        switch(&mut stream).await;
        // Its own end stays open.
        let _end = stream.read_to_end(&mut Vec::new()).await;
        std::future::pending().await
    })
    .await;
    let limits = GatewayLimits {
        tunnel_close_timeout: SECOND,
        ..GatewayLimits::default()
    };
    let running = support::start_with(support::single(Price::Free, address), limits);
    let client = open_tunnel(&running).await;

    drop(client);

    support::soon(none_in_flight(&running)).await;
}

#[tokio::test]
async fn a_tunnel_with_one_open_end_stays_while_bytes_flow() {
    let happens = Arc::new(Notify::new());
    let happened = Arc::clone(&happens);
    let address = upstream::accept(move |mut stream| {
        let happened = Arc::clone(&happened);
        async move {
            switch(&mut stream).await;
            let _end = stream.read_to_end(&mut Vec::new()).await;
            for _ in 0..PAUSES {
                happened.notified().await;
                stream.write_all(b".").await.unwrap();
            }
            stream.write_all(b"bye").await.unwrap();
        }
    })
    .await;
    let limits = GatewayLimits {
        tunnel_close_timeout: LIMIT,
        ..with_pauses()
    };
    let running = support::start_with(support::single(Price::Free, address), limits);
    let mut client = open_tunnel(&running).await;

    client.shutdown().await.unwrap();
    for _ in 0..PAUSES {
        pause(&running).await;
        happens.notify_one();
    }

    support::soon(read_until(&mut client, "bye")).await;
}

#[tokio::test]
async fn a_silent_tunnel_is_closed_only_if_that_is_configured() {
    for (limit, closes) in [(Some(SECOND), true), (None, false)] {
        let address = upstream::accept(|mut stream| async move {
            switch(&mut stream).await;
            read_to_close(stream).await;
        })
        .await;
        let limits = GatewayLimits {
            tunnel_idle_timeout: limit,
            ..with_pauses()
        };
        let running = support::start_with(support::single(Price::Free, address), limits);
        let mut client = open_tunnel(&running).await;

        if closes {
            let read = support::soon(client.read(&mut [0])).await;
            assert_eq!(read.unwrap_or(0), 0);
        } else {
            let mut byte = [0];
            tokio::select! {
                read = client.read(&mut byte) => panic!("{read:?}"),
                () = pause(&running) => {}
            }
        }
    }
}

/// An HTTP/2 client that grants a window of a given size, and no more.
struct RawHttp2 {
    sender: SendRequest<Bytes>,
    pings: h2::PingPong,
    ended: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl RawHttp2 {
    async fn connect(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, mut connection) = h2::client::Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(1 << 24)
            .handshake(stream)
            .await
            .unwrap();
        let pings = connection.ping_pong().unwrap();
        Self {
            sender,
            pings,
            ended: tokio::spawn(connection),
        }
    }

    fn get(&mut self, path: &str) -> ResponseFuture {
        let request = Request::get(format!("http://localhost{path}"));
        let request = request.body(()).unwrap();
        self.sender.send_request(request, true).unwrap().0
    }

    /// Waits for the end of the connection, which PING frames do not put off.
    async fn ended_while_pinging(mut self, running: &Running) {
        while !self.ended.is_finished() {
            let _pong = self.pings.ping(h2::Ping::opaque()).await;
            pause(running).await;
        }
    }
}

/// Waits for less than [`LIMIT`] and more than half of it, by the clock that decides what stands
/// still: until the gateway closes an idle connection.
async fn pause(running: &Running) {
    let idle = TcpStream::connect(support::http(running)).await.unwrap();
    assert_eq!(support::soon(read_to_close(idle)).await, "");
}

/// Limits of a gateway on which [`pause`] may be called.
fn with_pauses() -> GatewayLimits {
    GatewayLimits {
        idle_timeout: SECOND,
        ..GatewayLimits::default()
    }
}

fn impatient_with_readers(upstream: SocketAddr) -> Running {
    let limits = GatewayLimits {
        write_timeout: LIMIT,
        ..with_pauses()
    };
    support::start_with(support::single(Price::Free, upstream), limits)
}

fn impatient_with_upstream(upstream: SocketAddr) -> Running {
    let mut service = support::service(upstream);
    service.limits.body_timeout = Some(LIMIT);
    let routing = RoutingConfig::single(service, Price::Free);
    support::start_with(routing, with_pauses())
}

/// A gateway with a service below the path of each name.
fn impatient_with_responses(upstreams: &[(&str, SocketAddr)]) -> Running {
    let mut routing = RoutingConfig::default();
    for (name, address) in upstreams {
        let mut service = ServiceConfig::new(*name, support::origin(*address));
        service.limits.response_timeout = SECOND;
        routing.services.push(service);
        routing.routes.push(RouteConfig {
            path_prefix: format!("/{name}"),
            ..RouteConfig::new(*name, Price::Free)
        });
    }
    support::start_with(routing, GatewayLimits::default())
}

/// An upstream whose response never ends.
async fn endless() -> SocketAddr {
    upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(&[0; 65536]).await.is_ok() {}
    })
    .await
}

/// An upstream that sends a body of a length at once.
async fn whole(length: usize) -> SocketAddr {
    upstream::accept(move |mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let response = [head.as_bytes(), &vec![0; length]].concat();
        stream.write_all(&response).await.unwrap();
        read_to_close(stream).await;
    })
    .await
}

/// An upstream that sends the beginning of a response, and no more.
async fn stops_after(part: &'static [u8]) -> SocketAddr {
    upstream::accept(move |mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(part).await.unwrap();
        read_to_close(stream).await;
    })
    .await
}

async fn request(running: &Running, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(support::http(running)).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

async fn read_head(mut stream: TcpStream, expected: &str) {
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.contains(expected), "{head}");
}

async fn open_tunnel(running: &Running) -> TcpStream {
    let opening = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut stream = request(running, opening).await;
    read_until(&mut stream, "hello").await;
    stream
}

async fn switch(stream: &mut TcpStream) {
    read_until(stream, "\r\n\r\n").await;
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello";
    stream.write_all(answer).await.unwrap();
}

async fn none_in_flight(running: &Running) {
    while running.in_flight().get() > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// What stands still for so long ends at the fourth tick of the clock, and a pause ends at the
/// second.
const LIMIT: Duration = Duration::from_secs(3);
/// Longer together than any limit here.
const PAUSES: usize = 4;
