//! Worker: one thread with a runtime, listener sockets and upstream pools of its own.
//!
//! A request shares nothing with another thread but read-only snapshots, so there is no
//! lock to wait for.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::select_all;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio_rustls::TlsAcceptor;

use crate::admin::telemetry::Telemetry;
use crate::config::{GatewayLimits, ProxiesConfig};
use crate::conn::activity::{StallLimit, StallLimits};
use crate::conn::client::{Accepted, Transport};
use crate::conn::clients::{ClientConnections, Clients};
use crate::conn::connection::HttpBuilders;
use crate::conn::registry::{Connection, Connections};
use crate::core::Core;
use crate::request::route::Routes;

/// The state a worker should be in. Dropping the sender stops it at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Signal {
    Serve,
    Drain,
}

/// What one worker is started with.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) index: usize,
    pub(crate) plain: Option<StdListener>,
    pub(crate) tls: Option<(StdListener, Arc<ServerConfig>)>,
    pub(crate) limits: GatewayLimits,
    pub(crate) connections_max: usize,
    pub(crate) clients: Arc<Clients>,
    pub(crate) proxies: ProxiesConfig,
    pub(crate) routes: Arc<ArcSwap<Routes>>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) failed: FailedWorker,
}

/// Reports that a worker does not serve any more, also when it panics.
#[derive(Debug)]
pub(crate) struct FailedWorker {
    index: usize,
    failed: watch::Sender<Option<usize>>,
}

impl FailedWorker {
    pub(crate) const fn new(index: usize, failed: watch::Sender<Option<usize>>) -> Self {
        Self { index, failed }
    }

    fn report(&self) {
        self.failed.send_replace(Some(self.index));
    }
}

impl Drop for FailedWorker {
    fn drop(&mut self) {
        if thread::panicking() {
            self.report();
        }
    }
}

/// Runs a worker until it is stopped; returns how many connections it cut off.
///
/// `ready` is called once it accepts connections, or has failed to.
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
    // Does not wait for name look-ups in progress.
    runtime.shutdown_background();
    cut_off
}

async fn serve(
    plan: Plan,
    mut signal: watch::Receiver<Signal>,
    ready: impl FnOnce(io::Result<()>),
) -> usize {
    let limits = plan.limits.clone();
    let (worker, mut acceptors, failed) = match Worker::start(plan) {
        Ok(started) => started,
        Err(error) => {
            ready(Err(error));
            return 0;
        }
    };
    ready(Ok(()));
    let maintenance = spawn_local(Rc::clone(&worker).run_maintenance());
    let mut stop = pin!(signal.wait_for(|signal| *signal == Signal::Drain));
    let drain_requested = tokio::select! {
        requested = &mut stop => requested.is_ok(),
        () = one_ended(&mut acceptors) => {
            failed.report();
            stop.await.is_ok()
        }
    };
    acceptors.into_iter().for_each(|acceptor| acceptor.abort());
    if drain_requested {
        worker.connections.drain();
        tokio::select! {
            () = worker.connections.wait_idle() => {}
            () = tokio::time::sleep(limits.drain_timeout) => {}
            () = close_tunnels_after(limits.tunnel_drain_timeout, &worker.core) => {}
        }
    }
    maintenance.abort();
    worker.core.cut_off.begin();
    worker.connections.count()
}

/// Waits until one of the tasks has ended, be it by a panic.
async fn one_ended(tasks: &mut [JoinHandle<()>]) {
    match tasks {
        [] => pending().await,
        tasks => {
            let _panicked = select_all(tasks).await;
        }
    }
}

async fn close_tunnels_after(timeout: Duration, core: &Core) {
    tokio::time::sleep(timeout).await;
    core.close_tunnels();
    pending().await
}

/// What one worker accepts connections with.
#[derive(Debug)]
struct Worker {
    index: usize,
    core: Rc<Core>,
    connections: Rc<Connections>,
    connections_max: usize,
    crowd: Crowd,
    telemetry: Arc<Telemetry>,
    builders: HttpBuilders,
}

impl Worker {
    fn start(plan: Plan) -> io::Result<(Rc<Self>, Vec<JoinHandle<()>>, FailedWorker)> {
        let worker = Rc::new(Self {
            index: plan.index,
            connections: Connections::new(stall_limits(&plan.limits)),
            connections_max: plan.connections_max,
            crowd: Crowd::default(),
            builders: HttpBuilders::new(&plan.limits),
            core: Core::new(
                plan.index,
                plan.clients,
                plan.proxies,
                plan.routes,
                &plan.telemetry,
            ),
            telemetry: plan.telemetry,
        });
        let mut acceptors = Vec::new();
        if let Some(listener) = plan.plain {
            let listener = TcpListener::from_std(listener)?;
            acceptors.push(spawn_local(
                Rc::clone(&worker).accept(listener, Transport::Plaintext),
            ));
        }
        if let Some((listener, config)) = plan.tls {
            let listener = TcpListener::from_std(listener)?;
            let port = Transport::Tls(TlsAcceptor::from(config));
            acceptors.push(spawn_local(Rc::clone(&worker).accept(listener, port)));
        }
        Ok((worker, acceptors, plan.failed))
    }

