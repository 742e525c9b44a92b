//! Start and stop of a gateway.
//!
//! Every error of the configuration is found before the first connection is accepted:
//! files are read, ports bound and threads started, in that order. Stopping lets requests
//! in flight finish; connections still open after the limits are cut off and counted.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use rustls::ServerConfig;
use tokio::sync::{oneshot, watch};

use crate::admin::server as admin;
use crate::admin::telemetry::Telemetry;
use crate::config::{GatewayConfig, GatewayLimits, ProxyProtocol, RoutingConfig};
use crate::conn::clients::Clients;
use crate::conn::descriptors;
use crate::conn::listener;
use crate::conn::tls::{self, TlsError};
use crate::request::route::{Routes, RoutingError};
use crate::upstream::connect::reach;
use crate::upstream::target::Upstream;
use crate::worker::{self, FailedWorker, Plan, Signal};

/// The reverse proxy. [`Gateway::start`] returns it [`Running`].
#[derive(Debug)]
pub struct Gateway;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A port cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The PROXY protocol is required of proxies, of which none is trusted.
    #[error("the PROXY protocol is read from trusted proxies only: name one")]
    NoTrustedProxies,
    /// No port is configured.
    #[error("no address to listen on: name one for `http` or `https`")]
    NothingToListenOn,
    /// An upstream is the gateway itself: requests would go in circles.
    #[error("the upstream {upstream} is this gateway's own address")]
    OwnUpstream {
        /// The upstream.
        upstream: Upstream,
    },
    /// Services or routes cannot be used.
    #[error(transparent)]
    Routing(#[from] RoutingError),
    /// A thread or its runtime did not start.
    #[error("a worker cannot start")]
    Thread(#[source] io::Error),
    /// The certificate or the key of the gateway cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Addresses of a running gateway.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Addresses {
    /// Without TLS.
    pub http: Option<SocketAddr>,
    /// With TLS.
    pub https: Option<SocketAddr>,
    /// Metrics and health.
    pub admin: Option<SocketAddr>,
}

/// An upstream that does not accept connections.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamDown {
    /// The service it belongs to.
    pub service: String,
    /// The upstream.
    pub upstream: Upstream,
    /// Why.
    pub error: String,
}

/// The number of requests that a gateway serves, also while it stops.
#[derive(Clone, Debug)]
pub struct InFlightCount(Arc<Telemetry>);

impl InFlightCount {
    /// Returns the number of requests being served at this moment, tunnels included.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.in_flight()
    }
}

/// The result of a stop.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stopped {
    /// Connections that had requests or tunnels on them when the limit was reached.
    pub connections_cut_off: usize,
    /// Workers that had panicked. Non-zero indicates a bug.
    pub workers_lost: usize,
}

/// A gateway that serves. Dropping it stops it at once; see [`stop`](Self::stop).
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    signal: watch::Sender<Signal>,
    workers: Vec<Thread>,
    admin: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    routes: Arc<ArcSwap<Routes>>,
    telemetry: Arc<Telemetry>,
    /// The worker that failed last.
    failed: watch::Sender<Option<usize>>,
}

#[derive(Debug)]
struct Thread {
    cut_off: oneshot::Receiver<usize>,
    handle: JoinHandle<()>,
}

impl Gateway {
    /// Starts the threads that serve, and returns once they accept connections.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left running or bound.
    pub fn start(config: GatewayConfig) -> Result<Running, StartError> {
        if config.http.is_none() && config.https.is_none() {
            return Err(StartError::NothingToListenOn);
        }
        if config.proxies.protocol == ProxyProtocol::Required && config.proxies.trusted.is_empty() {
            return Err(StartError::NoTrustedProxies);
        }
        let telemetry = Telemetry::new(config.workers.get());
        let routes = Routes::new(config.routing.clone(), &telemetry)?;
        let routes = Arc::new(ArcSwap::from_pointee(routes));
        let sockets = Sockets::bind(&config)?;
        let addresses = sockets.addresses;
        check_upstreams_are_others(&routes.load(), addresses)?;
        let state = admin::AdminState {
            telemetry: Arc::clone(&telemetry),
            routes: Arc::clone(&routes),
        };
        let (signal, _) = watch::channel(Signal::Serve);
        // From here on, dropping it stops what has been started.
        let mut running = Running {
            addresses,
            signal,
            workers: Vec::new(),
            admin: None,
            routes,
            telemetry,
            failed: watch::Sender::new(None),
        };
        running.start_workers(config, sockets.plain, sockets.tls)?;
        if let Some(listener) = sockets.admin {
            running.admin = Some(start_admin(listener, state)?);
        }
        Ok(running)
    }
}

