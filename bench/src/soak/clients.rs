//! Clients of the mixed traffic.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use http::{Request, Response, request};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep, timeout};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

use super::Args;

/// The kinds of client. Each sends one request after the other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Client {
    /// Pages over one HTTP/1.1 connection.
    Http1,
    /// Pages over one HTTP/2 connection.
    Http2,
    /// gRPC calls with a stream of messages each way.
    Grpc,
    /// WebSockets with a few messages.
    WebSocket,
    /// Uploads of a megabyte.
    Uploads,
    /// Server-sent events.
    Events,
    /// Leaves in the middle of a response over HTTP/1.1.
    LeavesResponse,
    /// Leaves before the response begins, over HTTP/1.1.
    LeavesEarly,
    /// Resets an HTTP/2 stream before the response begins.
    Resets,
    /// Leaves in the middle of an upload.
    LeavesUpload,
    /// Does not pay.
    Unpaid,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    /// Its head was not sent.
    Unsent,
    /// With a complete response of this status.
    Complete(u16),
    /// The client left it, as it meant to.
    Left,
    /// The response was cut short, or never began.
    Broken,
    /// The same on a kept connection, which the proxy may have closed before it read the request.
    Lost,
}

/// A kept connection.
pub(super) enum Kept {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

impl Client {
    pub(super) const ALL: [Self; 11] = [
        Self::Http1,
        Self::Http2,
        Self::Grpc,
        Self::WebSocket,
        Self::Uploads,
        Self::Events,
        Self::LeavesResponse,
        Self::LeavesEarly,
        Self::Resets,
        Self::LeavesUpload,
        Self::Unpaid,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::WebSocket => "websocket",
            Self::Uploads => "uploads",
            Self::Events => "events",
            Self::LeavesResponse => "leaves-response",
            Self::LeavesEarly => "leaves-early",
            Self::Resets => "resets",
            Self::LeavesUpload => "leaves-upload",
            Self::Unpaid => "unpaid",
        }
    }

    pub(super) async fn ask(self, args: &Args, kept: &mut Option<Kept>) -> Ended {
        match self {
            Self::Http1 => whole(args.proxy, kept, Version::Http1, page(args)).await,
            Self::Http2 => whole(args.proxy, kept, Version::Http2, page(args)).await,
            Self::Grpc => whole(args.proxy, kept, Version::Http2, call(args)).await,
            Self::Uploads => whole(args.proxy, kept, Version::Http1, upload(args)).await,
            Self::Events => {
                let request = get(args, "/events").body(empty());
                whole(args.proxy, kept, Version::Http1, request).await
            }
            Self::Unpaid => {
                let request = Request::builder()
                    .uri("http://localhost/item")
                    .body(empty());
                whole(args.proxy, kept, Version::Http1, request).await
            }
            Self::WebSocket => websocket(args).await,
            Self::LeavesResponse => leave_response(args).await,
            Self::LeavesEarly => write_and_leave(args, "GET /later HTTP/1.1", b"").await,
            Self::LeavesUpload => {
                let line = "POST /upload HTTP/1.1\r\nContent-Length: 1000";
                write_and_leave(args, line, b"begun").await
            }
            Self::Resets => reset(args, kept).await,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Version {
    Http1,
    Http2,
}

fn get(args: &Args, path: &str) -> request::Builder {
    Request::builder()
        .uri(format!("http://localhost{path}"))
        .header("authorization", &args.customer)
}

fn page(args: &Args) -> http::Result<Request<Body>> {
    get(args, "/item").body(empty())
}

fn empty() -> Body {
    Empty::new().boxed_unsync()
}

fn upload(args: &Args) -> http::Result<Request<Body>> {
    let chunks = stream::iter(0..16).map(|_| {
        let chunk = Bytes::from_static(&[b'u'; 64 * 1024]);
        Ok(Frame::data(chunk))
    });
    get(args, "/upload")
        .method("POST")
        .body(StreamBody::new(chunks).boxed_unsync())
}

/// Ten messages, five milliseconds apart, which all come back.
fn call(args: &Args) -> http::Result<Request<Body>> {
    let messages = stream::iter(0..10).then(|_| async {
        sleep(Duration::from_millis(5)).await;
        Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x04echo")))
    });
    get(args, "/grpc/echo")
        .method("POST")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(StreamBody::new(messages).boxed_unsync())
}

/// Sends a request and reads the whole response.
async fn whole(
    proxy: SocketAddr,
    kept: &mut Option<Kept>,
    version: Version,
    request: http::Result<Request<Body>>,
) -> Ended {
    let Ok(request) = request else {
        return Ended::Unsent;
    };
    let was_kept = kept.is_some();
    let Ok(mut connection) = Kept::ready(kept.take(), proxy, version).await else {
        return Ended::Unsent;
    };
    let response = match timeout(PATIENCE, connection.send(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) if error.is_canceled() => return Ended::Unsent,
        Ok(Err(_)) if was_kept => return Ended::Lost,
        Ok(Err(_)) | Err(_) => return Ended::Broken,
    };
    let status = response.status().as_u16();
    match timeout(PATIENCE, response.into_body().collect()).await {
        Ok(Ok(_)) => {
            *kept = Some(connection);
            Ended::Complete(status)
        }
        Ok(Err(_)) | Err(_) => Ended::Broken,
    }
}

impl Kept {
    /// Returns a connection that can be used: this one, or a new one.
    async fn ready(kept: Option<Self>, proxy: SocketAddr, version: Version) -> Result<Self> {
        if let Some(mut kept) = kept {
            let usable = match &mut kept {
                Self::Http1(sender) => sender.ready().await.is_ok(),
                Self::Http2(sender) => sender.ready().await.is_ok(),
            };
            if usable {
                return Ok(kept);
            }
        }
        let stream = TcpStream::connect(proxy).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        Ok(match version {
            Version::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Self::Http1(sender)
            }
            Version::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Self::Http2(sender)
            }
        })
    }

    async fn send(&mut self, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                let host = http::HeaderValue::from_static("localhost");
                request.headers_mut().insert("host", host);
                if let Some(path) = request.uri().path_and_query().cloned() {
                    *request.uri_mut() = path.into();
                }
                sender.send_request(request).await
            }
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }
}

