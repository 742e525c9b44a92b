//! Connections of one worker to one upstream.
//!
//! Used from one thread: no lock. HTTP/1.1 connections are kept while idle, HTTP/2
//! connections are shared by load; the number of both is bounded, and a request waits for one
//! to be free as long as for a new one. [`attempt`](super::attempt) sends requests on them.

use std::cell::{Cell, RefCell};
use std::future::{poll_fn, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::Notify;

use crate::config::UpstreamLimits;
use crate::request::kind::RequestKind;
use crate::upstream::connect::{ConnectError, Connected, connect};
use crate::upstream::h1::exchange::Connection;
use crate::upstream::h2::connection::Http2Sender;
use crate::upstream::h2::shared::{SharedConnection, StreamGuard};
use crate::upstream::idle::IdleConnections;
use crate::upstream::slots::{Slot, Slots};
use crate::upstream::target::Target;
use crate::upstream::tls::Offered;

/// The connections of one worker to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    target: Arc<Target>,
    pub(crate) limits: UpstreamLimits,
    pub(crate) idle: Rc<IdleConnections>,
    slots: Rc<Slots>,
    shared: RefCell<Vec<Rc<SharedConnection>>>,
    stream_ended: Rc<Notify>,
    /// Whether a TLS upstream chose HTTP/2 on the last connection.
    chose_http2: Cell<bool>,
}

/// What one request is sent on.
pub(crate) enum UpstreamLink {
    Http1(Box<Connection>),
    Http2(Http2Sender, StreamGuard),
}

impl Pool {
    pub(crate) fn new(target: Arc<Target>, limits: UpstreamLimits) -> Rc<Self> {
        let slots = Slots::new(limits.connections_max.get());
        Rc::new(Self {
            target,
            idle: IdleConnections::new(limits.idle_max, limits.idle_timeout, Rc::clone(&slots)),
            slots,
            limits,
            shared: RefCell::default(),
            stream_ended: Rc::default(),
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

    /// Returns a connection for a request of this kind that is idle.
    pub(crate) fn take_idle(&self, kind: RequestKind) -> Option<UpstreamLink> {
        match self.offered(kind) {
            Offered::Http2 => None,
            Offered::Either | Offered::Http1 => self.idle.take().map(UpstreamLink::Http1),
        }
    }

    /// Waits for a connection for a request of this kind: shared or new, or an idle one if there
    /// may be no other.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Busy`] when all that may be open are in use for too long.
    pub(crate) async fn link(&self, kind: RequestKind) -> Result<UpstreamLink, ConnectError> {
        if self.offered(kind) == Offered::Http2 {
            match self.share().await {
                // An upstream that chose HTTP/2 before may have been replaced by one without.
                Err(error) if error.is_handshake() && self.offered(kind) != Offered::Http2 => {}
                shared => return shared,
            }
        }
        let offered = self.offered(kind);
        let slot = match self.slot_or_idle().await? {
            Available::Idle(connection) => return Ok(UpstreamLink::Http1(connection)),
            Available::Slot(slot) => slot,
        };
        match connect(&self.target, offered, self.limits.connect_timeout).await? {
            Connected::Http1(stream) => Ok(UpstreamLink::Http1(Connection::new(stream, slot))),
            Connected::Http2(sender) => {
                self.chose_http2.set(true);
                let guard = self.register(sender.clone()).join();
                Ok(UpstreamLink::Http2(sender, guard))
            }
        }
    }

    fn offered(&self, kind: RequestKind) -> Offered {
        match kind {
            RequestKind::Http if self.chose_http2.get() => Offered::Http2,
            RequestKind::Http => Offered::Either,
            RequestKind::Grpc => Offered::Http2,
            RequestKind::WebSocket => Offered::Http1,
        }
    }

    /// Waits until there may be another HTTP/1.1 connection, or one is idle.
    async fn slot_or_idle(&self) -> Result<Available, ConnectError> {
        let available = async {
            loop {
                if let Some(slot) = self.slots.take() {
                    return Available::Slot(slot);
                }
                match self.idle.take() {
                    Some(connection) => return Available::Idle(connection),
                    None => self.slots.changed().await,
                }
            }
        };
        tokio::time::timeout(self.limits.connect_timeout, available)
            .await
            .map_err(|_| ConnectError::Busy)
    }

    /// Waits for a place on a shared connection.
    async fn share(&self) -> Result<UpstreamLink, ConnectError> {
        let joined = async {
            loop {
                match self.least_loaded() {
                    Some(shared) => {
                        if let Some(link) = self.join(&shared).await? {
                            return Ok(link);
                        }
                    }
                    None => self.stream_ended.notified().await,
                }
            }
        };
        // Opening a connection has the same limit, and another error.
        let limit = self.limits.connect_timeout.saturating_mul(2);
        tokio::time::timeout(limit, joined)
            .await
            .unwrap_or(Err(ConnectError::Busy))
    }

    /// Joins a shared connection; `None` when it takes no more requests.
    async fn join(
        &self,
        shared: &Rc<SharedConnection>,
    ) -> Result<Option<UpstreamLink>, ConnectError> {
        let guard = shared.join();
        let mut sender = match shared.sender().await {
            Ok(sender) => sender,
            Err(error) => {
                self.remove(shared);
                self.chose_http2.set(false);
                return Err(error);
            }
        };
        if poll_fn(|cx| Poll::Ready(sender.is_open(cx))).await {
            return Ok(Some(UpstreamLink::Http2(sender, guard)));
        }
        self.remove(shared);
        Ok(None)
    }

    /// The connection with the fewest streams, or a new one while all are busy and there
    /// may be more. A connection that is being opened counts; its requests wait for it.
    /// `None` when all have as many streams as they may.
    fn least_loaded(&self) -> Option<Rc<SharedConnection>> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| !connection.is_dead());
        let best = shared
            .iter()
            .filter(|connection| connection.has_room())
            .min_by_key(|connection| connection.streams())
            .cloned();
        let is_full = shared.len() >= self.limits.h2_max.get();
        match best {
            Some(best) if is_full || best.streams() < STREAMS_BEFORE_ANOTHER => Some(best),
            None if is_full => None,
            Some(_) | None => {
                let fresh = SharedConnection::new(self.open_http2(), Rc::clone(&self.stream_ended));
                shared.push(Rc::clone(&fresh));
                Some(fresh)
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
    fn register(&self, sender: Http2Sender) -> Rc<SharedConnection> {
        let fresh = SharedConnection::new(ready(Ok(sender)), Rc::clone(&self.stream_ended));
        let mut shared = self.shared.borrow_mut();
        if shared.len() < self.limits.h2_max.get() {
            shared.push(Rc::clone(&fresh));
        }
        fresh
    }

    /// Stops sharing a connection.
    fn remove(&self, dead: &Rc<SharedConnection>) {
        self.shared
            .borrow_mut()
            .retain(|connection| !Rc::ptr_eq(connection, dead));
    }
}

enum Available {
    Idle(Box<Connection>),
    Slot(Slot),
}

/// Streams on every connection before another is opened: below the usual peer limit of
/// 100, and few enough that one lost packet stalls little.
const STREAMS_BEFORE_ANOTHER: usize = 32;