impl Running {
    /// Returns the addresses bound, with the ports chosen for those given as 0.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Replaces services and routes from the next request on.
    ///
    /// Requests in flight are not affected. Connections to targets that stay the same are
    /// kept.
    ///
    /// # Errors
    ///
    /// [`RoutingError`]; services and routes stay as they were.
    pub fn replace_routing(&self, routing: RoutingConfig) -> Result<(), RoutingError> {
        let routes = Routes::new(routing, &self.telemetry)?;
        self.routes.store(Arc::new(routes));
        Ok(())
    }

    /// Opens a connection to each upstream, for at most a second, and returns those that accept
    /// none. Report them: that they are down is not logged. Until one of them does, requests for its service are not offered anything to buy.
    pub async fn check_upstreams(&self) -> Vec<UpstreamDown> {
        let routes = self.routes.load_full();
        let checks = routes.services().into_iter().map(|service| async {
            let error = match reach(&service.target).await {
                Ok(()) => {
                    service.health.mark_up();
                    return None;
                }
                Err(error) if !error.is_down() => {
                    tracing::warn!(service = service.name, %error, "an upstream cannot be checked");
                    return None;
                }
                Err(error) => error,
            };
            service.health.mark_reported_down(&error);
            Some(UpstreamDown {
                service: service.name.clone(),
                upstream: service.target.upstream.clone(),
                error: error.to_string(),
            })
        });
        let down = join_all(checks).await;
        down.into_iter().flatten().collect()
    }

    /// Returns a counter of the requests being served.
    #[must_use]
    pub fn in_flight(&self) -> InFlightCount {
        InFlightCount(Arc::clone(&self.telemetry))
    }

    /// Waits until a worker does not accept connections any more though it was not stopped:
    /// a bug. Stop the gateway then.
    pub fn failed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut failed = self.failed.subscribe();
        async move {
            // The sender ends with the gateway.
            if failed.wait_for(Option::is_some).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Makes `/readyz` 503, so that load balancers send their requests elsewhere. Everything is
    /// still served until [`stop`](Self::stop).
    pub fn announce_stop(&self) {
        self.telemetry.set_draining();
    }

    /// Stops accepting, lets requests in flight finish within the limits, and stops.
    ///
    /// Dropping the future cuts everything off.
    pub async fn stop(mut self) -> Stopped {
        self.telemetry.set_draining();
        self.signal.send_replace(Signal::Drain);
        let mut stopped = Stopped::default();
        for worker in std::mem::take(&mut self.workers) {
            match worker.cut_off.await {
                Ok(cut_off) => {
                    stopped.connections_cut_off =
                        stopped.connections_cut_off.saturating_add(cut_off);
                }
                Err(_) => stopped.workers_lost = stopped.workers_lost.saturating_add(1),
            }
            // The worker has already reported; a panic was counted above.
            let _ended = worker.handle.join();
        }
        if let Some((stop, handle)) = self.admin.take() {
            drop(stop);
            let _ended = handle.join();
        }
        stopped
    }

    fn start_workers(
        &mut self,
        config: GatewayConfig,
        plain: Vec<TcpListener>,
        tls: Vec<(TcpListener, Arc<ServerConfig>)>,
    ) -> Result<(), StartError> {
        let connections_max = fit_connections(&config);
        let share = connections_max.get().div_ceil(config.workers.get());
        let clients = clients(&config, connections_max);
        let (mut plain, mut tls) = (plain.into_iter(), tls.into_iter());
        for index in 0..config.workers.get() {
            let plan = Plan {
                index,
                plain: plain.next(),
                tls: tls.next(),
                limits: config.limits.clone(),
                connections_max: share,
                clients: Arc::clone(&clients),
                proxies: config.proxies.clone(),
                routes: Arc::clone(&self.routes),
                telemetry: Arc::clone(&self.telemetry),
                failed: FailedWorker::new(index, self.failed.clone()),
            };
            let worker = start_worker(plan, self.signal.subscribe()).map_err(StartError::Thread)?;
            self.workers.push(worker);
        }
        Ok(())
    }
}

/// Returns how many client connections there can be, with the descriptors that the system grants.
fn fit_connections(config: &GatewayConfig) -> NonZeroUsize {
    let asked = config.limits.connections_max;
    let limit = descriptors::raise_limit();
    let fit = descriptors::connections(asked, limit, config.workers);
    if fit < asked && asked != GatewayLimits::default().connections_max {
        tracing::warn!(
            connections_max = fit,
            asked,
            descriptors = limit,
            "fewer client connections than configured: raise the limit on open files (ulimit -n)"
        );
    }
    fit
}

fn clients(config: &GatewayConfig, connections_max: NonZeroUsize) -> Arc<Clients> {
    let quarter = connections_max.get().div_euclid(4);
    let usual =
        NonZeroUsize::new(quarter).map_or(OF_CLIENT_MIN, |quarter| quarter.max(OF_CLIENT_MIN));
    let limits = &config.limits;
    Clients::new(
        limits.client_connections_max.unwrap_or(usual),
        limits.client_requests_max.unwrap_or(usual),
        config.workers,
    )
}

/// Refuses an upstream that is one of the gateway's own addresses, as far as it is written as
/// an address or as `localhost`.
fn check_upstreams_are_others(routes: &Routes, addresses: Addresses) -> Result<(), StartError> {
    let own = [addresses.http, addresses.https, addresses.admin];
    for service in routes.services() {
        let upstream = &service.target.upstream;
        if own.iter().flatten().any(|own| upstream.is_at(*own)) {
            let upstream = upstream.clone();
            return Err(StartError::OwnUpstream { upstream });
        }
    }
    Ok(())
}

fn start_worker(plan: Plan, signal: watch::Receiver<Signal>) -> io::Result<Thread> {
    let (report, reported) = mpsc::sync_channel(1);
    let (done, cut_off) = oneshot::channel();
    let handle = thread::Builder::new()
        .name(format!("tollway-{}", plan.index))
        .spawn(move || {
            // The receivers are gone when the start or the stop was abandoned.
            let count = worker::run(plan, signal, |ready| drop(report.send(ready)));
            let _abandoned = done.send(count);
        })?;
    reported
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("the thread ended early")))?;
    Ok(Thread { cut_off, handle })
}

