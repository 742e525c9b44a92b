//! Counters: every request that begins is responded to or aborted, and ends.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tollway_gateway::{GatewayLimits, Price, RouteConfig, RoutingConfig, Running, ServiceConfig};

use crate::support::client::{Body, Client, empty, full, get, read_to_close, read_until, shout};
use crate::support::site::{SUNNY, held, sends};
use crate::support::upstream::{self, Upstream};
use crate::support::{self, dead_port, http, origin};

#[tokio::test]
async fn every_request_is_responded_to_or_aborted_and_ends() {
    let sunny = Upstream::sunny().await;
    let (silent, mut arrivals) = held().await;
    let cut = sends(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsun").await;
    let running = site(&[
        ("ok", sunny.address),
        ("silent", silent),
        ("cut", cut),
        ("down", dead_port()),
        ("tunnel", tunnels().await),
        ("endless", endless().await),
    ]);
    let address = http(&running);

    let mut http2 = complete(address).await;
    fail(&mut http2).await;
    abort(address, &mut http2, &mut arrivals).await;
    open_tunnel(address).await;
    send_unreadable(address).await;

    let page = settled(&running, 16).await;

    assert_eq!(page.begun(), page.responded() + page.aborted());
    assert_eq!(page.responded(), page.ended());
    for (line, count) in [
        ("tollway_requests_total{service=\"ok\",status=\"2xx\"}", 7),
        (
            "tollway_responses_ended_total{service=\"ok\",ended=\"complete\"}",
            7,
        ),
        (
            "tollway_requests_aborted_total{service=\"silent\",ended=\"client_left\"}",
            2,
        ),
        (
            "tollway_responses_ended_total{service=\"cut\",ended=\"upstream_failed\"}",
            1,
        ),
        (
            "tollway_responses_ended_total{service=\"endless\",ended=\"client_left\"}",
            1,
        ),
        (
            "tollway_requests_total{service=\"tunnel\",status=\"1xx\"}",
            1,
        ),
        (
            "tollway_responses_ended_total{service=\"tunnel\",ended=\"complete\"}",
            1,
        ),
        ("tollway_requests_total{service=\"down\",status=\"5xx\"}", 1),
        // No route, and two that could not be read.
        (
            "tollway_requests_total{service=\"(none)\",status=\"4xx\"}",
            3,
        ),
    ] {
        assert_eq!(page.value(line), count, "{line}\n{}", page.text);
    }
}

#[tokio::test]
async fn a_call_an_upload_and_a_request_that_is_sent_again_count_once() {
    let (arrive, mut arrivals) = mpsc::unbounded_channel();
    let running = site(&[
        ("calls", calls(arrive.clone()).await),
        ("uploads", uploads(arrive).await),
        ("restarts", restarts().await),
    ]);
    let address = http(&running);

    let mut http2 = Client::h2c(address).await;
    echo_and_leave(&mut http2).await;
    fail_in_a_call(&mut http2).await;
    abort_a_call(&mut http2, &mut arrivals).await;
    upload_and_leave(address, &mut arrivals).await;
    let mut http1 = Client::http1(address).await;
    for _ in 0..4 {
        let answer = http1.ask(get("/restarts").body(empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK);
    }

    let page = settled(&running, 10).await;

    assert_eq!(page.begun(), page.responded() + page.aborted());
    assert_eq!(page.responded(), page.ended());
    for (line, count) in [
        (
            "tollway_requests_total{service=\"calls\",status=\"2xx\"}",
            3,
        ),
        (
            "tollway_responses_ended_total{service=\"calls\",ended=\"complete\"}",
            1,
        ),
        (
            "tollway_responses_ended_total{service=\"calls\",ended=\"client_left\"}",
            1,
        ),
        (
            "tollway_responses_ended_total{service=\"calls\",ended=\"upstream_failed\"}",
            1,
        ),
        (
            "tollway_requests_aborted_total{service=\"calls\",ended=\"client_left\"}",
            1,
        ),
        (
            "tollway_requests_total{service=\"uploads\",status=\"2xx\"}",
            1,
        ),
        // The upload that is not whole.
        (
            "tollway_requests_total{service=\"uploads\",status=\"4xx\"}",
            1,
        ),
        (
            "tollway_responses_ended_total{service=\"restarts\",ended=\"complete\"}",
            4,
        ),
    ] {
        assert_eq!(page.value(line), count, "{line}\n{}", page.text);
    }
}

/// Two streams of messages, of which one is read to its end and one is reset.
async fn echo_and_leave(http2: &mut Client) {
    for ends in [true, false] {
        let (speak, messages) = messages();
        let response = support::soon(http2.send(call("echo", messages))).await;
        let mut body = response.into_body();
        for _ in 0..3 {
            speak.send(MESSAGE).unwrap();
            let echoed = support::soon(body.frame()).await.unwrap().unwrap();
            assert_eq!(echoed.into_data().unwrap(), MESSAGE);
        }
        if ends {
            drop(speak);
            let rest = support::soon(body.collect()).await.unwrap();
            assert_eq!(rest.trailers().unwrap()["grpc-status"], "0");
        }
    }
}

/// A stream that the upstream resets.
async fn fail_in_a_call(http2: &mut Client) {
    let (speak, messages) = messages();
    let response = support::soon(http2.send(call("fail", messages))).await;
    speak.send(MESSAGE).unwrap();
    assert!(support::soon(response.into_body().collect()).await.is_err());
}

/// A stream that is reset before there is a response.
async fn abort_a_call(http2: &mut Client, arrivals: &mut UnboundedReceiver<()>) {
    let mut client = http2.another();
    let waiting = tokio::spawn(async move {
        drop(client.try_send(call("silent", empty())).await);
    });
    support::soon(arrivals.recv()).await.unwrap();
    waiting.abort();
}

/// An upload that ends, and one whose client resets its connection.
async fn upload_and_leave(address: SocketAddr, arrivals: &mut UnboundedReceiver<()>) {
    let upload = Request::post("http://localhost/uploads").body(full("whole"));
    let answer = Client::http1(address).await.ask(upload.unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
    support::soon(arrivals.recv()).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let begun = b"POST /uploads HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nbegun";
    stream.write_all(begun).await.unwrap();
    support::soon(arrivals.recv()).await.unwrap();
    stream.set_zero_linger().unwrap();
}

/// A gRPC call to the upstream of that name.
fn call(method: &str, messages: Body) -> Request<Body> {
    Request::post(format!("http://localhost/calls/{method}"))
        .header("content-type", "application/grpc")
        .body(messages)
        .unwrap()
}

/// A body of messages as they are spoken.
fn messages() -> (UnboundedSender<Bytes>, Body) {
    let (speak, spoken) = mpsc::unbounded_channel();
    let frames = tokio_stream::StreamExt::map(UnboundedReceiverStream::new(spoken), |message| {
        Ok::<_, Infallible>(Frame::data(message))
    });
    (speak, StreamBody::new(frames).boxed_unsync())
}

/// Seven that are complete, and one that has no route. Returns a connection.
async fn complete(address: SocketAddr) -> Client {
    let (mut http1, mut http2) = (Client::http1(address).await, Client::h2c(address).await);
    for _ in 0..3 {
        for client in [&mut http1, &mut http2] {
            let answer = client.ask(get("/ok").body(empty()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::OK);
        }
    }
    let head = Request::head("http://localhost/ok").body(empty()).unwrap();
    assert_eq!(http1.ask(head).await.status, StatusCode::OK);
    let lost = http1.ask(get("/lost").body(empty()).unwrap()).await;
    assert_eq!(lost.status, StatusCode::NOT_FOUND);
    http2
}

/// One without an upstream, and one with half a response.
async fn fail(http2: &mut Client) {
    let down = http2.ask(get("/down").body(full("body")).unwrap()).await;
    assert_eq!(down.status, StatusCode::BAD_GATEWAY);
    let half = http2.send(get("/cut").body(empty()).unwrap()).await;
    assert!(half.into_body().collect().await.is_err());
}

/// A reset connection and a reset stream before the head of a response, and one in its body.
async fn abort(
    address: SocketAddr,
    http2: &mut Client,
    arrivals: &mut UnboundedReceiver<oneshot::Sender<&'static [u8]>>,
) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let _never = support::soon(arrivals.recv()).await.unwrap();
    stream.set_zero_linger().unwrap();
    drop(stream);
    let mut client = http2.another();
    let waiting = tokio::spawn(async move {
        let request = get("/silent").body(empty()).unwrap();
        drop(client.try_send(request).await);
    });
    let _never = support::soon(arrivals.recv()).await.unwrap();
    waiting.abort();
    let mut body = http2.send(get("/endless").body(empty()).unwrap()).await;
    support::soon(body.frame()).await.unwrap().unwrap();
}

async fn open_tunnel(address: SocketAddr) {
    let mut tunnel = TcpStream::connect(address).await.unwrap();
    let opening =
        b"GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    tunnel.write_all(opening).await.unwrap();
    support::soon(read_until(&mut tunnel, "hello")).await;
    tunnel.write_all(b"bye").await.unwrap();
    assert_eq!(support::soon(read_to_close(tunnel)).await, "");
}

/// Two that hyper refuses.
async fn send_unreadable(address: SocketAddr) {
    let unreadable = support::soon(shout(address, "GET / HTTP/1.1\r\nno colon\r\n\r\n")).await;
    assert!(unreadable.contains(" 400 "), "{unreadable}");
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(64 * 1024));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _reset = stream.write_all(long.as_bytes()).await;
    let _reset_or_431 = support::soon(stream.read(&mut [0; 1024])).await;
}

/// Free services, each below a path of its name.
fn site(services: &[(&str, SocketAddr)]) -> Running {
    let routing = RoutingConfig {
        services: services
            .iter()
            .map(|(name, address)| ServiceConfig::new(*name, origin(*address)))
            .collect(),
        routes: services
            .iter()
            .map(|(name, _)| RouteConfig {
                path_prefix: format!("/{name}"),
                ..RouteConfig::new(*name, Price::Free)
            })
            .collect(),
    };
    support::start_with(routing, GatewayLimits::default())
}

/// An upstream that switches protocols, greets, reads three bytes and closes.
async fn tunnels() -> SocketAddr {
    upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello";
        stream.write_all(switched).await.unwrap();
        read_until(&mut stream, "bye").await;
    })
    .await
}

