//! WebSockets, and requests that must not open one.

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{accept_async, client_async};
use tollway_gateway::{Price, Running};

use crate::support::client::{Client, empty, get, read_until};
use crate::support::shop::Shop;
use crate::support::upstream::Upstream;
use crate::support::{self, upstream};

#[tokio::test]
async fn a_paid_websocket_echoes() {
    let shop = Shop::open().await;
    let running = support::start(shop.price(), echo().await);
    let stream = TcpStream::connect(support::http(&running)).await.unwrap();
    let mut request = opening(&running);
    let line = shop.authorization().await.parse().unwrap();
    request.headers_mut().insert("authorization", line);

    let (mut socket, response) = client_async(request, stream).await.unwrap();

    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    for word in ["one", "two"] {
        socket.send(Message::text(word)).await.unwrap();
        let reply = support::soon(socket.next()).await.unwrap().unwrap();
        assert_eq!(reply, Message::text(word));
    }
    socket.close(None).await.unwrap();
    while let Some(last) = support::soon(socket.next()).await {
        assert!(last.is_ok_and(|message| message.is_close()));
    }
}

#[tokio::test]
async fn an_unpaid_websocket_is_refused_before_it_opens() {
    let shop = Shop::open().await;
    let running = support::start(shop.price(), echo().await);
    let stream = TcpStream::connect(support::http(&running)).await.unwrap();

    let refused = client_async(opening(&running), stream).await.unwrap_err();

    let Error::Http(response) = refused else {
        panic!("not an answer: {refused}");
    };
    assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
    assert!(response.headers().contains_key("www-authenticate"));
}

#[tokio::test]
async fn no_other_protocol_is_switched_to() {
    let mut upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    let mut client = Client::http1(support::http(&running)).await;
    let request = get("/")
        .header("connection", "Upgrade, HTTP2-Settings")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQAAP__");

    let answer = client.ask(request.body(empty()).unwrap()).await;

    assert_eq!(answer.status, StatusCode::OK);
    let seen = upstream.seen().await;
    for name in ["upgrade", "connection", "http2-settings"] {
        assert!(!seen.head.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn an_upstream_that_switches_unasked_is_not_followed() {
    let address = upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let answer =
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let running = support::start(Price::Free, address);

    let mut client = Client::http1(support::http(&running)).await;
    let answer = client.ask(get("/").body(empty()).unwrap()).await;

    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_refused_websocket_gets_the_response_of_the_upstream() {
    let upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    let stream = TcpStream::connect(support::http(&running)).await.unwrap();

    let refused = client_async(opening(&running), stream).await.unwrap_err();

    assert!(matches!(refused, Error::Http(response) if response.status() == StatusCode::OK));
}

fn opening(running: &Running) -> http::Request<()> {
    format!("ws://{}/socket", support::http(running))
        .into_client_request()
        .unwrap()
}

async fn echo() -> std::net::SocketAddr {
    upstream::accept(|stream| async move {
        let mut socket = accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if !message.is_close() {
                socket.send(message).await.unwrap();
            }
        }
    })
    .await
}
