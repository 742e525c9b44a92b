//! Pages of the upstream.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Responds to a request, by its path.
pub(super) async fn respond(request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/big" => body(large()),
        "/stall" => body(stalled()),
        "/ws" => upgrade(request),
        "/upload" => upload(request).await,
        "/events" => body(events()),
        "/later" => {
            tokio::time::sleep(Duration::from_millis(500)).await;
            item()
        }
        "/grpc/item" => call(request, stream::iter([Ok(Frame::data(MESSAGE))]).boxed()).await,
        "/grpc/big" => call(request, large()).await,
        "/grpc/echo" => echo(request),
        _ => item(),
    }
}

fn item() -> Response<Body> {
    Response::new(Full::new(Bytes::from_static(ITEM)).boxed_unsync())
}

type Frames = stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

fn body(frames: Frames) -> Response<Body> {
    Response::new(StreamBody::new(frames).boxed_unsync())
}

/// 8 MiB: more than the buffers on the way hold.
fn large() -> Frames {
    stream::iter(0..128)
        .map(|_| Ok(Frame::data(Bytes::from_static(&[b'x'; 64 * 1024]))))
        .boxed()
}

/// A body that begins and does not go on.
fn stalled() -> Frames {
    stream::iter([Ok(Frame::data(Bytes::from_static(ITEM)))])
        .chain(stream::pending())
        .boxed()
}

/// Twenty events, ten milliseconds apart.
fn events() -> Frames {
    stream::iter(0..20)
        .then(|number| async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(Frame::data(Bytes::from(format!("data: {number}\n\n"))))
        })
        .boxed()
}

/// Reads a whole upload and responds with its length.
async fn upload(request: Request<Incoming>) -> Response<Body> {
    let mut received = 0_usize;
    let mut body = request.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        received = received.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
    Response::new(Full::from(received.to_string()).boxed_unsync())
}

async fn call(request: Request<Incoming>, frames: Frames) -> Response<Body> {
    let _received = request.into_body().collect().await;
    grpc(frames)
}

/// Sends back every message as it arrives.
fn echo(request: Request<Incoming>) -> Response<Body> {
    let frames = request
        .into_body()
        .into_data_stream()
        .take_while(|data| std::future::ready(data.is_ok()))
        .map(|data| Ok(Frame::data(data.unwrap_or_default())));
    grpc(frames.boxed())
}

fn grpc(frames: Frames) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = frames.chain(stream::iter([Ok(Frame::trailers(trailers))]));
    let mut response = body(frames.boxed());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Becomes a WebSocket that sends back every message.
fn upgrade(request: Request<Incoming>) -> Response<Body> {
    let key = request.headers().get("sec-websocket-key");
    let accept = key.map(|key| derive_accept_key(key.as_bytes()));
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await?;
        let stream = TokioIo::new(upgraded);
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        while let Some(message) = socket.next().await {
            let message = message?;
            if message.is_close() {
                break;
            }
            socket.send(message).await?;
        }
        anyhow::Ok(())
    });
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Some(accept) = accept.and_then(|accept| accept.parse().ok()) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// 128 bytes.
pub(super) const ITEM: &[u8] = &[b'i'; crate::siege::ITEM_BYTES];
/// A gRPC frame of 64 bytes.
const MESSAGE: Bytes = Bytes::from_static(
    b"\0\0\0\0\x40tollwaytollwaytollwaytollwaytollwaytollwaytollwaytollwaytollwayt",
);