async fn websocket(args: &Args) -> Ended {
    let Ok(stream) = TcpStream::connect(args.proxy).await else {
        return Ended::Unsent;
    };
    let Ok(mut request) = "ws://localhost/ws".into_client_request() else {
        return Ended::Unsent;
    };
    let Ok(authorization) = args.customer.parse() else {
        return Ended::Unsent;
    };
    request.headers_mut().insert("authorization", authorization);
    let (mut socket, response) = match timeout(PATIENCE, client_async(request, stream)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(tungstenite::Error::Http(refused))) => {
            return Ended::Complete(refused.status().as_u16());
        }
        Ok(Err(_)) | Err(_) => return Ended::Broken,
    };
    let talk = async {
        for number in 0..10 {
            socket.send(Message::text(number.to_string())).await?;
            let _same = socket.next().await;
        }
        socket.close(None).await?;
        while socket.next().await.is_some() {}
        anyhow::Ok(())
    };
    match timeout(PATIENCE, talk).await {
        Ok(Ok(())) => Ended::Complete(response.status().as_u16()),
        Ok(Err(_)) | Err(_) => Ended::Broken,
    }
}

/// Reads the beginning of a response and leaves.
async fn leave_response(args: &Args) -> Ended {
    let Ok(mut stream) = TcpStream::connect(args.proxy).await else {
        return Ended::Unsent;
    };
    let head = head(args, "GET /big HTTP/1.1");
    if stream.write_all(head.as_bytes()).await.is_err() {
        return Ended::Broken;
    }
    let mut begun = [0; 1024];
    match timeout(
        PATIENCE,
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut begun),
    )
    .await
    {
        Ok(Ok(_)) => Ended::Left,
        // A short response, from a proxy that cannot reach the upstream.
        Ok(Err(_)) | Err(_) => Ended::Broken,
    }
}

/// Sends a head and perhaps the beginning of a body, waits until the proxy has read it, and leaves.
async fn write_and_leave(args: &Args, line: &str, body: &[u8]) -> Ended {
    let Ok(mut stream) = TcpStream::connect(args.proxy).await else {
        return Ended::Unsent;
    };
    let bytes = [head(args, line).as_bytes(), body].concat();
    if stream.write_all(&bytes).await.is_err() {
        return Ended::Broken;
    }
    sleep(BEFORE_LEAVING).await;
    Ended::Left
}

fn head(args: &Args, line: &str) -> String {
    format!(
        "{line}\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n",
        args.customer
    )
}

async fn reset(args: &Args, kept: &mut Option<Kept>) -> Ended {
    let Ok(request) = get(args, "/later").body(empty()) else {
        return Ended::Unsent;
    };
    let Ok(mut connection) = Kept::ready(kept.take(), args.proxy, Version::Http2).await else {
        return Ended::Unsent;
    };
    // The request is dropped with its stream.
    match timeout(BEFORE_LEAVING, connection.send(request)).await {
        Ok(Ok(response)) => {
            let status = response.status().as_u16();
            match timeout(PATIENCE, response.into_body().collect()).await {
                Ok(Ok(_)) => Ended::Complete(status),
                Ok(Err(_)) | Err(_) => Ended::Broken,
            }
        }
        Ok(Err(_)) => Ended::Broken,
        Err(_) => {
            *kept = Some(connection);
            Ended::Left
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than a proxy takes to read a request, shorter than the upstream takes to respond.
const BEFORE_LEAVING: Duration = Duration::from_millis(50);
