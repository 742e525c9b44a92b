//! State of one worker: what its requests share.
//!
//! Used from one thread. The routes are a read-only snapshot; requests in flight keep the
//! one they began with.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;
use tokio::sync::watch;

use crate::admin::access_log;
use crate::admin::metrics::Ended;
use crate::admin::telemetry::{CoreStats, Telemetry};
use crate::config::ProxiesConfig;
use crate::conn::clients::Clients;
use crate::request::admit::CutOff;
use crate::request::request_id::RequestIds;
use crate::request::route::{Route, Routes};
use crate::upstream::connect::probe;
use crate::upstream::pool::Pool;

/// What the requests of one worker share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) index: usize,
    pub(crate) clients: Arc<Clients>,
    pub(crate) proxies: ProxiesConfig,
    routes: Arc<ArcSwap<Routes>>,
    local: RefCell<Rc<LocalRoutes>>,
    /// The counters of requests no service matches.
    pub(crate) unrouted: Arc<CoreStats>,
    pub(crate) request_ids: RequestIds,
    /// Whether a trusted proxy without a PROXY header has been logged.
    pub(crate) has_logged_proxy: Cell<bool>,
    /// Begins when the worker stops.
    pub(crate) cut_off: CutOff,
    tunnels_closing: watch::Sender<bool>,
}

impl Core {
    pub(crate) fn new(
        index: usize,
        clients: Arc<Clients>,
        proxies: ProxiesConfig,
        routes: Arc<ArcSwap<Routes>>,
        telemetry: &Telemetry,
    ) -> Rc<Self> {
        Rc::new(Self {
            index,
            clients,
            proxies,
            routes,
            local: RefCell::default(),
            unrouted: telemetry.unrouted().core(index),
            request_ids: RequestIds::new(),
            has_logged_proxy: Cell::new(false),
            cut_off: CutOff::default(),
            tunnels_closing: watch::Sender::new(false),
        })
    }

    /// Returns the route of a request, with this worker's connections to its upstream.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<Rc<LocalRoute>> {
        let local = self.local_routes();
        let mut routes = local.routes.iter();
        routes
            .find(|local| local.route.matches(host, path))
            .cloned()
    }

    /// Counts and logs a request that could not be read as HTTP, and was responded to with `status`.
    pub(crate) fn refused_unreadable(&self, status: StatusCode, client: Option<IpAddr>) {
        self.unrouted.begun.up();
        self.unrouted.responded(status);
        self.unrouted.ended(Ended::Complete);
        access_log::unreadable(status, client);
    }

    /// Turns true when tunnels must close.
    pub(crate) fn tunnels_closing(&self) -> watch::Receiver<bool> {
        self.tunnels_closing.subscribe()
    }

    /// Returns this worker's view of the current routes, new when they have been replaced.
    fn local_routes(&self) -> Rc<LocalRoutes> {
        let current = self.routes.load();
        let mut local = self.local.borrow_mut();
        if !Arc::ptr_eq(&current, &local.snapshot) {
            *local = Rc::new(local.replaced_by(&current, self.index));
        }
        Rc::clone(&local)
    }

    /// Closes all tunnels, open and to come.
    pub(crate) fn close_tunnels(&self) {
        self.tunnels_closing.send_replace(true);
    }

    /// Ages what is known of upstreams, and probes those that are down, so that metrics and
    /// log show it without any request. To be called once a second.
    pub(crate) fn check_upstreams(&self) {
        for service in self.local_routes().snapshot.services() {
            service.health.tick();
            if service.health.is_down() {
                probe(&service.target, &service.health, PROBE_GAP);
            }
        }
    }

    /// Closes upstream connections that were idle for too long.
    pub(crate) fn prune_pools(&self) {
        for pool in &self.local_routes().pools {
            pool.prune();
        }
    }
}

/// One worker's view of the routes.
#[derive(Debug, Default)]
struct LocalRoutes {
    snapshot: Arc<Routes>,
    routes: Vec<Rc<LocalRoute>>,
    /// One for each target.
    pools: Vec<Rc<Pool>>,
}

/// A route, with this worker's counters and connections for its service.
#[derive(Debug)]
pub(crate) struct LocalRoute {
    pub(crate) route: Arc<Route>,
    pub(crate) stats: Arc<CoreStats>,
    pub(crate) pool: Rc<Pool>,
}

impl LocalRoutes {
    /// Creates the view of a new snapshot. Pools of targets in both are kept.
    fn replaced_by(&self, snapshot: &Arc<Routes>, worker: usize) -> Self {
        let mut pools: Vec<Rc<Pool>> = Vec::new();
        let routes = snapshot.routes.iter().map(|route| {
            let service = &route.service;
            let mut known = pools.iter().chain(&self.pools);
            let known = known.find(|pool| pool.serves(&service.target, &service.limits));
            let pool = known
                .cloned()
                .unwrap_or_else(|| Pool::new(Arc::clone(&service.target), service.limits.clone()));
            if !pools.iter().any(|listed| Rc::ptr_eq(listed, &pool)) {
                pools.push(Rc::clone(&pool));
            }
            Rc::new(LocalRoute {
                route: Arc::clone(route),
                stats: service.stats.core(worker),
                pool,
            })
        });
        Self {
            routes: routes.collect(),
            pools,
            snapshot: Arc::clone(snapshot),
        }
    }
}

/// Longer than for a request, which should not find that another probe has just failed.
const PROBE_GAP: Duration = Duration::from_secs(5);