/// An upstream whose response begins and does not end.
async fn endless() -> SocketAddr {
    upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsun";
        stream.write_all(begun).await.unwrap();
        drop(read_to_close(stream).await);
    })
    .await
}

/// An upstream of calls: one that echoes, one that fails after a message, and one that is silent.
async fn calls(arrive: UnboundedSender<()>) -> SocketAddr {
    upstream::accept(move |stream| {
        let arrive = arrive.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(take_call(request, respond, arrive.clone()));
            }
        }
    })
    .await
}

async fn take_call(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    arrive: UnboundedSender<()>,
) {
    let (head, mut messages) = request.into_parts();
    if head.uri.path() == "/calls/silent" {
        arrive.send(()).unwrap();
        // Until it is reset.
        return std::future::poll_fn(|cx| respond.poll_reset(cx).map(drop)).await;
    }
    let mut replies = respond.send_response(Response::default(), false).unwrap();
    while let Some(Ok(message)) = messages.data().await {
        replies.send_data(message, false).unwrap();
        if head.uri.path() == "/calls/fail" {
            return replies.send_reset(Reason::INTERNAL_ERROR);
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    // The client may have left.
    let _reset = replies.send_trailers(trailers);
}

/// An upstream that reports when an upload has begun to arrive, and responds at its end.
async fn uploads(arrive: UnboundedSender<()>) -> SocketAddr {
    upstream::serve(move |mut request| {
        let arrive = arrive.clone();
        async move {
            let _begun = request.body_mut().frame().await;
            arrive.send(()).unwrap();
            let _rest = request.into_body().collect().await;
            Response::new(Full::default().boxed_unsync())
        }
    })
    .await
}

/// An upstream that closes each connection with the second request on it.
async fn restarts() -> SocketAddr {
    upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(SUNNY).await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
    })
    .await
}

