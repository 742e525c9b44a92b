//! Paying customers while others attack, in small. `cargo xtask siege` has the large form.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tollway_gateway::{GatewayLimits, RoutingConfig, Running, ServiceConfig};

use crate::support::client::{Client, empty, get, read_until};
use crate::support::shop::Shop;
use crate::support::site::SUNNY;
use crate::support::upstream::Body;
use crate::support::{self, Identity, frames, upstream, upstream_frames};

#[tokio::test]
async fn silent_connections_do_not_keep_a_customer_out() {
    let siege = Siege::begin(few_connections()).await;

    let mut silent = Vec::new();
    for _ in 0..3 * CONNECTIONS_MAX {
        silent.push(siege.attacker().await);
    }

    // The customers' idle connections may have been closed to make room.
    siege.new_customers_are_served().await;
}

#[tokio::test]
async fn clients_that_give_no_window_do_not_keep_a_customer_out() {
    let siege = Siege::begin(few_connections()).await;

    let mut unwilling = Vec::new();
    for _ in 0..3 * CONNECTIONS_MAX {
        let mut client = siege.attacker().await;
        let mut bytes = frames::preface(&[(frames::INITIAL_WINDOW_SIZE, 0)]);
        bytes.extend(frames::get(1, "/a/../b", None));
        // Those beyond the limit may find their connection closed.
        let _closed = client.write_all(&bytes).await;
        unwilling.push(client);
    }

    // The customers' idle connections may have been closed to make room.
    siege.new_customers_are_served().await;
}

#[tokio::test]
async fn clients_that_do_not_take_their_refusals_make_room_for_a_customer() {
    let siege = Siege::begin(few_connections()).await;
    let mut unwilling = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut client = siege.attacker().await;
        let mut bytes = frames::preface(&[(frames::INITIAL_WINDOW_SIZE, 0)]);
        bytes.extend(frames::get(1, "/a/../b", None));
        client.write_all(&bytes).await.unwrap();
        let refused = async {
            while upstream_frames::read(&mut client).await.unwrap().0 != frames::HEADERS {}
        };
        support::soon(refused).await;
        unwilling.push(client);
    }

    let served = timeout(ROOM_IS_MADE_WITHIN, siege.new_customers_are_served());
    served.await.expect("customers wait for the attackers");
}

#[tokio::test]
async fn streams_that_are_not_read_stall_no_other_client() {
    let mut siege = Siege::begin(GatewayLimits::default()).await;
    let mut attacker = siege.attacker().await;
    let mut bytes = frames::preface(&[]);
    for stream in unread_streams() {
        bytes.extend(frames::call(stream, "/big", &siege.attackers));
    }

    attacker.write_all(&bytes).await.unwrap();
    siege.until_sent(2 << 20).await;

    siege.customers_are_served().await;
}

#[tokio::test]
async fn streams_from_an_upstream_with_tls_that_are_not_read_stall_no_other_client() {
    let mut siege = Siege::begin_over_tls().await;
    let mut attacker = siege.attacker().await;
    let mut bytes = frames::preface(&[]);
    for stream in unread_streams() {
        bytes.extend(frames::get(stream, "/big", Some(&siege.attackers)));
    }

    attacker.write_all(&bytes).await.unwrap();
    siege.until_sent(2 << 20).await;

    siege.customers_are_served().await;
}

#[tokio::test]
async fn responses_that_are_not_read_stall_no_other_client() {
    let mut siege = Siege::begin(GatewayLimits::default()).await;

    let mut attackers = Vec::new();
    for _ in 0..40 {
        let mut attacker = siege.attacker().await;
        let request = siege.request("GET /big");
        attacker.write_all(request.as_bytes()).await.unwrap();
        attackers.push(attacker);
    }

    siege.customers_are_served().await;
}

