//! Connections of one worker to one upstream.
//!
//! Used from one thread: no lock. HTTP/1.1 connections are kept while idle, HTTP/2
//! connections are shared by load. [`attempt`](super::attempt) sends requests on them.

use std::cell::{Cell, RefCell};
use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::UpstreamLimits;
use crate::request::kind::RequestKind;
use crate::upstream::connect::{ConnectError, Connected, connect};
use crate::upstream::h2::{Http2Sender, SharedConnection};
use crate::upstream::idle::IdleConnections;
use crate::upstream::target::Target;
use crate::upstream::tls::Offered;

/// The connections of one worker to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    target: Arc<Target>,
    pub(crate) limits: UpstreamLimits,
    pub(crate) idle: Rc<IdleConnections>,
    shared: RefCell<Vec<Rc<SharedConnection>>>,
    /// Whether a TLS upstream chose HTTP/2 on the last connection.
    pub(crate) chose_http2: Cell<bool>,
}

impl Pool {
    pub(crate) fn new(target: Arc<Target>, limits: UpstreamLimits) -> Rc<Self> {
        Rc::new(Self {
            target,
            idle: IdleConnections::new(limits.idle_max, limits.idle_timeout),
            limits,
            shared: RefCell::default(),
            chose_http2: Cell::new(false),
        })
    }

    /// Returns whether connections of this pool can be used for `target` within `limits`.
    pub(crate) fn serves(&self, target: &Target, limits: &UpstreamLimits) -> bool {
        *self.target == *target && self.limits == *limits
    }

    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Closes what has been idle for too long or has died. To be called once a second.
    pub(crate) fn prune(&self) {
        self.idle.prune();
        self.shared.borrow_mut().retain(|shared| !shared.is_dead());
    }

    pub(crate) fn offered(&self, kind: RequestKind) -> Offered {
        match kind {
            RequestKind::Http if self.chose_http2.get() => Offered::Http2,
            RequestKind::Http => Offered::Either,
            RequestKind::Grpc => Offered::Http2,
            RequestKind::WebSocket => Offered::Http1,
        }
    }

    /// The connection with the fewest streams, or a new one while all are busy and there
    /// may be more. A connection that is being opened counts; its requests wait for it.
    pub(crate) fn least_loaded(self: &Rc<Self>) -> Rc<SharedConnection> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| !connection.is_dead());
        let best = shared
            .iter()
            .min_by_key(|connection| connection.streams())
            .cloned();
        let is_full = shared.len() >= self.limits.h2_max.get();
        match best {
            Some(best) if is_full || best.streams() < STREAMS_BEFORE_ANOTHER => best,
            _ => {
                let fresh = SharedConnection::new(self.open_http2());
                shared.push(Rc::clone(&fresh));
                fresh
            }
        }
    }

    fn open_http2(&self) -> impl Future<Output = Result<Http2Sender, ConnectError>> + use<> {
        let target = Arc::clone(&self.target);
        let limit = self.limits.connect_timeout;
        async move {
            match connect(&target, Offered::Http2, limit).await? {
                Connected::Http2(sender) => Ok(sender),
                Connected::Http1(_) => Err(ConnectError::WrongProtocol),
            }
        }
    }

    /// Shares a new connection whose upstream chose HTTP/2. Beyond the limit it serves
    /// one request and is then dropped.
    pub(crate) fn register(&self, sender: Http2Sender) -> Rc<SharedConnection> {
        let fresh = SharedConnection::new(ready(Ok(sender)));
        let mut shared = self.shared.borrow_mut();
        if shared.len() < self.limits.h2_max.get() {
            shared.push(Rc::clone(&fresh));
        }
        fresh
    }

    /// Stops sharing a connection.
    pub(crate) fn remove(&self, dead: &Rc<SharedConnection>) {
        self.shared
            .borrow_mut()
            .retain(|connection| !Rc::ptr_eq(connection, dead));
    }
}

/// Streams on every connection before another is opened: below the usual peer limit of
/// 100, and few enough that one lost packet stalls little.
const STREAMS_BEFORE_ANOTHER: usize = 32;
