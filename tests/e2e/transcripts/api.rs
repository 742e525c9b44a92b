//! The API that pages sell: short texts, and two commands that stop and start it.
//!
//! | path | response |
//! |---|---|
//! | `/joke` | a joke |
//! | `/report` | a report |
//! | any other | `METHOD PATH`, and the body below |

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

#[derive(Debug)]
pub struct Api {
    control: SocketAddr,
    controller: JoinHandle<()>,
}

impl Api {
    /// Listens on a port of this machine, and for orders on another.
    pub async fn start(port: u16) -> Self {
        let orders = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = orders.local_addr().unwrap();
        let running = Server::start(port).await;
        Self {
            control,
            controller: tokio::spawn(follow(orders, port, running)),
        }
    }

    /// Where orders are taken: a connection each, `start` or `stop` on a line.
    pub const fn control(&self) -> SocketAddr {
        self.control
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

async fn follow(orders: TcpListener, port: u16, running: Server) {
    let mut running = Some(running);
    while let Ok((mut stream, _)) = orders.accept().await {
        let (read, mut write) = stream.split();
        let mut order = String::new();
        // A script that was killed sends nothing.
        let _closed = BufReader::new(read).read_line(&mut order).await;
        match order.trim() {
            "start" if running.is_none() => running = Some(Server::start(port).await),
            "stop" => running = None,
            _ => {}
        }
        let _closed = write.write_all(b"done\n").await;
    }
}

/// Ends with its connections when dropped.
struct Server(JoinHandle<()>);

impl Server {
    async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        Self(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(respond)),
                );
            }
        }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let text = match parts.uri.path() {
        "/joke" => JOKE.to_owned(),
        "/report" => REPORT.to_owned(),
        path => format!("{} {path}\n", parts.method),
    };
    // A client that goes away needs no response.
    let body = body
        .collect()
        .await
        .map_or_else(|_gone| Bytes::new(), |body| body.to_bytes());
    Ok(Response::new(Full::from([text.as_bytes(), &body].concat())))
}

const JOKE: &str = "Why is a payment channel a good listener? It waits for your turn to close.\n";
const REPORT: &str = "report: all is well\n";