#[tokio::test]
async fn responses_that_are_read_byte_by_byte_delay_no_customer() {
    let mut siege = Siege::begin(GatewayLimits::default()).await;
    let request = siege.request("GET /big");
    let mut attackers = Vec::new();
    for _ in 0..40 {
        let mut attacker = siege.reluctant_attacker().await;
        attacker.write_all(request.as_bytes()).await.unwrap();
        attackers.push(attacker);
    }

    for _ in 0..3 {
        for attacker in &mut attackers {
            support::soon(attacker.read_u8()).await.unwrap();
        }
        siege.customers_are_served().await;
    }
}

#[tokio::test]
async fn responses_that_the_upstream_does_not_finish_delay_no_customer() {
    let mut siege = Siege::begin(GatewayLimits::default()).await;
    let request = siege.request("GET /stall");
    let mut attackers = Vec::new();
    for _ in 0..40 {
        let mut attacker = siege.attacker().await;
        attacker.write_all(request.as_bytes()).await.unwrap();
        support::soon(read_until(&mut attacker, "begun")).await;
        attackers.push(attacker);
    }
    let mut streams = siege.attacker().await;
    let mut bytes = frames::preface(&[]);
    for stream in unread_streams() {
        bytes.extend(frames::call(stream, "/stall", &siege.attackers));
    }
    streams.write_all(&bytes).await.unwrap();

    siege.customers_are_served().await;
}

#[tokio::test]
async fn what_arrives_byte_by_byte_delays_no_customer() {
    let mut siege = Siege::begin(GatewayLimits::default()).await;
    let upload = siege.request("POST /upload\r\nContent-Length: 1000");
    let mut attackers = Vec::new();
    for begin in ["GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", &upload] {
        for _ in 0..50 {
            let mut attacker = siege.attacker().await;
            attacker.write_all(begin.as_bytes()).await.unwrap();
            attackers.push(attacker);
        }
    }

    for _ in 0..3 {
        for attacker in &mut attackers {
            attacker.write_all(b"x").await.unwrap();
        }
        siege.customers_are_served().await;
    }
}

#[tokio::test]
async fn floods_of_frames_fail_no_customer() {
    let mut siege = Siege::begin(GatewayLimits::default()).await;
    let authorization = siege.attackers.clone();
    let resets = (1..).step_by(2).take(500).flat_map(|stream| {
        let request = frames::get(stream, "/", Some(&authorization));
        [request, frames::reset(stream)].concat()
    });
    let floods: [Vec<u8>; 4] = [
        resets.collect(),
        [frames::head_begun(1), frames::continuation(1).repeat(100)].concat(),
        frames::ping().repeat(5000),
        frames::settings(&[(frames::INITIAL_WINDOW_SIZE, 65_535)]).repeat(5000),
    ];

    for flood in floods {
        let mut attackers = Vec::new();
        for _ in 0..4 {
            let mut attacker = siege.attacker().await;
            let bytes = [frames::preface(&[]), flood.clone()].concat();
            // It ends early where the gateway has had enough.
            attackers.push(tokio::spawn(async move {
                let _disconnected = attacker.write_all(&bytes).await;
                attacker
            }));
        }
        siege.customers_are_served().await;
        for attacker in attackers {
            attacker.abort();
        }
    }
    siege.customers_are_served().await;
}

#[tokio::test]
async fn an_upstream_that_closes_kept_connections_fails_no_request() {
    let upstream = upstream::accept(|stream| async move {
        drop(three_responses(stream).await);
    });
    sixty_requests_are_served(upstream.await).await;
}

#[tokio::test]
async fn an_upstream_that_resets_kept_connections_fails_no_request() {
    let upstream = upstream::accept(|stream| async move {
        three_responses(stream).await.set_zero_linger().unwrap();
    });
    sixty_requests_are_served(upstream.await).await;
}

/// Reads four requests and responds to three.
async fn three_responses(mut stream: TcpStream) -> TcpStream {
    for _ in 0..3 {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(SUNNY).await.unwrap();
    }
    read_until(&mut stream, "\r\n\r\n").await;
    stream
}

