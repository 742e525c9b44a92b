//! Requests whose length two servers could disagree about.
//!
//! Whatever is sent, the upstream sees at most one request, and never one that was hidden
//! in the body of another.

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt};
use tokio::net::TcpStream;
use tollway_gateway::{GatewayLimits, Price};

use crate::support::client::{Client, empty, get, read_to_close, read_until, shout};
use crate::support::site::SUNNY;
use crate::support::upstream::Upstream;
use crate::support::{self, upstream};

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
async fn another_coding_under_the_chunks_is_refused() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    for lines in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n5\r\nhello\r\n0\r\n\r\n"
        );

        let answer = support::soon(shout(support::http(&running), &request)).await;

        assert!(answer.starts_with("HTTP/1.1 501 "), "{lines:?}: {answer}");
        assert!(upstream.all_seen().is_empty(), "{lines:?}");
    }
}

#[tokio::test]
async fn no_trailer_of_an_upstream_breaks_the_response_over_http2() {
    let address = upstream::accept(|mut stream| async move {
        let _request = stream.read(&mut [0; 1024]).await.unwrap();
        let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsunny\r\n0\r\n\
            Connection: close\r\nKeep-Alive: 1\r\nProxy-Connection: close\r\nTE: trailers\r\n\
            Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nContent-Length: 3\r\nHost: a\r\n\
            X-Sum: 1\r\n\r\n";
        stream.write_all(response.as_bytes()).await.unwrap();
    })
    .await;
    let running = support::start(Price::Free, address);
    let mut client = Client::h2c(support::http(&running)).await;

    let answer = support::soon(client.ask(get("/").body(empty()).unwrap())).await;

    assert_eq!(answer.body, "sunny");
    let names = answer.trailers.unwrap();
    let names: Vec<&str> = names.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x-sum"]);
}

#[tokio::test]
async fn trailers_cannot_claim_what_a_gateway_states() {
    let trailers = "X-Forwarded-For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
        X-Request-Id: mine\r\nProxy-Authorization: Basic x\r\nKeep-Alive: x\r\n\
        Authorization: L402 a:b\r\nMacaroon: 00\r\nHost: b\r\nX_Request-Id: mine\r\nX-Sum: 1\r\n";
    let names: Vec<&str> = trailers
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect();
    let address = upstream::accept(|mut stream| async move {
        let request = read_until(&mut stream, "\r\n0\r\n").await;
        let rest = match request.ends_with("\r\n\r\n") {
            true => String::new(),
            false => read_until(&mut stream, "\r\n\r\n").await,
        };
        let (_, request) = request.split_once("\r\n0\r\n").unwrap();
        let seen = format!("{request}{rest}").trim().to_owned();
        let response = format!(
            "HTTP/1.1 200\r\nContent-Length: {}\r\n\r\n{seen}",
            seen.len()
        );
        stream.write_all(response.as_bytes()).await.unwrap();
    })
    .await;
    let running = support::start(Price::Free, address);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTrailer: {}\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{trailers}\r\n",
        names.join(", ")
    );

    let answer = support::soon(shout(support::http(&running), &request)).await;

    assert!(answer.ends_with("\r\n\r\nx-sum: 1"), "{answer}");
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

#[tokio::test]
async fn a_body_of_unknown_length_is_delivered_with_any_method() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    for method in ["GET", "HEAD", "DELETE", "POST"] {
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );

        let answer = support::soon(shout(support::http(&running), &request)).await;

        assert!(answer.starts_with("HTTP/1.1 200 "), "{method}: {answer}");
        let seen = upstream.seen().await;
        assert_eq!(
            (seen.head.method.as_str(), &seen.body[..]),
            (method, &b"hello"[..])
        );
        assert_eq!(seen.head.headers["transfer-encoding"], "chunked");
    }
}

#[tokio::test]
async fn responses_whose_end_is_ambiguous_are_not_forwarded() {
    for head in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: x\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: a\r\n Transfer-Encoding: chunked\r\n",
        "X: a\rb\r\n",
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{head}\r\n5\r\nhello\r\n0\r\n\r\n");
        let running = support::start(Price::Free, sends_text(response).await);

        let answer = support::soon(shout(support::http(&running), GET)).await;

        assert!(
            answer.starts_with("HTTP/1.1 502 "),
            "{head:?} got {answer:?}"
        );
        assert!(answer.contains("upstream_reset"), "{answer}");
        assert!(answer.contains("sent no valid response"), "{answer}");
    }
}

