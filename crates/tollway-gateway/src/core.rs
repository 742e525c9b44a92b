//! State of one worker: what its requests share.
//!
//! Used from one thread. The routes are a read-only snapshot; requests in flight keep the
//! one they began with.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::spawn_local;

use crate::admin::telemetry::{CoreStats, Telemetry};
use crate::request::admit::CutOff;
use crate::request::route::{Route, Routes};
use crate::upstream::connect::probe;
use crate::upstream::pool::Pool;

/// What the requests of one worker share.
#[derive(Debug)]
pub(crate) struct Core {
    index: usize,
    routes: Arc<ArcSwap<Routes>>,
    local: RefCell<Rc<LocalRoutes>>,
    /// The counters of requests no service matches.
    pub(crate) unrouted: Arc<CoreStats>,
    /// Begins when the worker stops.
    pub(crate) cut_off: CutOff,
    tunnels_closing: watch::Sender<bool>,
}

impl Core {
    pub(crate) fn new(
        index: usize,
        routes: Arc<ArcSwap<Routes>>,
        telemetry: &Telemetry,
    ) -> Rc<Self> {
        Rc::new(Self {
            index,
            routes,
            local: RefCell::default(),
            unrouted: telemetry.unrouted().core(index),
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

    /// Looks whether upstreams that are down accept connections again, so that metrics and log
    /// show it without any request. To be called once a second.
    pub(crate) fn probe_upstreams(&self) {
        for service in self.local_routes().snapshot.services() {
            service.health.log_change();
            if service.health.is_down() {
                let service = Arc::clone(service);
                // Ends within the time of a probe, and with the worker.
                spawn_local(async move {
                    probe(&service.target, &service.health, PROBE_GAP).await;
                });
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