async fn sixty_requests_are_served(upstream: SocketAddr) {
    let shop = Shop::open().await;
    let running = support::start(shop.price(), upstream);
    let authorization = shop.authorization().await;
    let mut client = Client::http1(support::http(&running)).await;

    for number in 0..60 {
        let request = get("/").header("authorization", &authorization);
        let answer = support::soon(client.ask(request.body(empty()).unwrap())).await;
        assert_eq!(answer.status, StatusCode::OK, "request {number}");
    }
}

#[tokio::test]
async fn unpaid_requests_fail_no_customer() {
    let mut siege = Siege::begin(GatewayLimits::default()).await;
    let address = support::http(&siege.running);

    let attackers: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Client::http1(address).await;
                for _ in 0..250 {
                    let answer = client.ask(get("/").body(empty()).unwrap()).await;
                    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
                }
            })
        })
        .collect();
    siege.customers_are_served().await;
    for attacker in attackers {
        support::soon(attacker).await.unwrap();
    }
    siege.customers_are_served().await;
}

/// A gateway with customers who have paid: each on a connection that they keep, and on a new one.
struct Siege {
    running: Running,
    authorization: String,
    /// The attackers have paid too, for a token of their own.
    attackers: String,
    kept: [Client; 2],
    /// The bytes that the upstream has sent of large pages.
    sent: Sent,
    _identity: Identity,
}

type Sent = Arc<AtomicUsize>;

impl Siege {
    /// Begins one with an upstream without TLS: HTTP/2 for gRPC calls, and HTTP/1.1.
    async fn begin(limits: GatewayLimits) -> Self {
        let (sent, identity) = (Sent::default(), Identity::new());
        let service = support::service(pages(&sent).await);
        Self::with(service, limits, sent, identity).await
    }

    /// Begins one with an upstream with TLS: HTTP/2.
    async fn begin_over_tls() -> Self {
        let (sent, identity) = (Sent::default(), Identity::new());
        let port = pages_over_tls(&identity, &sent).await.port();
        let mut service = support::service(support::dead_port());
        service.upstream = format!("https://localhost:{port}").parse().unwrap();
        service.upstream_authorities = Some(identity.certificate());
        Self::with(service, GatewayLimits::default(), sent, identity).await
    }

    async fn with(
        service: ServiceConfig,
        limits: GatewayLimits,
        sent: Sent,
        identity: Identity,
    ) -> Self {
        let shop = Shop::open().await;
        let running = support::start_with(RoutingConfig::single(service, shop.price()), limits);
        let address = support::http(&running);
        let mut siege = Self {
            kept: [Client::http1(address).await, Client::h2c(address).await],
            authorization: shop.authorization().await,
            attackers: shop.authorization().await,
            running,
            sent,
            _identity: identity,
        };
        siege.customers_are_served().await;
        siege
    }

    async fn attacker(&self) -> TcpStream {
        TcpStream::connect(support::http(&self.running))
            .await
            .unwrap()
    }

    /// An attacker for whom the kernel keeps little.
    async fn reluctant_attacker(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address = support::http(&self.running);
        socket.connect(address).await.unwrap()
    }

