//! Clients that leave, and clients that only close their sending side: when a use is taken.
//!
//! Over HTTP/1.1 a client may close its sending side and wait for the response. Only a reset
//! shows that it has left.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tollway_gateway::RoutingConfig;
use tollway_server::ledger::MemoryLedger;

use crate::support::client::{Client, empty, get, read_to_close, read_until};
use crate::support::shop::Shop;
use crate::support::site::{SUNNY, Site, held, sends};
use crate::support::{self, upstream};

#[tokio::test]
async fn a_client_that_closes_its_sending_side_gets_its_response() {
    for (lines, body) in [
        ("GET / HTTP/1.1\r\n", ""),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\n", "order"),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
            "5\r\norder\r\n0\r\n\r\n",
        ),
        ("GET / HTTP/1.0\r\n", ""),
    ] {
        let (address, mut arrivals) = held().await;
        let site = Site::open(address).await;
        let mut client = site.connect().await;
        client
            .write_all(site.raw(lines, body).as_bytes())
            .await
            .unwrap();
        let respond = support::soon(arrivals.recv()).await.unwrap();

        client.shutdown().await.unwrap();
        site.receives_all_so_far().await;
        respond.send(SUNNY).unwrap();

        let response = support::soon(read_to_close(client)).await;
        assert!(response.contains(" 200 OK\r\n"), "{lines}{response}");
        assert!(response.ends_with("sunny"), "{lines}{response}");
        site.use_is_taken().await;
    }
}

#[tokio::test]
async fn a_client_that_closes_its_sending_side_gets_a_refusal_as_well() {
    let site = Site::open(sends(SUNNY).await).await;
    let mut client = site.connect().await;
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    client.shutdown().await.unwrap();

    let response = support::soon(read_to_close(client)).await;

    assert!(response.contains(" 402 Payment Required\r\n"), "{response}");
    assert!(response.ends_with('}'), "{response}");
}

#[tokio::test]
async fn every_request_sent_before_the_sending_side_closes_is_served() {
    let upstream = upstream::serve(|request| async move {
        let path = format!("<{}>", request.uri().path());
        http::Response::new(http_body_util::BodyExt::boxed_unsync(
            http_body_util::Full::from(path),
        ))
    })
    .await;
    let running = support::start(tollway_gateway::Price::Free, upstream);
    let mut client = TcpStream::connect(support::http(&running)).await.unwrap();
    for path in ["/one", "/two", "/three"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
    }
    client.shutdown().await.unwrap();

    let responses = support::soon(read_to_close(client)).await;

    for path in ["</one>", "</two>", "</three>"] {
        assert!(responses.contains(path), "{responses}");
    }
}

#[tokio::test]
async fn a_client_that_closes_is_taken_to_wait_and_a_response_is_its_use() {
    let (address, mut arrivals) = held().await;
    let site = Site::open(address).await;
    let client = site.show_and_wait().await;
    let respond = support::soon(arrivals.recv()).await.unwrap();

    drop(client);
    site.receives_all_so_far().await;
    respond.send(SUNNY).unwrap();

    site.use_is_taken().await;
}

#[tokio::test]
async fn a_client_that_closes_keeps_its_use_when_the_upstream_fails() {
    let (address, mut arrivals) = held().await;
    let site = Site::open(address).await;
    let client = site.show_and_wait().await;
    let respond = support::soon(arrivals.recv()).await.unwrap();

    drop(client);
    site.receives_all_so_far().await;
    respond.send(b"HTTP/1.1 200").unwrap();

    site.use_is_left().await;
}

#[tokio::test]
async fn a_reset_after_the_sending_side_was_closed_ends_the_request() {
    let (closed, mut closes) = mpsc::unbounded_channel();
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let address = upstream::accept(move |mut stream| {
        let (arrived, closed) = (arrived.clone(), closed.clone());
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            arrived.send(()).unwrap();
            read_to_close(stream).await;
            closed.send(()).unwrap();
        }
    })
    .await;
    let site = Site::open(address).await;
    let mut client = site.show_and_wait().await;
    support::soon(arrivals.recv()).await.unwrap();
    client.shutdown().await.unwrap();
    site.receives_all_so_far().await;

    reset(client);

    support::soon(closes.recv()).await.unwrap();
    site.use_is_taken().await;
}

#[tokio::test]
async fn an_http2_client_that_resets_its_stream_after_it_was_forwarded_has_used_it() {
    let (address, mut arrivals) = held().await;
    let site = Site::open(address).await;
    let mut client = Client::h2c(support::http(&site.running)).await;
    let request = get("/").header("authorization", &site.line);
    let request = request.body(empty()).unwrap();
    let waiting = tokio::spawn(async move {
        let answer = client.try_send(request).await;
        drop(client);
        answer
    });
    let _never = support::soon(arrivals.recv()).await.unwrap();

    waiting.abort();

    site.use_is_taken().await;
}

#[tokio::test]
async fn a_client_that_resets_before_its_request_is_forwarded_keeps_its_use() {
    let (dialled, mut dials) = mpsc::unbounded_channel();
    let address = upstream::accept(move |stream| {
        dialled.send(()).unwrap();
        async move {
            // Never completes TLS.
            let _held = stream;
            std::future::pending().await
        }
    })
    .await;
    let shop = Shop::single_use(Arc::new(MemoryLedger::new())).await;
    let identity = support::Identity::new();
    let mut service = support::service(address);
    service.upstream = format!("https://localhost:{}", address.port())
        .parse()
        .unwrap();
    service.upstream_authorities = Some(identity.certificate());
    let site = Site::with(shop.clone(), RoutingConfig::single(service, shop.price())).await;
    let client = site.show_and_wait().await;
    support::soon(dials.recv()).await.unwrap();

    reset(client);

    site.use_is_left().await;
}

#[tokio::test]
async fn a_client_that_resets_after_its_request_was_forwarded_has_used_it() {
    let (address, mut arrivals) = held().await;
    let site = Site::open(address).await;
    let client = site.show_and_wait().await;
    let _never = support::soon(arrivals.recv()).await.unwrap();

    reset(client);

    site.use_is_taken().await;
}

#[tokio::test]
async fn a_client_that_aborts_its_upload_has_used_it() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let address = upstream::accept(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            read_until(&mut stream, "half").await;
            arrived.send(()).unwrap();
            read_to_close(stream).await;
        }
    })
    .await;
    let site = Site::open(address).await;
    let mut client = TcpStream::connect(support::http(&site.running))
        .await
        .unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\nContent-Length: 8\r\n\r\nhalf",
        site.line
    );
    client.write_all(head.as_bytes()).await.unwrap();
    support::soon(arrivals.recv()).await.unwrap();

    drop(client);

    site.use_is_taken().await;
}

impl Site {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(support::http(&self.running))
            .await
            .unwrap()
    }

    /// Returns when the gateway, which has one worker, has received everything that was sent
    /// before: it serves a request that came later.
    async fn receives_all_so_far(&self) {
        let mut client = Client::http1(support::http(&self.running)).await;
        let unpaid = get("/").body(empty()).unwrap();
        support::soon(client.ask(unpaid)).await;
    }
}

/// Ends a connection abruptly.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}
