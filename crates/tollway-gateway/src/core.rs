//! State of one worker: what its requests share.
//!
//! Used from one thread. The routes are a read-only snapshot; requests in flight keep the
//! one they began with.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::admin::telemetry::{CoreStats, Telemetry};
use crate::config::Limits;
use crate::request::route::{Routes, Service};
use crate::upstream::pool::{Pool, PoolLimits};

/// What the requests of one worker share.
#[derive(Debug)]
pub(crate) struct Core {
    index: usize,
    limits: Limits,
    routes: Arc<ArcSwap<Routes>>,
    local: RefCell<Rc<LocalRoutes>>,
    /// The counters of requests no service matches.
    pub(crate) unrouted: Arc<CoreStats>,
    tunnels_closing: watch::Sender<bool>,
}

impl Core {
    pub(crate) fn new(
        index: usize,
        limits: Limits,
        routes: Arc<ArcSwap<Routes>>,
        telemetry: &Telemetry,
    ) -> Rc<Self> {
        Rc::new(Self {
            index,
            limits,
            routes,
            local: RefCell::default(),
            unrouted: telemetry.unrouted().core(index),
            tunnels_closing: watch::Sender::new(false),
        })
    }

    /// Returns the service a request is for, with this worker's connections to its upstream.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<Rc<LocalService>> {
        let routes = self.local_routes();
        routes
            .services
            .iter()
            .find(|local| local.service.matches(host, path))
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
            *local = Rc::new(LocalRoutes::of(&current, self.index, &self.limits));
        }
        Rc::clone(&local)
    }

    /// Closes all tunnels, open and to come.
    pub(crate) fn close_tunnels(&self) {
        self.tunnels_closing.send_replace(true);
    }

    /// Closes upstream connections that were idle for too long.
    pub(crate) fn prune_pools(&self) {
        for local in &self.local_routes().services {
            local.pool.prune();
        }
    }
}

/// One worker's view of the routes.
#[derive(Debug, Default)]
struct LocalRoutes {
    snapshot: Arc<Routes>,
    services: Vec<Rc<LocalService>>,
}

/// A service, with this worker's counters and connections for it.
#[derive(Debug)]
pub(crate) struct LocalService {
    pub(crate) service: Arc<Service>,
    pub(crate) stats: Arc<CoreStats>,
    pub(crate) pool: Rc<Pool>,
}

impl LocalRoutes {
    /// Creates the view of a snapshot.
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
            fresh_for: limits.upstream_fresh_for,
            h2_max: limits.upstream_h2_max.get(),
        }
    }
}
