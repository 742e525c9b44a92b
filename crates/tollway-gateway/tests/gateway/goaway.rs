//! Upstreams that announce with GOAWAY which streams they process, and close.
//!
//! Specification: RFC 9113 section 6.8.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tollway_gateway::Price;

use crate::support::client::{Body, Client, empty, full};
use crate::support::site::Site;
use crate::support::{self, frames, upstream, upstream_frames};

#[tokio::test]
async fn a_stream_that_is_not_processed_is_sent_again_and_the_others_end() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let address = replaced(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            begin(&mut stream).await;
            read_frame(&mut stream, frames::HEADERS).await;
            arrived.send(()).unwrap();
            read_frame(&mut stream, frames::HEADERS).await;
            let bytes = [
                upstream_frames::go_away(1),
                upstream_frames::response(1, "processed"),
            ]
            .concat();
            stream.write_all(&bytes).await.unwrap();
            while upstream_frames::read(&mut stream).await.is_some() {}
        }
    })
    .await;
    let running = support::start(Price::Free, address);
    let mut first = Client::h2c(support::http(&running)).await;
    let mut second = first.another();

    let first = tokio::spawn(async move { first.ask(call(empty())).await });
    support::soon(arrivals.recv()).await.unwrap();
    let second = support::soon(second.ask(call(full("order")))).await;

    assert_eq!((second.status, &second.body[..]), (StatusCode::OK, "order"));
    let first = support::soon(first).await.unwrap();
    assert_eq!(
        (first.status, &first.body[..]),
        (StatusCode::OK, "processed")
    );
}

#[tokio::test]
async fn streams_run_to_their_end_on_a_connection_that_is_shut_down_gracefully() {
    let (begun, mut beginnings) = mpsc::unbounded_channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = upstream::accept(move |stream| {
        let is_first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        let begun = begun.clone();
        async move {
            if !is_first {
                return echo(stream).await;
            }
            let mut http = h2::server::handshake(stream).await.unwrap();
            let (_request, mut respond) = http.accept().await.unwrap().unwrap();
            let mut body = respond.send_response(head(), false).unwrap();
            body.send_data(Bytes::from_static(b"begun "), false)
                .unwrap();
            http.graceful_shutdown();
            let (finish, finished) = oneshot::channel::<()>();
            begun.send(finish).unwrap();
            let rest = async {
                finished.await.unwrap();
                body.send_data(Bytes::from_static(b"ended"), true).unwrap();
            };
            let others = async {
                while let Some(Ok((request, respond))) = http.accept().await {
                    tokio::spawn(send_back(request, respond));
                }
            };
            tokio::join!(rest, others);
        }
    })
    .await;
    let running = support::start(Price::Free, address);
    let mut client = Client::h2c(support::http(&running)).await;
    let running_stream = support::soon(client.send(call(empty()))).await;
    let finish = support::soon(beginnings.recv()).await.unwrap();

    support::soon(async {
        while connections.load(Ordering::SeqCst) < 2 {
            let answer = client.ask(call(full("order"))).await;
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, "order"));
        }
    })
    .await;
    finish.send(()).unwrap();

    let whole = support::soon(running_stream.into_body().collect()).await;
    assert_eq!(whole.unwrap().to_bytes(), "begun ended");
}

#[tokio::test]
async fn a_call_whose_body_has_begun_is_sent_again_with_it() {
    let address = goes_away_in_body().await;
    let running = support::start(Price::Free, address);
    let mut client = Client::h2c(support::http(&running)).await;

    let answer = support::soon(client.ask(call(full("order")))).await;

    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, "order"));
}

#[tokio::test]
async fn a_call_of_which_more_was_sent_than_is_kept_is_unavailable_and_takes_no_use() {
    let site = Site::open(goes_away_in_body().await).await;
    let long = Full::new(Bytes::from(vec![b'.'; 200_000])).boxed_unsync();
    let mut request = call(long);
    let line = site.line.parse().unwrap();
    request.headers_mut().insert("authorization", line);
    let mut client = Client::h2c(support::http(&site.running)).await;

    let answer = support::soon(client.ask(request)).await;

    assert_eq!(answer.header("grpc-status"), Some("14"));
    site.use_is_left().await;
}

/// An upstream that goes away once the body of its first request has begun.
async fn goes_away_in_body() -> SocketAddr {
    replaced(|mut stream| async move {
        begin(&mut stream).await;
        read_frame(&mut stream, frames::DATA).await;
        stream
            .write_all(&upstream_frames::go_away(0))
            .await
            .unwrap();
        while upstream_frames::read(&mut stream).await.is_some() {}
    })
    .await
}

/// An upstream whose first connection is served by `first`, and which sends back what it receives
/// on all others.
async fn replaced<F, R>(first: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let connections = AtomicUsize::new(0);
    upstream::accept(move |stream| {
        let is_first = connections.fetch_add(1, Ordering::SeqCst) == 0;
        let first = first.clone();
        async move {
            match is_first {
                true => first(stream).await,
                false => echo(stream).await,
            }
        }
    })
    .await
}

async fn echo(stream: TcpStream) {
    let mut http = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = http.accept().await {
        tokio::spawn(send_back(request, respond));
    }
}

async fn send_back(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut body = request.into_body();
    let mut received = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        received.extend_from_slice(&data);
    }
    let mut body = respond.send_response(head(), false).unwrap();
    body.send_data(received.into(), true).unwrap();
}

/// Begins HTTP/2 as a server.
async fn begin(stream: &mut TcpStream) {
    upstream_frames::read_preface(stream).await;
    stream.write_all(&frames::settings(&[])).await.unwrap();
}

/// Reads until a frame of a kind has arrived.
async fn read_frame(stream: &mut TcpStream, wanted: u8) {
    while let Some((kind, _)) = upstream_frames::read(stream).await {
        if kind == wanted {
            return;
        }
    }
    panic!("closed without a frame of kind {wanted}");
}

fn head() -> Response<()> {
    let head = Response::builder().header("content-type", "application/grpc");
    head.body(()).unwrap()
}

fn call(body: Body) -> Request<Body> {
    Request::post("http://localhost/weather.Weather/Today")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}
