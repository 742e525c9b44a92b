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
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
    /// Resets such a call in the middle of its messages.
    LeavesCall,
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
#[derive(Clone, Debug)]
pub(super) enum Ended {
    /// Its head was not sent.
    Unsent,
    /// With a complete response of this status.
    Complete(u16),
    /// In the middle of a response of this status.
    Cut(u16),
    /// The client left it, as it meant to.
    Left,
    /// Without a response.
    Failed,
    /// The same on a kept connection, which the proxy may have closed before it read the request,
    /// and the error.
    Lost(String),
}

/// A kept connection.
pub(super) enum Kept {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

impl Client {
    pub(super) const ALL: [Self; 12] = [
        Self::Http1,
        Self::Http2,
        Self::Grpc,
        Self::LeavesCall,
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
            Self::LeavesCall => "leaves-call",
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

    /// Sends one request with this id, and returns how it ended.
    pub(super) async fn ask(self, args: &Args, id: &str, kept: &mut Option<Kept>) -> Ended {
        let customer = Customer { args, id };
        match self {
            Self::Http1 => whole(args.proxy, kept, Version::Http1, customer.page()).await,
            Self::Http2 => whole(args.proxy, kept, Version::Http2, customer.page()).await,
            Self::Grpc => whole(args.proxy, kept, Version::Http2, customer.call()).await,
            Self::LeavesCall => leave_call(args.proxy, kept, customer.call()).await,
            Self::Uploads => whole(args.proxy, kept, Version::Http1, customer.upload()).await,
            Self::Events => {
                let request = customer.get("/events").body(empty());
                whole(args.proxy, kept, Version::Http1, request).await
            }
            Self::Unpaid => whole(args.proxy, kept, Version::Http1, unpaid(id)).await,
            Self::WebSocket => websocket(&customer).await,
            Self::LeavesResponse => leave_response(&customer).await,
            Self::LeavesEarly => write_and_leave(&customer, "GET /later HTTP/1.1", b"").await,
            Self::LeavesUpload => {
                let line = "POST /upload HTTP/1.1\r\nContent-Length: 1000";
                write_and_leave(&customer, line, b"begun").await
            }
            Self::Resets => {
                let request = customer.get("/later").body(empty());
                reset(args.proxy, kept, request).await
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Version {
    Http1,
    Http2,
}

/// A client that pays, and the id of its request.
struct Customer<'a> {
    args: &'a Args,
    id: &'a str,
}

impl Customer<'_> {
    fn get(&self, path: &str) -> request::Builder {
        Request::builder()
            .uri(format!("http://localhost{path}"))
            .header("authorization", &self.args.customer)
            .header(REQUEST_ID, self.id)
    }

    fn page(&self) -> http::Result<Request<Body>> {
        self.get("/item").body(empty())
    }

    fn upload(&self) -> http::Result<Request<Body>> {
        let chunks = stream::iter(0..16).map(|_| {
            let chunk = Bytes::from_static(&[b'u'; 64 * 1024]);
            Ok(Frame::data(chunk))
        });
        self.get("/upload")
            .method("POST")
            .body(StreamBody::new(chunks).boxed_unsync())
    }

    /// Ten messages, five milliseconds apart, which all come back.
    fn call(&self) -> http::Result<Request<Body>> {
        let messages = stream::iter(0..10).then(|_| async {
            sleep(Duration::from_millis(5)).await;
            Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x04echo")))
        });
        self.get("/grpc/echo")
            .method("POST")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(StreamBody::new(messages).boxed_unsync())
    }

    /// A head as bytes; `line` is its first line, and more where it has more.
    fn head(&self, line: &str) -> String {
        format!(
            "{line}\r\nHost: localhost\r\nX-Request-Id: {}\r\nAuthorization: {}\r\n\r\n",
            self.id, self.args.customer
        )
    }
}

fn unpaid(id: &str) -> http::Result<Request<Body>> {
    Request::builder()
        .uri("http://localhost/item")
        .header(REQUEST_ID, id)
        .body(empty())
}

fn empty() -> Body {
    Empty::new().boxed_unsync()
}

/// Sends a request and reads the whole response.
async fn whole(
    proxy: SocketAddr,
    kept: &mut Option<Kept>,
    version: Version,
    request: http::Result<Request<Body>>,
) -> Ended {
    match send(proxy, kept, version, request, PATIENCE).await {
        Ok(response) => rest(response).await,
        Err(Ended::Left) => Ended::Failed,
        Err(ended) => ended,
    }
}

/// Resets a stream before the response begins.
async fn reset(
    proxy: SocketAddr,
    kept: &mut Option<Kept>,
    request: http::Result<Request<Body>>,
) -> Ended {
    match send(proxy, kept, Version::Http2, request, BEFORE_LEAVING).await {
        Ok(response) => rest(response).await,
        Err(ended) => ended,
    }
}

/// Resets a stream once a part of the response has arrived.
async fn leave_call(
    proxy: SocketAddr,
    kept: &mut Option<Kept>,
    request: http::Result<Request<Body>>,
) -> Ended {
    let mut response = match send(proxy, kept, Version::Http2, request, PATIENCE).await {
        Ok(response) => response,
        Err(Ended::Left) => return Ended::Failed,
        Err(ended) => return ended,
    };
    let status = response.status().as_u16();
    match timeout(PATIENCE, response.body_mut().frame()).await {
        Ok(Some(Ok(_))) => Ended::Left,
        Ok(None) => Ended::Complete(status),
        Ok(Some(Err(_))) | Err(_) => Ended::Cut(status),
    }
}

/// Sends a request on the kept connection, or on a new one. Returns the response, or how the
/// request ended without one; the client leaves when there is none for too long.
async fn send(
    proxy: SocketAddr,
    kept: &mut Option<Kept>,
    version: Version,
    request: http::Result<Request<Body>>,
    patience: Duration,
) -> Result<Response<Incoming>, Ended> {
    let request = request.map_err(|_| Ended::Unsent)?;
    let usable = match kept.take() {
        Some(kept) => kept.if_usable().await,
        None => None,
    };
    let was_kept = usable.is_some();
    let mut connection = match usable {
        Some(usable) => usable,
        None => Kept::open(proxy, version)
            .await
            .map_err(|_| Ended::Unsent)?,
    };
    let sent = timeout(patience, connection.send(request)).await;
    match sent {
        Ok(Ok(response)) => {
            *kept = Some(connection);
            Ok(response)
        }
        Ok(Err(error)) if error.is_canceled() => Err(Ended::Unsent),
        Ok(Err(error)) if was_kept => {
            let error = anyhow::Error::from(error);
            Err(Ended::Lost(format!("{error:#}").replace('\n', " ")))
        }
        Ok(Err(_)) => Err(Ended::Failed),
        Err(_) => {
            *kept = Some(connection);
            Err(Ended::Left)
        }
    }
}

/// Reads the rest of a response.
async fn rest(response: Response<Incoming>) -> Ended {
    let status = response.status().as_u16();
    match timeout(PATIENCE, response.into_body().collect()).await {
        Ok(Ok(_)) => Ended::Complete(status),
        Ok(Err(_)) | Err(_) => Ended::Cut(status),
    }
}

impl Kept {
    /// Returns it unless it was closed.
    async fn if_usable(mut self) -> Option<Self> {
        let ready = match &mut self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        };
        ready.ok().map(|()| self)
    }

    async fn open(proxy: SocketAddr, version: Version) -> Result<Self> {
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

async fn websocket(customer: &Customer<'_>) -> Ended {
    let Ok(stream) = TcpStream::connect(customer.args.proxy).await else {
        return Ended::Unsent;
    };
    let Ok(mut request) = "ws://localhost/ws".into_client_request() else {
        return Ended::Unsent;
    };
    for (name, value) in [
        ("authorization", customer.args.customer.as_str()),
        (REQUEST_ID, customer.id),
    ] {
        let Ok(value) = value.parse() else {
            return Ended::Unsent;
        };
        request.headers_mut().insert(name, value);
    }
    let (mut socket, response) = match timeout(PATIENCE, client_async(request, stream)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(tungstenite::Error::Http(refused))) => {
            return Ended::Complete(refused.status().as_u16());
        }
        Ok(Err(_)) | Err(_) => return Ended::Failed,
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
    let status = response.status().as_u16();
    match timeout(PATIENCE, talk).await {
        Ok(Ok(())) => Ended::Complete(status),
        Ok(Err(_)) | Err(_) => Ended::Cut(status),
    }
}

/// Reads the beginning of a response and leaves.
async fn leave_response(customer: &Customer<'_>) -> Ended {
    let Ok(mut stream) = TcpStream::connect(customer.args.proxy).await else {
        return Ended::Unsent;
    };
    let head = customer.head("GET /big HTTP/1.1");
    if stream.write_all(head.as_bytes()).await.is_err() {
        return Ended::Failed;
    }
    match timeout(PATIENCE, stream.read(&mut [0; 1024])).await {
        Ok(Ok(1..)) => Ended::Left,
        Ok(Ok(0) | Err(_)) | Err(_) => Ended::Failed,
    }
}

/// Sends a head and perhaps the beginning of a body, waits until the proxy has read it, and leaves.
async fn write_and_leave(customer: &Customer<'_>, line: &str, body: &[u8]) -> Ended {
    let Ok(mut stream) = TcpStream::connect(customer.args.proxy).await else {
        return Ended::Unsent;
    };
    let bytes = [customer.head(line).as_bytes(), body].concat();
    if stream.write_all(&bytes).await.is_err() {
        return Ended::Failed;
    }
    sleep(BEFORE_LEAVING).await;
    Ended::Left
}

const REQUEST_ID: &str = "x-request-id";
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than a proxy takes to read a request, shorter than the upstream takes to respond.
const BEFORE_LEAVING: Duration = Duration::from_millis(50);
