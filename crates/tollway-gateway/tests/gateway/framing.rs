//! Requests whose length two servers could disagree about.
//!
//! Whatever is sent, the upstream sees at most one request, and never one that was hidden
//! in the body of another.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tollway_gateway::{GatewayLimits, Price};

use crate::support::client::{read_to_close, shout};
use crate::support::upstream::Upstream;
use crate::support::{self};

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    for head in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n0\r\n\r\n{SMUGGLED}");

        let answer = support::soon(shout(support::http(&running), &request)).await;

        assert!(
            answer.starts_with("HTTP/1.1 400 "),
            "{head:?} got {answer:?}"
        );
        assert!(upstream.all_seen().is_empty(), "{head:?}");
    }
}

#[tokio::test]
async fn chunked_on_http_1_0_is_refused() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    let request =
        format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");

    let answer = support::soon(shout(support::http(&running), &request)).await;

    assert!(
        answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
        "{answer}"
    );
    assert!(upstream.all_seen().is_empty());
}

#[tokio::test]
async fn where_chunks_and_a_length_disagree_the_chunks_are_forwarded() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    for head in [
        "Content-Length: 100\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n5\r\nhello\r\n0\r\n\r\n"
        );

        let answer = support::soon(shout(support::http(&running), &request)).await;

        assert!(
            answer.starts_with("HTTP/1.1 200 "),
            "{head:?} got {answer:?}"
        );
        let seen = upstream.seen().await;
        assert_eq!(seen.body, "hello");
        assert!(
            !seen.head.headers.contains_key("content-length"),
            "{head:?}"
        );
        assert!(upstream.all_seen().is_empty(), "one request is one request");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_forwarded_as_a_whole_one() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    for body in [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "Transfer-Encoding: chunked\r\n\r\nZ\r\n",
    ] {
        let mut stream = TcpStream::connect(support::http(&running)).await.unwrap();
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();

        let answer = support::soon(read_to_close(stream)).await;

        assert!(
            !answer.starts_with("HTTP/1.1 200 "),
            "{body:?} got {answer:?}"
        );
    }
    // A request that did break off reaches the test's upstream without its end.
    assert!(upstream.all_seen().iter().all(|seen| seen.body.is_empty()));
}

#[tokio::test]
async fn a_head_longer_than_allowed_is_refused() {
    let upstream = Upstream::sunny().await;
    let limits = GatewayLimits {
        head_max_bytes: 10_000,
        ..GatewayLimits::default()
    };
    let running = support::start_with(support::single(Price::Free, upstream.address), limits);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "y".repeat(20_000)
    );

    let answer = support::soon(shout(support::http(&running), &request)).await;

    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