    /// Waits until the upstream has sent so many bytes of large pages.
    async fn until_sent(&self, bytes: usize) {
        support::soon(async {
            while self.sent.load(Ordering::Relaxed) < bytes {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// An attacker's request over HTTP/1.1, up to its body; more lines may follow `line`.
    fn request(&self, line: &str) -> String {
        let (first, more) = line.split_once("\r\n").unwrap_or((line, "X-More: none"));
        format!(
            "{first} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n{more}\r\n\r\n",
            self.attackers
        )
    }

    async fn customers_are_served(&mut self) {
        for kept in &mut self.kept {
            served(kept, get("/"), &self.authorization).await;
        }
        let call = Request::post("http://localhost/").header("content-type", "application/grpc");
        served(&mut self.kept[1], call, &self.authorization).await;
        self.new_customers_are_served().await;
    }

    async fn new_customers_are_served(&self) {
        let address = support::http(&self.running);
        for _ in 0..3 {
            let mut customer = Client::http1(address).await;
            served(&mut customer, get("/"), &self.authorization).await;
        }
    }
}

async fn served(client: &mut Client, request: http::request::Builder, authorization: &str) {
    let request = request.header("authorization", authorization);
    let answer = timeout(PATIENCE, client.ask(request.body(empty()).unwrap()));
    let answer = answer.await.expect("a customer waits");
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, "sunny");
}

/// Starts an upstream that speaks HTTP/1.1 and HTTP/2 on one port.
async fn pages(sent: &Sent) -> SocketAddr {
    let sent = Arc::clone(sent);
    upstream::accept(move |stream| {
        let sent = Arc::clone(&sent);
        async move {
            let mut begun = [0; 3];
            while stream
                .peek(&mut begun)
                .await
                .is_ok_and(|read| (1..3).contains(&read))
            {
                tokio::task::yield_now().await;
            }
            if begun == *b"PRI" {
                serve_http2(stream, sent).await;
                return;
            }
            let service = service_fn(move |request| respond(request, Arc::clone(&sent)));
            // A gateway that gives up is what some of the attacks are about.
            let _ended = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await
}

/// Starts an upstream that speaks HTTP/2 with TLS.
async fn pages_over_tls(identity: &Identity, sent: &Sent) -> SocketAddr {
    let acceptor = identity.acceptor(&["h2"]);
    let sent = Arc::clone(sent);
    upstream::accept(move |stream| {
        let (acceptor, sent) = (acceptor.clone(), Arc::clone(&sent));
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve_http2(stream, sent).await;
            }
        }
    })
    .await
}

async fn serve_http2<S>(stream: S, sent: Sent)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| respond(request, Arc::clone(&sent)));
    // A gateway that gives up is what some of the attacks are about.
    let _ended = http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(request: Request<Incoming>, sent: Sent) -> Result<Response<Body>, Infallible> {
    Ok(match request.uri().path() {
        "/big" => large(sent),
        "/stall" => {
            let begun = Ok(Frame::data(Bytes::from_static(b"begun")));
            let frames = tokio_stream::once(begun).chain(tokio_stream::pending());
            Response::new(StreamBody::new(frames).boxed_unsync())
        }
        "/upload" => {
            let _received = request.into_body().collect().await;
            Response::new(Full::default().boxed_unsync())
        }
        _ => Response::new(Full::from("sunny").boxed_unsync()),
    })
}

/// Responds with far more than the windows on the way hold.
fn large(sent: Sent) -> Response<Body> {
    let frames = std::iter::repeat_with(move || {
        sent.fetch_add(CHUNK.len(), Ordering::Relaxed);
        Ok(Frame::data(Bytes::from_static(CHUNK)))
    });
    Response::new(StreamBody::new(tokio_stream::iter(frames.take(CHUNKS))).boxed_unsync())
}

/// Fewer than make the gateway open another connection to the upstream.
fn unread_streams() -> impl Iterator<Item = u32> {
    (1..).step_by(2).take(24)
}

fn few_connections() -> GatewayLimits {
    GatewayLimits {
        connections_max: NonZeroUsize::new(CONNECTIONS_MAX).unwrap(),
        ..GatewayLimits::default()
    }
}

const CONNECTIONS_MAX: usize = 16;
/// How long a customer waits: far more than a request takes, far less than the attacks last.
const PATIENCE: Duration = Duration::from_secs(15);
/// Half as long as a refusal that is not taken is kept.
const ROOM_IS_MADE_WITHIN: Duration = Duration::from_secs(5);
const CHUNK: &[u8] = &[b'x'; 64 * 1024];
const CHUNKS: usize = 128;
