//! The API the demo sells: jokes, over plain HTTP. It knows nothing of payments.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::exit::Failure;

/// A running sample API.
#[derive(Debug)]
pub(super) struct SampleApi {
    address: SocketAddr,
    server: JoinSet<()>,
}

impl SampleApi {
    pub(super) async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(Failure::general)?;
        let address = listener.local_addr().map_err(Failure::general)?;
        let mut server = JoinSet::new();
        server.spawn(serve(listener));
        Ok(Self { address, server })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn stop(mut self) {
        self.server.shutdown().await;
    }
}

async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(async move {
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection to the sample API broke");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match request.uri().path() {
        "/joke" => (StatusCode::OK, JOKE),
        "/" => (StatusCode::OK, INDEX),
        _ => (StatusCode::NOT_FOUND, "{\"error\":\"there is /joke\"}\n"),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

const JOKE: &str =
    "{\"joke\":\"Why did the request cross the network? To get to the other 402.\"}\n";
const INDEX: &str = "{\"paths\":[\"/joke\"]}\n";