fn start_admin(
    listener: TcpListener,
    state: admin::AdminState,
) -> Result<(oneshot::Sender<()>, JoinHandle<()>), StartError> {
    let (stop, stopped) = oneshot::channel();
    let handle = thread::Builder::new()
        .name("tollway-admin".to_owned())
        .spawn(move || {
            if let Err(error) = admin::run(listener, state, stopped) {
                tracing::error!(%error, "metrics and health are not served");
            }
        })
        .map_err(StartError::Thread)?;
    Ok((stop, handle))
}

/// The sockets of all threads, bound before the first of them starts.
struct Sockets {
    addresses: Addresses,
    plain: Vec<TcpListener>,
    tls: Vec<(TcpListener, Arc<ServerConfig>)>,
    admin: Option<TcpListener>,
}

impl Sockets {
    fn bind(config: &GatewayConfig) -> Result<Self, StartError> {
        let workers = config.workers;
        let bind = |address, count| {
            listener::bind(address, count).map_err(|source| StartError::Listen { address, source })
        };
        let secret = config
            .https
            .as_ref()
            .map(|https| tls::server(&https.certificate, &https.key))
            .transpose()?;
        let plain = config
            .http
            .map(|address| bind(address, workers))
            .transpose()?;
        let tls = config
            .https
            .as_ref()
            .map(|https| bind(https.address, workers))
            .transpose()?;
        let admin = config
            .admin
            .map(|address| bind(address, NonZeroUsize::MIN))
            .transpose()?;
        let addresses = Addresses {
            http: plain.as_ref().map(|(address, _)| *address),
            https: tls.as_ref().map(|(address, _)| *address),
            admin: admin.as_ref().map(|(address, _)| *address),
        };
        let tls = tls.into_iter().flat_map(|(_, sockets)| sockets);
        Ok(Self {
            addresses,
            plain: plain.map(|(_, sockets)| sockets).unwrap_or_default(),
            tls: tls.zip(secret.iter().cycle().cloned()).collect(),
            admin: admin.and_then(|(_, sockets)| sockets.into_iter().next()),
        })
    }
}

/// Connections and requests that one client may have, if nothing else is configured.
const OF_CLIENT_MIN: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");
