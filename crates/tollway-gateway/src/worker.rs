//! What does one core do?
//!
//! A worker is a thread with a runtime, listener sockets and upstream pools of its own.
//! Nothing a request touches is shared with another thread but read-only snapshots, so
//! there is no lock to wait for and nothing to hand over.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio_rustls::TlsAcceptor;
use tollway_server::Client;

use crate::config::Limits;
use crate::connections::Connections;
use crate::exchange::{self, Visitor};
use crate::forward::Introduction;
use crate::route::{Routes, Service};
use crate::sniff::{self, Protocol};
use crate::telemetry::{CoreStats, Telemetry};
use crate::tls;
use crate::upstream::{Pool, PoolLimits};

/// What a worker is told to do. Dropping the sender stops it at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Signal {
    Serve,
    Drain,
}

/// What one worker is made of, before its thread runs.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) index: usize,
    pub(crate) plain: Option<StdListener>,
    pub(crate) tls: Option<(StdListener, Arc<ServerConfig>)>,
    pub(crate) limits: Limits,
    pub(crate) connections_max: usize,
    pub(crate) routes: Arc<ArcSwap<Routes>>,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// Runs a worker until it is told to stop; returns how many connections it cut off.
///
/// `ready` is called once it accepts connections, or cannot.
pub(crate) fn run(
    plan: Plan,
    signal: watch::Receiver<Signal>,
    ready: impl FnOnce(io::Result<()>),
) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(tokio::runtime::LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            ready(Err(error));
            return 0;
        }
    };
    let cut_off = runtime.block_on(serve(plan, signal, ready));
    // Not waiting for a name look-up somebody may still be in.
    runtime.shutdown_background();
    cut_off
}

async fn serve(
    plan: Plan,
    mut signal: watch::Receiver<Signal>,
    ready: impl FnOnce(io::Result<()>),
) -> usize {
    let limits = plan.limits.clone();
    let (tunnels_closing, _) = watch::channel(false);
    let (worker, acceptors) = match Worker::start(plan, tunnels_closing.clone()) {
        Ok(started) => started,
        Err(error) => {
            ready(Err(error));
            return 0;
        }
    };
    ready(Ok(()));
    let housekeeper = spawn_local(Rc::clone(&worker).keep_house());
    let told = signal
        .wait_for(|signal| *signal == Signal::Drain)
        .await
        .is_ok();
    acceptors.into_iter().for_each(|acceptor| acceptor.abort());
    if told {
        worker.connections.drain();
        tokio::select! {
            () = worker.connections.gone() => {}
            () = tokio::time::sleep(limits.drain_timeout) => {}
            () = close_after(limits.tunnel_drain_timeout, &tunnels_closing) => {}
        }
    }
    housekeeper.abort();
    worker.connections.count()
}

async fn close_after(patience: Duration, tunnels_closing: &watch::Sender<bool>) {
    tokio::time::sleep(patience).await;
    tunnels_closing.send_replace(true);
    std::future::pending().await
}

/// The state of one core.
#[derive(Debug)]
pub(crate) struct Worker {
    index: usize,
    limits: Limits,
    pub(crate) connections: Rc<Connections>,
    connections_max: usize,
    routes: Arc<ArcSwap<Routes>>,
    local: RefCell<Rc<LocalRoutes>>,
    telemetry: Arc<Telemetry>,
    pub(crate) unrouted: Arc<CoreStats>,
    tunnels_closing: watch::Sender<bool>,
    http1: http1::Builder,
    http2: http2::Builder<LocalExecutor>,
}

impl Worker {
    fn start(
        plan: Plan,
        tunnels_closing: watch::Sender<bool>,
    ) -> io::Result<(Rc<Self>, Vec<JoinHandle<()>>)> {
        let worker = Rc::new(Self {
            index: plan.index,
            connections: Connections::new(plan.limits.idle_timeout),
            connections_max: plan.connections_max,
            routes: plan.routes,
            local: RefCell::default(),
            unrouted: plan.telemetry.unrouted().core(plan.index),
            telemetry: plan.telemetry,
            tunnels_closing,
            http1: http1_machinery(&plan.limits),
            http2: http2_machinery(&plan.limits),
            limits: plan.limits,
        });
        let mut acceptors = Vec::new();
        if let Some(listener) = plan.plain {
            let listener = TcpListener::from_std(listener)?;
            acceptors.push(spawn_local(
                Rc::clone(&worker).accept(listener, Port::Plain),
            ));
        }
        if let Some((listener, config)) = plan.tls {
            let listener = TcpListener::from_std(listener)?;
            let port = Port::Tls(TlsAcceptor::from(config));
            acceptors.push(spawn_local(Rc::clone(&worker).accept(listener, port)));
        }
        Ok((worker, acceptors))
    }

