//! An upstream that accepts no connections: nothing is sold, and nothing is taken.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use l402::SchemeName;
use socket2::{Domain, Socket, Type};
use tollway_gateway::{Price, Running};
use tollway_server::ledger::MemoryLedger;

use crate::support::client::{Answer, Body, Client, empty, full, get};
use crate::support::shop::Shop;
use crate::support::upstream::serve_on;
use crate::support::{self, any_port, upstream};

#[tokio::test]
async fn nothing_is_sold_while_the_upstream_is_known_to_be_down() {
    let shop = Shop::open().await;
    let upstream = Reserved::new();
    let running = support::start(shop.price(), upstream.address);

    let down = running.check_upstreams().await;
    let refused = ask(&running, None).await;

    assert_eq!(down.len(), 1);
    assert_eq!(down[0].service, "weather");
    assert_eq!(down[0].upstream, support::origin(upstream.address));
    assert!(down[0].error.contains("refused"), "{}", down[0].error);
    assert_eq!(refused.status, StatusCode::BAD_GATEWAY);
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(refused.header("www-authenticate"), None);
    assert!(refused.body.contains("\"reason\":\"upstream_down\""));
    assert_eq!(shop.wallet.invoices(), 0);
    let mut admin = Client::http1(running.addresses().admin.unwrap()).await;
    for (path, status) in [("/healthz", 200), ("/readyz", 503)] {
        let answer = admin.ask(get(path).body(empty()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn nothing_is_sold_once_the_upstream_has_stopped_though_nobody_has_paid_since() {
    let shop = Shop::open().await;
    let (upstream, reserve) = Reserved::pair();
    let upstream = upstream.accept_only();
    let running = support::start(shop.price(), reserve.address);
    let offered = ask(&running, None).await;
    assert_eq!(offered.status, StatusCode::PAYMENT_REQUIRED);

    drop(upstream);
    let refused = until(&running, StatusCode::BAD_GATEWAY).await;
    let sold = shop.wallet.invoices();

    assert_eq!(refused.header("retry-after"), Some("5"));
    for _ in 0..3 {
        let refused = ask(&running, None).await;
        assert_eq!(refused.status, StatusCode::BAD_GATEWAY);
    }
    assert_eq!(shop.wallet.invoices(), sold, "no invoice is made");
    let _upstream = reserve.accept_only();
    until(&running, StatusCode::PAYMENT_REQUIRED).await;
}

#[tokio::test]
async fn an_upstream_is_not_flooded_by_requests_that_are_not_paid_for() {
    let shop = Shop::open().await;
    let (opened, mut connections) = tokio::sync::mpsc::unbounded_channel();
    let address = upstream::accept(move |stream| {
        let opened = opened.clone();
        async move {
            opened.send(()).unwrap();
            drop(stream);
        }
    })
    .await;
    let running = support::start(shop.price(), address);
    let began = Instant::now();

    let asked = (0..50).map(|_| ask(&running, None));
    let answers = futures_util::future::join_all(asked).await;

    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    for answer in answers {
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    }
    let mut probes = 0;
    while connections.try_recv().is_ok() {
        probes += 1;
    }
    assert!(probes <= seconds + 1, "{probes} in {seconds} s");
}

#[tokio::test]
async fn a_grpc_call_is_unavailable_while_the_upstream_is_down() {
    let shop = Shop::open().await;
    let running = support::start(shop.price(), Reserved::new().address);
    running.check_upstreams().await;

    let call = Request::post("http://localhost/tollway.test.Echo/Unary")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let answer = Client::h2c(support::http(&running))
        .await
        .ask(call.body(empty()).unwrap())
        .await;

    assert_eq!(answer.header("grpc-status"), Some("14"));
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(answer.header("www-authenticate"), None);
}

#[tokio::test]
async fn the_first_request_after_a_recovery_is_offered_a_token() {
    let shop = Shop::open().await;
    let upstream = Reserved::new();
    let running = support::start(shop.price(), upstream.address);
    assert_eq!(running.check_upstreams().await.len(), 1);
    upstream.listen();

    let offered = ask(&running, None).await;

    assert_eq!(offered.status, StatusCode::PAYMENT_REQUIRED);
    assert!(offered.header("www-authenticate").is_some());
    assert_eq!(upstream_up(&running).await, "1");
}

#[tokio::test]
async fn a_request_that_finds_the_upstream_down_stops_the_sale_and_keeps_its_use() {
    let shop = Shop::single_use(std::sync::Arc::new(MemoryLedger::new())).await;
    let upstream = Reserved::new();
    let running = support::start(shop.price(), upstream.address);
    let token = shop.buy().await.authorization(SchemeName::L402);
    assert_eq!(upstream_up(&running).await, "1");

    let failed = ask(&running, Some(&token)).await;
    let unpaid = ask(&running, None).await;

    assert_eq!(failed.status, StatusCode::BAD_GATEWAY);
    assert_eq!(unpaid.status, StatusCode::BAD_GATEWAY);
    assert_eq!(upstream_up(&running).await, "0");
    upstream.listen();
    let served = ask(&running, Some(&token)).await;
    assert_eq!(served.status, StatusCode::OK, "the use was not taken");
    assert_eq!(upstream_up(&running).await, "1", "a response is evidence");
    let exhausted = ask(&running, Some(&token)).await;
    assert_eq!(exhausted.status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn a_token_without_uses_is_offered_no_other_while_the_upstream_is_down() {
    let shop = Shop::single_use(std::sync::Arc::new(MemoryLedger::new())).await;
    let first = Reserved::new();
    let running = support::start(shop.price(), first.address);
    let token = shop.buy().await.authorization(SchemeName::L402);
    first.listen();
    assert_eq!(ask(&running, Some(&token)).await.status, StatusCode::OK);
    let routing = support::single(shop.price(), Reserved::new().address);
    running.replace_routing(routing).unwrap();
    running.check_upstreams().await;

    let exhausted = ask(&running, Some(&token)).await;

    assert_eq!(exhausted.status, StatusCode::BAD_GATEWAY);
    assert_eq!(shop.wallet.invoices(), 1, "that of the token");
}

#[tokio::test]
async fn an_upstream_that_comes_back_is_noticed_without_a_request() {
    let upstream = Reserved::new();
    let running = support::start(Price::Free, upstream.address);
    running.check_upstreams().await;
    assert_eq!(upstream_up(&running).await, "0");

    upstream.listen();

    let began = Instant::now();
    while upstream_up(&running).await == "0" {
        assert!(began.elapsed() < Duration::from_secs(30), "still down");
        tokio::task::yield_now().await;
    }
}

async fn ask(running: &Running, token: Option<&str>) -> Answer {
    let mut request = get("/");
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    let mut client = Client::http1(support::http(running)).await;
    support::soon(client.ask(request.body(empty()).unwrap())).await
}

/// Asks until the response has this status.
async fn until(running: &Running, status: StatusCode) -> Answer {
    support::soon(async {
        loop {
            let answer = ask(running, None).await;
            if answer.status == status {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// The value of the metric.
async fn upstream_up(running: &Running) -> String {
    let mut admin = Client::http1(running.addresses().admin.unwrap()).await;
    let page = admin.ask(get("/metrics").body(empty()).unwrap()).await;
    let name = "tollway_upstream_up{service=\"weather\"} ";
    let line = page.body.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().to_owned()
}

/// A port on which nothing listens yet.
struct Reserved {
    socket: Socket,
    address: SocketAddr,
}

impl Reserved {
    fn new() -> Self {
        Self::at(any_port())
    }

    /// The same port twice: one may listen once the other has been dropped.
    fn pair() -> (Self, Self) {
        let first = Self::new();
        let second = Self::at(first.address);
        (first, second)
    }

    fn at(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&address.into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { socket, address }
    }

    /// Lets the system accept connections, and serves none.
    fn accept_only(self) -> Socket {
        self.socket.listen(128).unwrap();
        self.socket
    }

    /// Responds 200 to every request from here on.
    fn listen(self) {
        self.socket.listen(16).unwrap();
        self.socket.set_nonblocking(true).unwrap();
        serve_on(TcpListener::from(self.socket), |_request| async {
            Response::<Body>::new(full("sunny").boxed_unsync())
        });
    }
}
