//! The end of a connection whose client still sends: it can read the response all the same.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tollway_gateway::{Gateway, GatewayLimits, Price, Stopped};

use crate::support::client::{Client, full, read_until, tls};
use crate::support::shop::Shop;
use crate::support::upstream::Upstream;
use crate::support::{self, Identity, upstream};

#[tokio::test]
async fn the_price_can_be_read_after_any_upload() {
    let shop = Shop::open().await;
    let running = support::start(shop.price(), Upstream::sunny().await.address);
    let address = support::http(&running);

    for attempt in 0..20 {
        let slow = attempt % 5 == 0;
        let answer = blocking(move || upload(address, 20 * MEBIBYTE, slow)).await;

        assert!(answer.starts_with("HTTP/1.1 402 "), "{attempt}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.contains("invoice="), "{answer}");
        assert!(answer.ends_with('}'), "{answer}");
    }
}

#[tokio::test]
async fn the_price_can_be_read_over_tls_after_any_upload() {
    let shop = Shop::open().await;
    let identity = Identity::new();
    let routing = support::single(shop.price(), Upstream::sunny().await.address);
    let mut config = support::config(routing, GatewayLimits::default());
    config.https = Some(identity.listener());
    let running = Gateway::start(config).unwrap();
    let address = running.addresses().https.unwrap();

    for _ in 0..5 {
        let mut stream = tls(address, &identity.certificate(), &[b"http/1.1"]).await;
        let body = vec![b'.'; 8 * MEBIBYTE];
        stream.write_all(post(body.len()).as_bytes()).await.unwrap();
        support::soon(stream.write_all(&body)).await.unwrap();

        let mut answer = Vec::new();
        let _end = support::soon(stream.read_to_end(&mut answer)).await;

        assert!(answer.starts_with(b"HTTP/1.1 402 "));
        assert!(answer.ends_with(b"}"));
    }
}

#[tokio::test]
async fn an_early_response_of_the_upstream_can_be_read_after_any_upload() {
    let address = upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let answer =
            b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge";
        stream.write_all(answer).await.unwrap();
        // Reads nothing of the body.
        tokio::time::sleep(Duration::from_millis(100)).await;
    })
    .await;
    let running = support::start(Price::Free, address);
    let gateway = support::http(&running);

    for _ in 0..5 {
        let answer = blocking(move || upload(gateway, 20 * MEBIBYTE, false)).await;

        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.ends_with("large"), "{answer}");
    }
}

#[tokio::test]
async fn a_short_body_of_a_refused_request_leaves_its_connection_open() {
    let shop = Shop::open().await;
    let running = support::start(shop.price(), Upstream::sunny().await.address);
    let mut client = Client::http1(support::http(&running)).await;

    for _ in 0..2 {
        let request = Request::post("http://localhost/");
        let request = request.body(full("short")).unwrap();
        let answer = support::soon(client.ask(request)).await;

        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
        assert_eq!(answer.header("connection"), None);
    }
}

#[tokio::test]
async fn a_client_that_never_stops_sending_does_not_delay_a_stop() {
    let shop = Shop::open().await;
    let running = support::start(shop.price(), Upstream::sunny().await.address);
    let mut stream = tokio::net::TcpStream::connect(support::http(&running))
        .await
        .unwrap();
    stream.write_all(post(1 << 40).as_bytes()).await.unwrap();
    read_until(&mut stream, "}").await;
    let sending = tokio::spawn(async move {
        while stream.write_all(&[b'.'; 1024]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });

    let stopped = support::soon(running.stop()).await;

    assert_eq!(stopped, Stopped::default());
    support::soon(sending).await.unwrap();
}

/// Sends a whole upload before it reads a byte, as simple clients do.
fn upload(address: SocketAddr, length: usize, slow: bool) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(post(length).as_bytes()).unwrap();
    let part = vec![b'.'; MEBIBYTE];
    for _ in 0..length / MEBIBYTE {
        stream.write_all(&part).unwrap();
        if slow {
            thread::sleep(Duration::from_millis(20));
        }
    }
    if slow {
        thread::sleep(Duration::from_millis(500));
    }
    let mut answer = Vec::new();
    let mut piece = [0; 64];
    while !answer.ends_with(b"}") && !answer.ends_with(b"large") {
        let Ok(read @ 1..) = stream.read(&mut piece) else {
            break;
        };
        answer.extend_from_slice(&piece[..read]);
    }
    String::from_utf8(answer)
        .unwrap()
        .replace("Connection: ", "connection: ")
}

fn post(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    support::soon(tokio::task::spawn_blocking(work))
        .await
        .unwrap()
}

const MEBIBYTE: usize = 1024 * 1024;