    /// The service a request is for, with this worker's connections to its upstream.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<Rc<LocalService>> {
        let routes = self.local_routes();
        routes
            .services
            .iter()
            .find(|local| local.service.matches(host, path))
            .cloned()
    }

    pub(crate) fn tunnels_closing(&self) -> watch::Receiver<bool> {
        self.tunnels_closing.subscribe()
    }

    /// This worker's view of the current routes, renewed when they have been replaced.
    fn local_routes(&self) -> Rc<LocalRoutes> {
        let current = self.routes.load();
        let mut local = self.local.borrow_mut();
        if !Arc::ptr_eq(&current, &local.snapshot) {
            *local = Rc::new(LocalRoutes::of(&current, self.index, &self.limits));
        }
        Rc::clone(&local)
    }

    async fn accept(self: Rc<Self>, listener: TcpListener, port: Port) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // Further clients wait in the kernel's queue meanwhile.
                    self.connections.fewer_than(self.connections_max).await;
                    spawn_local(Rc::clone(&self).attend(stream, peer, port.clone()));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; waiting");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn attend(self: Rc<Self>, stream: TcpStream, peer: SocketAddr, port: Port) {
        let connection = self.connections.open();
        let visitor = Rc::new(Visitor {
            client: Client::at(peer.ip().to_canonical()),
            introduction: introduction(peer, &port),
            connection: Rc::clone(&connection),
            worker: self,
        });
        let life = async {
            match port {
                Port::Plain => visitor.speak_plainly(stream).await,
                Port::Tls(acceptor) => visitor.speak_privately(stream, acceptor).await,
            }
        };
        connection.live(life).await;
    }

    /// Once a second: lets idle connections go, on both sides.
    async fn keep_house(self: Rc<Self>) {
        let mut seconds = tokio::time::interval(TICK);
        seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        // The first tick is immediate.
        seconds.tick().await;
        loop {
            seconds.tick().await;
            self.connections.tick();
            self.telemetry
                .set_connections(self.index, self.connections.count());
            for local in &self.local_routes().services {
                local.pool.prune();
            }
        }
    }
}

impl Visitor {
    async fn speak_plainly(self: Rc<Self>, stream: TcpStream) {
        // A client that leaves before saying anything is no event.
        if let Ok((protocol, stream)) = sniff::sniff(stream).await {
            self.speak(protocol, stream).await;
        }
    }

    async fn speak_privately(self: Rc<Self>, stream: TcpStream, acceptor: TlsAcceptor) {
        match acceptor.accept(stream).await {
            Ok(stream) => {
                let chosen = stream.get_ref().1.alpn_protocol();
                let is_http2 = chosen == Some(tls::ALPN_HTTP2);
                let protocol = if is_http2 {
                    Protocol::Http2
                } else {
                    Protocol::Http1
                };
                self.speak(protocol, stream).await;
            }
            Err(error) => tracing::debug!(%error, "TLS was not agreed on"),
        }
    }

    async fn speak<S>(self: Rc<Self>, protocol: Protocol, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let visitor = Rc::clone(&self);
        let service = service_fn(move |request| {
            let visitor = Rc::clone(&visitor);
            async move { Ok::<_, Infallible>(exchange::answer(visitor, request).await) }
        });
        let stream = TokioIo::new(stream);
        let served = match protocol {
            Protocol::Http1 => {
                let machinery = self.worker.http1.serve_connection(stream, service);
                let finish = http1::UpgradeableConnection::graceful_shutdown;
                self.connection
                    .serve(machinery.with_upgrades(), finish)
                    .await
            }
            Protocol::Http2 => {
                let machinery = self.worker.http2.serve_connection(stream, service);
                let finish = http2::Connection::graceful_shutdown;
                self.connection.serve(machinery, finish).await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a client connection broke off");
        }
    }
}

#[derive(Clone)]
enum Port {
    Plain,
    Tls(TlsAcceptor),
}

/// One worker's view of the routes.
#[derive(Debug, Default)]
struct LocalRoutes {
    snapshot: Arc<Routes>,
    services: Vec<Rc<LocalService>>,
}

/// A service, with what one worker has of its own for it.
#[derive(Debug)]
pub(crate) struct LocalService {
    pub(crate) service: Arc<Service>,
    pub(crate) stats: Arc<CoreStats>,
    pub(crate) pool: Rc<Pool>,
}

impl LocalRoutes {
    /// The view of a snapshot. Requests in flight keep the view they began with.
    fn of(snapshot: &Arc<Routes>, worker: usize, limits: &Limits) -> Self {
        let services = snapshot.services.iter().map(|service| {
            Rc::new(LocalService {
                service: Arc::clone(service),
                stats: service.stats.core(worker),
                pool: Pool::new(Arc::clone(&service.target), PoolLimits::from(limits)),
            })
        });
        Self {
            services: services.collect(),
            snapshot: Arc::clone(snapshot),
        }
    }
}

impl From<&Limits> for PoolLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            connect_timeout: limits.connect_timeout,
            response_timeout: limits.response_timeout,
            idle_max: limits.upstream_idle_max,
            idle_timeout: limits.upstream_idle_timeout,
            h2_max: limits.upstream_h2_max.get(),
        }
    }
}

/// Runs the tasks of HTTP/2 connections on the worker's own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, task: F) {
        spawn_local(async move {
            task.await;
        });
    }
}

fn http1_machinery(limits: &Limits) -> http1::Builder {
    let mut machinery = http1::Builder::new();
    machinery
        // `Connections` does this for all connections with one clock.
        .header_read_timeout(None)
        .max_header_size(limits.head_max_bytes);
    machinery
}

fn http2_machinery(limits: &Limits) -> http2::Builder<LocalExecutor> {
    let mut machinery = http2::Builder::new(LocalExecutor);
    machinery
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.head_max_bytes).unwrap_or(u32::MAX));
    machinery
}

fn introduction(peer: SocketAddr, port: &Port) -> Introduction {
    let address = peer.ip().to_canonical().to_string();
    Introduction {
        // An address is always a readable header.
        address: HeaderValue::try_from(address).unwrap_or(HeaderValue::from_static("unknown")),
        scheme: HeaderValue::from_static(match port {
            Port::Plain => "http",
            Port::Tls(_) => "https",
        }),
    }
}

/// The rest, such as running out of file descriptors, will be back with the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

const TICK: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What one stream may send ahead of its upstream, and all streams of a connection together.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const STREAMS_MAX: u32 = 256;
