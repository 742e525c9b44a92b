//! A gateway that has sold one use, and whether that use is left.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tollway_gateway::{GatewayLimits, RoutingConfig, Running, Stopped};
use tollway_server::ledger::MemoryLedger;

use super::client::{Answer, Body, Client, empty, get, read_to_close, read_until};
use super::shop::Shop;
use super::upstream::{self, Upstream};

/// A gateway that sold one use of a token.
pub(crate) struct Site {
    pub(crate) shop: Shop,
    pub(crate) running: Running,
    /// The token, as an `Authorization` line.
    pub(crate) line: String,
}

impl Site {
    pub(crate) async fn open(upstream: SocketAddr) -> Self {
        let shop = Shop::single_use(Arc::new(MemoryLedger::new())).await;
        let routing = super::single(shop.price(), upstream);
        Self::with(shop, routing).await
    }

    pub(crate) async fn with(shop: Shop, routing: RoutingConfig) -> Self {
        Self::limited(shop, routing, GatewayLimits::default()).await
    }

    pub(crate) async fn limited(shop: Shop, routing: RoutingConfig, limits: GatewayLimits) -> Self {
        Self {
            line: shop.authorization().await,
            running: super::start_with(routing, limits),
            shop,
        }
    }

    /// Stops the gateway, and starts another that sells the same.
    pub(crate) async fn restart(self) -> (Stopped, Self) {
        let Self {
            shop,
            running,
            line,
        } = self;
        let stopped = super::soon(running.stop()).await;
        let running = super::start_with(super::nothing(), GatewayLimits::default());
        let restarted = Self {
            shop,
            running,
            line,
        };
        (stopped, restarted)
    }

    pub(crate) fn paid(&self) -> Request<Body> {
        let request = get("/").header("authorization", &self.line);
        request.body(empty()).unwrap()
    }

    /// Shows the token once.
    pub(crate) async fn show(&self) -> Answer {
        let mut client = Client::http1(super::http(&self.running)).await;
        super::soon(client.ask(self.paid())).await
    }

    /// Shows the token on a connection that is not read.
    pub(crate) async fn show_and_wait(&self) -> TcpStream {
        let mut stream = TcpStream::connect(super::http(&self.running))
            .await
            .unwrap();
        let request = self.raw("GET / HTTP/1.1\r\n", "");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// A request that presents the token, as bytes: its first lines, and what follows the head.
    pub(crate) fn raw(&self, lines: &str, rest: &str) -> String {
        format!(
            "{lines}Host: a\r\nAuthorization: {}\r\n\r\n{rest}",
            self.line
        )
    }

    pub(crate) async fn use_is_left(&self) {
        assert_eq!(self.at_last().await.status, StatusCode::OK);
        self.use_is_taken().await;
    }

    pub(crate) async fn use_is_taken(&self) {
        assert_eq!(self.at_last().await.status, StatusCode::PAYMENT_REQUIRED);
    }

    /// The response of a reliable upstream, once the request before has been settled.
    async fn at_last(&self) -> Answer {
        let reliable = Upstream::sunny().await;
        let routing = super::single(self.shop.price(), reliable.address);
        self.running.replace_routing(routing).unwrap();
        loop {
            let answer = self.show().await;
            if answer.header("l402-reason") != Some("token_in_use") {
                return answer;
            }
        }
    }
}

/// An upstream that reads a request and reports it, and sends what it is given then.
pub(crate) async fn held() -> (
    SocketAddr,
    mpsc::UnboundedReceiver<oneshot::Sender<&'static [u8]>>,
) {
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let address = upstream::accept(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            read_until(&mut stream, "\r\n\r\n").await;
            let (respond, response) = oneshot::channel::<&'static [u8]>();
            arrived.send(respond).unwrap();
            // Dropped: nothing is sent, and the gateway closes.
            match response.await {
                Ok(bytes) => stream.write_all(bytes).await.unwrap(),
                Err(_) => drop(read_to_close(stream).await),
            }
        }
    })
    .await;
    (address, arrivals)
}

/// An upstream that reads a request, sends `bytes` and closes.
pub(crate) async fn sends(bytes: &'static [u8]) -> SocketAddr {
    upstream::accept(move |mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(bytes).await.unwrap();
    })
    .await
}

/// A whole response.
pub(crate) const SUNNY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsunny";