/// The metrics once as many requests have begun, and none is in flight.
async fn settled(running: &Running, begun: u64) -> Page {
    let mut admin = Client::http1(running.addresses().admin.unwrap()).await;
    support::soon(async {
        loop {
            let page = Page::read(&mut admin).await;
            if page.begun() == begun && page.sum("tollway_requests_in_flight{") == 0 {
                // A request may have ended while this page was written.
                return Page::read(&mut admin).await;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

const MESSAGE: Bytes = Bytes::from_static(b"\0\0\0\0\x04echo");

struct Page {
    text: String,
}

impl Page {
    async fn read(admin: &mut Client) -> Self {
        let text = admin.ask(get("/metrics").body(empty()).unwrap()).await.body;
        Self { text }
    }

    fn begun(&self) -> u64 {
        self.sum("tollway_requests_begun_total{")
    }

    fn responded(&self) -> u64 {
        self.sum("tollway_requests_total{")
    }

    fn aborted(&self) -> u64 {
        self.sum("tollway_requests_aborted_total{")
    }

    fn ended(&self) -> u64 {
        self.sum("tollway_responses_ended_total{")
    }

    fn value(&self, line: &str) -> u64 {
        self.sum(line)
    }

    /// The sum of all lines that begin so.
    fn sum(&self, beginning: &str) -> u64 {
        let lines = self.text.lines();
        let lines = lines.filter(|line| line.starts_with(beginning));
        let values = lines.map(|line| line.rsplit_once(' ').unwrap().1);
        values.map(|value| value.parse::<u64>().unwrap()).sum()
    }
}