#[tokio::test]
async fn a_response_whose_chunks_cannot_be_read_does_not_look_complete() {
    for chunks in [
        "5\r\nhello\r\n",
        "5\r\nhello\r\nZ\r\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhelloX0\r\n\r\n",
        "5\r\nhello\r\n11111111111111111\r\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    ] {
        let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let running = support::start(Price::Free, sends_text(response).await);

        let answer = support::soon(shout(support::http(&running), GET)).await;

        assert!(!answer.ends_with("0\r\n\r\n"), "{chunks:?} got {answer:?}");
    }
}

#[tokio::test]
async fn where_chunks_and_a_length_of_a_response_disagree_the_chunks_are_forwarded() {
    for length in ["3", "50"] {
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n"
        );
        let running = support::start(Price::Free, sends_text(response).await);

        let answer = support::soon(shout(support::http(&running), GET)).await;

        assert!(!answer.contains("content-length"), "{answer}");
        assert!(answer.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_response_ends_with_its_connection_where_nothing_else_is_stated() {
    for version in ["1.0", "1.1"] {
        let response = format!("HTTP/{version} 200 OK\r\n\r\nhello");
        let running = support::start(Price::Free, sends_text(response).await);

        let answer = support::soon(shout(support::http(&running), GET)).await;

        assert!(answer.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_response_without_a_body_states_no_length_of_one() {
    // After 304 it is optional.
    for (method, status, lengths) in [
        (Method::GET, 204, &[None][..]),
        (Method::HEAD, 204, &[None]),
        (Method::GET, 304, &[None, Some("5")]),
        (Method::HEAD, 200, &[Some("5")]),
    ] {
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
        let running = support::start(Price::Free, sends_text(response).await);
        for mut client in [
            Client::http1(support::http(&running)).await,
            Client::h2c(support::http(&running)).await,
        ] {
            let request = get("/").method(method.clone()).body(empty()).unwrap();

            let answer = support::soon(client.ask(request)).await;

            assert_eq!(answer.status, status);
            let length = answer.header("content-length");
            assert!(lengths.contains(&length), "{method} {status}: {length:?}");
        }
    }
}

#[tokio::test]
async fn a_response_may_have_many_header_lines() {
    let lines: String = (0..300).map(|nth| format!("X-{nth}: y\r\n")).collect();
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n{lines}\r\nhello");
    let running = support::start(Price::Free, sends_text(response).await);

    let answer = support::soon(shout(support::http(&running), GET)).await;

    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("x-299: y\r\n") && answer.ends_with("hello"));
}

#[tokio::test]
async fn informational_responses_are_read_past_and_not_without_end() {
    for (count, status) in [(1, "200"), (16, "200"), (17, "502")] {
        let response = format!(
            "{}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(count)
        );
        let running = support::start(Price::Free, sends_text(response).await);

        let answer = support::soon(shout(support::http(&running), GET)).await;

        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(!answer.contains("link"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_waits_for_leave_is_sent_when_the_upstream_asks_for_it() {
    for leave in ["HTTP/1.1 100 Continue\r\n\r\n", ""] {
        let address = upstream::accept(move |mut stream| async move {
            let head = read_until(&mut stream, "\r\n\r\n").await;
            assert!(head.ends_with("\r\n\r\n"), "{head}");
            // Without it, the body comes after a while.
            stream.write_all(leave.as_bytes()).await.unwrap();
            read_until(&mut stream, "hello").await;
            stream.write_all(SUNNY).await.unwrap();
        })
        .await;
        let running = support::start(Price::Free, address);
        let mut client = TcpStream::connect(support::http(&running)).await.unwrap();
        client.write_all(EXPECTING).await.unwrap();

        support::soon(read_until(&mut client, "100 Continue\r\n\r\n")).await;
        client.write_all(b"hello").await.unwrap();

        support::soon(read_until(&mut client, "sunny")).await;
    }
}

#[tokio::test]
async fn a_body_that_waits_for_leave_is_not_sent_after_a_final_status() {
    let (rest, mut rests) = tokio::sync::mpsc::unbounded_channel();
    let address = upstream::accept(move |mut stream| {
        let rest = rest.clone();
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            let refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal).await.unwrap();
            rest.send(read_to_close(stream).await).unwrap();
        }
    })
    .await;
    let running = support::start(Price::Free, address);
    let mut client = TcpStream::connect(support::http(&running)).await.unwrap();
    client.write_all(EXPECTING).await.unwrap();

    let answer = support::soon(read_until(&mut client, "\r\n\r\n")).await;

    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(
        support::soon(rests.recv()).await.unwrap(),
        "",
        "and is closed"
    );
}

/// An upstream that reads a request, sends `text` and closes.
async fn sends_text(text: String) -> std::net::SocketAddr {
    upstream::accept(move |mut stream| {
        let text = text.clone();
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    })
    .await
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const EXPECTING: &[u8] =
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
