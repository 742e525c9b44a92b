//! Connections to a wallet's port.
//!
//! TLS only, with HTTP/1.1 and HTTP/2; requests marked as gRPC go to the services, all others
//! to REST. Handshakes, request heads, bodies and HTTP/2 pings have time limits.
//!
//! On stop the port closes, requests in flight may finish, and streams end. Connections that
//! are still open after a grace period are aborted.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use l402::Grpc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tracing::debug;

use super::super::grpc::services::GrpcServices;
use super::super::rest::Rest;

/// The services of a port.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    /// gRPC.
    pub(crate) calls: GrpcServices,
    /// REST.
    pub(crate) rest: Arc<Rest>,
}

/// Serves until `stopping` turns true, and returns when every connection has ended.
pub(crate) async fn run(
    listener: TcpListener,
    tls: TlsAcceptor,
    api: Api,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut warned = false;
    loop {
        if places.available_permits() == 0 && !warned {
            warned = true;
            tracing::warn!(
                limit = CONNECTIONS_MAX,
                "all connections are in use: new ones wait until one is closed"
            );
        }
        let accepted = tokio::select! {
            accepted = next(&listener, &places) => accepted,
            () = stopped(&mut stopping) => break,
        };
        // Ended connections would otherwise be kept until the very end.
        while connections.try_join_next().is_some() {}
        let Some((stream, place)) = accepted else {
            continue;
        };
        let (tls, api, stopping) = (tls.clone(), api.clone(), stopping.clone());
        connections.spawn(async move {
            connection(stream, tls, api, stopping).await;
            drop(place);
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, ended).await.is_err() {
        connections.shutdown().await;
    }
}

type Place = tokio::sync::OwnedSemaphorePermit;

/// The next connection, once there is a place for it; `None` when accepting it failed.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, Place)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _peer)) => Some((stream, place)),
        Err(error) => {
            debug!(%error, "a connection was not accepted");
            // Out of file descriptors, say: trying again at once would spin.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    api: Api,
    mut stopping: watch::Receiver<bool>,
) {
    // Responses are small and waited for.
    let _slower_without = stream.set_nodelay(true);
    let stream = match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "a TLS handshake failed"),
        Err(_elapsed) => return debug!("a TLS handshake took too long"),
    };
    let service = service_fn(move |request| {
        let api = api.clone();
        async move { Ok::<_, Infallible>(api.respond(request).await) }
    });
    let http = http();
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(error, "a connection failed");
    }
}

impl Api {
    async fn respond(self, request: Request<Incoming>) -> Response<Body> {
        if is_grpc(&request) {
            self.calls.respond(request).await
        } else {
            self.rest.respond(self.calls, request).await
        }
    }
}

/// gRPC needs HTTP/2's trailers: over HTTP/1.1 the status of a call could not be sent.
fn is_grpc(request: &Request<Incoming>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    request.version() == Version::HTTP_2
        && content_type.and_then(|value| Grpc::of(value.as_bytes())) == Some(Grpc::Native)
}

fn http() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_MAX);
    builder
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means the sender is gone, which is stopping too.
    let _gone = stopping.wait_for(|stopping| *stopping).await;
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const CONNECTIONS_MAX: usize = 512;
const GRACE: Duration = Duration::from_secs(3);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// An invoice in the path is the longest thing in a head.
const HEAD_MAX: usize = 64 * 1024;
const HEADER_LIST_MAX: u32 = 64 * 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const STREAMS_MAX: u32 = 256;