    async fn accept(self: Rc<Self>, listener: TcpListener, port: Transport) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if self.connections.count() >= self.connections_max {
                        self.crowd
                            .is_met("as many client connections as there may be");
                        self.connections.make_room(self.connections_max).await;
                    }
                    let client = self.client_of(&peer);
                    if client
                        .as_ref()
                        .is_some_and(|client| !self.connections.permits(client))
                    {
                        tracing::debug!(%peer, "too many connections of one client: refused");
                        continue;
                    }
                    let connection = self.connections.open(client);
                    spawn_local(Rc::clone(&self).handle_connection(
                        stream,
                        peer,
                        connection,
                        port.clone(),
                    ));
                }
                Err(error) if affects_one_connection(&error) => {}
                Err(error) => {
                    self.crowd
                        .is_met(&format!("cannot accept connections: {error}"));
                    self.connections.close_idle(|_| true);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Counts a connection for its client; that of a trusted proxy has many or another.
    fn client_of(&self, peer: &SocketAddr) -> Option<ClientConnections> {
        let is_proxy = self.core.proxies.trusted.contain(peer.ip());
        (!is_proxy).then(|| self.core.clients.connect(peer.ip(), self.index))
    }

    async fn handle_connection(
        self: Rc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        connection: Rc<Connection>,
        port: Transport,
    ) {
        let accepted = Accepted {
            core: Rc::clone(&self.core),
            connection: Rc::clone(&connection),
            peer: peer.ip().to_canonical(),
        };
        let life = accepted.serve(stream, port, &self.builders);
        connection.run(pin!(life)).await;
    }

    /// Closes idle connections on both sides, once a second.
    async fn run_maintenance(self: Rc<Self>) {
        let mut seconds = tokio::time::interval(TICK);
        seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        // The first tick is immediate.
        seconds.tick().await;
        loop {
            seconds.tick().await;
            self.connections.tick();
            self.crowd.tick();
            self.telemetry
                .set_connections(self.index, self.connections.count());
            self.core.prune_pools();
            self.core.check_upstreams();
        }
    }
}

/// A time in which connections had to be closed for others, logged when it begins and ends.
#[derive(Debug, Default)]
struct Crowd {
    /// The seconds since it was met last, while it lasts.
    calm: Cell<Option<u32>>,
}

impl Crowd {
    fn is_met(&self, why: &str) {
        if self.calm.replace(Some(0)).is_none() {
            tracing::warn!("{why}; those that have been idle longest are closed for new ones");
        }
    }

    fn tick(&self) {
        let Some(calm) = self.calm.get() else {
            return;
        };
        let is_over = calm >= CALM_SECS;
        self.calm.set((!is_over).then_some(calm.saturating_add(1)));
        if is_over {
            tracing::info!("client connections are accepted without closing others again");
        }
    }
}

fn stall_limits(limits: &GatewayLimits) -> StallLimits {
    StallLimits {
        head: StallLimit::of(limits.idle_timeout),
        local_response: StallLimit::of(limits.local_response_timeout),
        read: StallLimit::of(limits.read_timeout),
        write: StallLimit::of(limits.write_timeout),
        tunnel: limits.tunnel_idle_timeout.into(),
        closing_tunnel: StallLimit::of(limits.tunnel_close_timeout),
    }
}

/// Other errors, such as running out of file descriptors, would repeat at once.
fn affects_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

const TICK: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long no connection had to be closed before that is logged.
const CALM_SECS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_one_listener_is_noticed() {
        let serves = || tokio::spawn(pending());
        let panics = tokio::spawn(async { panic!("as a bug would") });

        one_ended(&mut [serves(), panics]).await;
    }

    #[test]
    fn a_worker_that_panics_is_reported() {
        let (failed, reported) = watch::channel(None);
        let worker = FailedWorker::new(3, failed.clone());
        let thread = thread::spawn(move || {
            let _worker = worker;
            panic!("as a bug would");
        });

        assert!(thread.join().is_err());

        assert_eq!(*reported.borrow(), Some(3));
    }

    #[test]
    fn a_worker_that_stops_has_not_failed() {
        let (failed, reported) = watch::channel(None);

        drop(FailedWorker::new(3, failed.clone()));

        assert_eq!(*reported.borrow(), None);
    }
}
