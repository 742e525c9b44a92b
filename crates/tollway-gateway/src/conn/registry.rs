//! Registry of the open client connections of one worker.
//!
//! Progress keeps a connection open, not that it has a request. One clock, which ticks once a
//! second for all connections, ends what makes none: a request head that is not complete in
//! time (an idle connection, a slow handshake, a client that drips its headers), and a request
//! of which nothing moved within its limit. Of an HTTP/2 connection only the
//! stream ends. Bytes on the socket that belong to no request (PING, SETTINGS) are no progress.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use crate::conn::activity::{Activities, Activity, Clock, StallLimits};
use crate::conn::clients::{ClientConnections, Origin};
use crate::conn::tcp::Link;

/// The open connections of one worker.
#[derive(Debug)]
pub(crate) struct Connections {
    open: RefCell<HashMap<u64, Weak<Connection>>>,
    next_id: Cell<u64>,
    clock: Rc<Clock>,
    limits: StallLimits,
    draining: Cell<bool>,
    changed: Notify,
}

impl Connections {
    pub(crate) fn new(limits: StallLimits) -> Rc<Self> {
        Rc::new(Self {
            open: RefCell::default(),
            next_id: Cell::new(0),
            clock: Rc::default(),
            limits,
            draining: Cell::new(false),
            changed: Notify::new(),
        })
    }

    /// Returns whether a client may have the connection that was counted for it. One that has
    /// too many loses idle ones for it.
    pub(crate) fn permits(&self, client: &ClientConnections) -> bool {
        !client.is_excess() || self.close_idle_of(client.origin())
    }

    /// Registers a connection, until its last reference is dropped. `client` is `None` for that
    /// of a proxy, which belongs to no client.
    pub(crate) fn open(self: &Rc<Self>, client: Option<ClientConnections>) -> Rc<Connection> {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        let connection = Rc::new(Connection {
            id,
            registry: Rc::clone(self),
            client: client.map_or_else(OnceCell::new, OnceCell::from),
            requests: Activities::default(),
            idle_since: Cell::new(self.clock.now()),
            link: Link::default(),
            is_last: Cell::new(false),
            has_served: Cell::new(false),
            sent_before: Cell::new(0),
            stalled: Cell::new(false),
            serving: Cell::new(None),
            phase: Cell::new(if self.draining.get() {
                Phase::Draining
            } else {
                Phase::Open
            }),
            draining_since: Cell::new(self.clock.now()),
            waker: RefCell::default(),
        });
        self.open
            .borrow_mut()
            .insert(id, Rc::downgrade(&connection));
        connection
    }

    /// Advances the clock by one second.
    pub(crate) fn tick(&self) {
        let now = self.clock.tick();
        for connection in self.snapshot() {
            connection.check(now, self.limits);
        }
    }

    /// Lets requests in flight finish; no other request begins.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        for connection in self.snapshot() {
            connection.set_phase(Phase::Draining);
        }
    }

    /// Waits until fewer than `max` are open; closes those that have been idle longest for it.
    ///
    /// Those that were in use within this second are left alone until the next: a request may be
    /// on its way. Only where many have not sent one yet, the oldest of these are closed at once.
    pub(crate) async fn make_room(&self, max: usize) {
        let begun = self.clock.now();
        while self.count() >= max {
            let changed = self.changed.notified();
            let mut idle = self.idle(|_| true);
            if self.clock.now() == begun {
                let is_unused = |connection: &Idle| !connection.has_served;
                let unused = idle.iter().filter(|one| is_unused(one)).count();
                let are_many = unused.saturating_mul(UNUSED_MANY_DIVISOR) >= max;
                idle.retain(|one| one.since != begun || are_many && is_unused(one));
            }
            close_longest_idle(idle);
            // Another may become idle without one ending.
            let _again = tokio::time::timeout(ROOM_SOUGHT_EVERY, changed).await;
        }
    }

    /// Closes connections of one client. Returns whether it has idle ones.
    fn close_idle_of(&self, origin: Origin) -> bool {
        self.close_idle(|client| client.is_some_and(|client| client.origin() == origin))
    }

    /// Closes the connections that have been idle longest: more than one, since to find them is
    /// to look at all. Returns whether there are any.
    pub(crate) fn close_idle(&self, is_meant: impl Fn(Option<&ClientConnections>) -> bool) -> bool {
        close_longest_idle(self.idle(is_meant))
    }

    fn idle(&self, is_meant: impl Fn(Option<&ClientConnections>) -> bool) -> Vec<Idle> {
        let open = self.snapshot().into_iter();
        open.filter(|connection| is_meant(connection.client.get()))
            .filter_map(|connection| {
                Some(Idle {
                    since: connection.idle_since(self.clock.now())?,
                    has_served: connection.has_served.get(),
                    connection,
                })
            })
            .collect()
    }

    /// Returns how many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.borrow().len()
    }

    /// Waits until none is open.
    pub(crate) async fn wait_idle(&self) {
        while self.count() > 0 {
            self.changed.notified().await;
        }
    }

    fn snapshot(&self) -> Vec<Rc<Connection>> {
        self.open
            .borrow()
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

/// A connection that may be closed for another.
struct Idle {
    since: u64,
    /// Whether it had a request.
    has_served: bool,
    connection: Rc<Connection>,
}

/// Closes the part of them that has been idle longest. Returns whether there are any.
fn close_longest_idle(mut idle: Vec<Idle>) -> bool {
    let last = idle.len().div_euclid(CLOSED_AT_ONCE_DIVISOR);
    if idle.is_empty() {
        return false;
    }
    idle.select_nth_unstable_by_key(last, |one| (one.since, one.has_served, one.connection.id));
    for one in idle.iter().take(last.saturating_add(1)) {
        one.connection.set_phase(Phase::Closing);
    }
    true
}

/// One client connection. Requests and tunnels on it hold references.
#[derive(Debug)]
pub(crate) struct Connection {
    id: u64,
    registry: Rc<Connections>,
    /// Not set for the connection of a proxy that does not name one client for all of it.
    client: OnceCell<ClientConnections>,
    requests: Activities,
    idle_since: Cell<u64>,
    link: Link,
    /// What had been sent at the last tick.
    sent_before: Cell<u64>,
    /// A request that only the end of the connection can end has stalled.
    stalled: Cell<bool>,
    /// An HTTP/1 connection must close after the response to its current request.
    is_last: Cell<bool>,
    /// It has or had a request.
    has_served: Cell<bool>,
    /// HTTP is being served: the connection can be shut down gracefully.
    serving: Cell<Option<Sharing>>,
    phase: Cell<Phase>,
    draining_since: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

/// Whether the requests on a connection are concurrent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sharing {
    /// HTTP/1: one after the other.
    Exclusive,
    /// HTTP/2: each on a stream of its own.
    Streams,
}

/// A request on a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct ActiveRequest {
    connection: Rc<Connection>,
    activity: Rc<Activity>,
}

impl ActiveRequest {
    pub(crate) fn activity(&self) -> &Rc<Activity> {
        &self.activity
    }

    /// Returns whether its client has more concurrent requests than it may.
    pub(crate) fn is_excess(&self) -> bool {
        let client = self.connection.client.get();
        client.is_some_and(ClientConnections::has_excess_requests)
    }

    pub(crate) fn limits(&self) -> StallLimits {
        self.connection.registry.limits
    }

    /// Returns whether it has a stream of its own.
    pub(crate) fn is_stream(&self) -> bool {
        self.connection.serving.get() == Some(Sharing::Streams)
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let connection = &self.connection;
        if let Some(client) = connection.client.get() {
            client.request_ended();
        }
        connection.requests.end(&self.activity);
        // A client that lets its requests stall does not keep its connection by that.
        if !self.activity.is_stalled() {
            connection.idle_since.set(connection.registry.clock.now());
        }
    }
}

impl Connection {
    /// Runs the connection to its end, or until it must close.
    pub(crate) async fn run(&self, mut life: Pin<&mut impl Future<Output = ()>>) {
        poll_fn(|cx| {
            self.store_waker(cx.waker());
            match self.phase.get() {
                Phase::Closing => Poll::Ready(()),
                Phase::Draining if self.serving.get().is_none() => Poll::Ready(()),
                Phase::Draining | Phase::Open => {
                    // What has stalled may end in its own way first.
                    let polled = life.as_mut().poll(cx);
                    match self.stalled.get() {
                        true => Poll::Ready(()),
                        false => polled,
                    }
                }
            }
        })
        .await;
    }

    /// Serves HTTP; starts a graceful shutdown in [`Phase::Draining`].
    pub(crate) async fn serve<C: Future>(
        &self,
        sharing: Sharing,
        mut http: Pin<&mut C>,
        finish: impl Fn(Pin<&mut C>),
    ) -> C::Output {
        let mut is_finishing = false;
        self.serving.set(Some(sharing));
        poll_fn(|cx| {
            if !is_finishing && self.phase.get() == Phase::Draining {
                is_finishing = true;
                finish(http.as_mut());
            }
            http.as_mut().poll(cx)
        })
        .await
    }

    /// Begins a request; the connection is not idle until it ends.
    pub(crate) fn begin_request(self: &Rc<Self>) -> ActiveRequest {
        if let Some(client) = self.client.get() {
            client.request_began();
        }
        self.has_served.set(true);
        ActiveRequest {
            activity: self.requests.begin(&self.registry.clock),
            connection: Rc::clone(self),
        }
    }

    /// Counts the connection for its client, which only the proxy in front knew. Returns whether
    /// the client may have it. To be called before the first request.
    pub(crate) fn assign(&self, client: ClientConnections) -> bool {
        let is_permitted = self.registry.permits(&client);
        let _first = self.client.set(client);
        is_permitted
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// The request being served is the last on its connection.
    pub(crate) fn set_last(&self) {
        self.is_last.set(true);
    }

    pub(crate) fn is_last(&self) -> bool {
        self.is_last.get()
    }

    /// Returns since when it has had no request and nothing left to send, or only responses of the
    /// gateway itself that the client did not take within a second. Nothing when it is about to
    /// close.
    fn idle_since(&self, now: u64) -> Option<u64> {
        if self.phase.get() == Phase::Closing {
            return None;
        }
        match self.requests.is_empty() {
            true => Some(self.idle_since.get()).filter(|_| !self.link.is_blocked()),
            false => self.requests.untaken_since().filter(|since| *since != now),
        }
    }

    /// Ends what makes no progress.
    fn check(&self, now: u64, limits: StallLimits) {
        let sent = self.link.sent();
        let flows = sent.wrapping_sub(self.sent_before.replace(sent)) >= FLOW_BYTES;
        if self.requests.is_empty() {
            // The last response may still be on its way.
            if self.link.is_blocked() {
                return self.check_last_response(now, flows, limits);
            }
            if flows && self.phase.get() == Phase::Open {
                self.idle_since.set(now);
            }
            if let Some(moved) = self.requests.moved_after_response() {
                self.idle_since.set(self.idle_since.get().max(moved));
            }
            let is_finishing = self.phase.get() == Phase::Draining && !flows;
            let finishing_for = now.wrapping_sub(self.draining_since.get());
            if limits.head.is_over(now.wrapping_sub(self.idle_since.get()))
                || is_finishing && finishing_for > FINISHING_SECS_MAX
            {
                self.advance();
            }
            return;
        }
        if flows && self.serving.get() == Some(Sharing::Exclusive) {
            self.requests.touch_all();
        }
        if self.requests.mark_stalled(now) {
            tracing::debug!("a request makes no progress: closing its connection");
            self.stalled.set(true);
            self.wake();
        }
    }

    /// Ends a connection whose client takes none of what is left to send.
    fn check_last_response(&self, now: u64, flows: bool, limits: StallLimits) {
        if flows {
            self.idle_since.set(now);
        }
        if limits
            .write
            .is_over(now.wrapping_sub(self.idle_since.get()))
        {
            self.advance();
        }
    }

    /// Moves on: first drain, a second later close.
    fn advance(&self) {
        self.set_phase(match self.phase.get() {
            Phase::Open => Phase::Draining,
            Phase::Draining | Phase::Closing => Phase::Closing,
        });
    }

    fn set_phase(&self, phase: Phase) {
        if self.phase.replace(phase) == Phase::Open {
            self.draining_since.set(self.registry.clock.now());
        }
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn store_waker(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.registry.open.borrow_mut().remove(&self.id);
        self.registry.changed.notify_waiters();
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Open,
    Draining,
    Closing,
}

/// Less in a second is no flow: what HTTP/2 sends in reply to a few PING frames.
const FLOW_BYTES: u64 = 512;
/// How long an idle connection may take to finish: a client may never acknowledge that it must
/// go, or go on sending.
const FINISHING_SECS_MAX: u64 = 3;
/// The part of the idle connections that is closed when there is no room for another.
const CLOSED_AT_ONCE_DIVISOR: usize = 64;
/// The part of all connections that makes those many that have not had a request.
const UNUSED_MANY_DIVISOR: usize = 4;
const ROOM_SOUGHT_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::pin::pin;
    use std::task::Context;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::conn::activity::StallLimit;
    use crate::conn::clients::Clients;

    fn registry() -> Rc<Connections> {
        let limit = StallLimit::of(Duration::from_secs(2));
        Connections::new(StallLimits {
            head: limit,
            local_response: limit,
            read: limit,
            write: limit,
            tunnel: limit,
            closing_tunnel: limit,
        })
    }

    fn open(connections: &Rc<Connections>) -> Rc<Connection> {
        open_from(connections, "192.0.2.1")
    }

    fn open_from(connections: &Rc<Connections>, address: &str) -> Rc<Connection> {
        let clients = Clients::new(NonZeroUsize::MAX, NonZeroUsize::MAX, NonZeroUsize::MIN);
        connections.open(Some(clients.connect(address.parse().unwrap(), 0)))
    }

    fn tick(connections: &Connections, seconds: usize) {
        for _ in 0..seconds {
            connections.tick();
        }
    }

    #[test]
    fn an_idle_connection_is_asked_to_finish_and_then_closed() {
        let connections = registry();
        let connection = open(&connections);

        tick(&connections, 2);
        assert_eq!(connection.phase.get(), Phase::Open);
        tick(&connections, 1);
        assert_eq!(connection.phase.get(), Phase::Draining);
        tick(&connections, 1);
        assert_eq!(connection.phase.get(), Phase::Closing);
    }

    #[test]
    fn a_connection_with_a_request_that_may_wait_is_never_idle() {
        let connections = registry();
        let connection = open(&connections);
        let request = connection.begin_request();

        tick(&connections, 100);
        assert_eq!(connection.phase.get(), Phase::Open);

        drop(request);
        tick(&connections, 2);
        assert_eq!(connection.phase.get(), Phase::Open, "the clock restarts");
    }

    #[test]
    fn one_of_two_requests_ending_does_not_make_a_connection_idle() {
        let connections = registry();
        let connection = open(&connections);
        let first = connection.begin_request();
        let _second = connection.begin_request();
        drop(first);

        tick(&connections, 100);

        assert_eq!(connection.phase.get(), Phase::Open);
    }

    #[test]
    fn a_request_stalls_only_when_nothing_moves() {
        let connections = registry();
        let connection = open(&connections);
        let requests = [(); 3].map(|()| connection.begin_request());
        let [moves, stands, waits] = &requests;
        for limited in [moves, stands] {
            let limit = StallLimit::of(Duration::from_secs(2));
            limited.activity().allow(limit);
        }

        for _ in 0..3 {
            moves.activity().touch();
            connections.tick();
        }

        assert!(!moves.activity().is_stalled());
        assert!(stands.activity().is_stalled());
        assert!(!waits.activity().is_stalled());
        assert!(connection.stalled.get(), "no task of its own can end it");
    }

    #[test]
    fn a_stream_that_stalls_ends_alone() {
        let connections = registry();
        let connection = open(&connections);
        let request = connection.begin_request();
        let task = Context::from_waker(Waker::noop());
        assert!(request.activity().poll_stalled(&task).is_pending());
        request
            .activity()
            .allow(StallLimit::of(Duration::from_secs(1)));

        tick(&connections, 2);

        assert!(request.activity().poll_stalled(&task).is_ready());
        assert!(!connection.stalled.get());
    }

    #[test]
    fn requests_that_stall_do_not_keep_their_connection() {
        let connections = registry();
        let connection = open(&connections);
        let request = connection.begin_request();
        request
            .activity()
            .allow(StallLimit::of(Duration::from_secs(3)));
        tick(&connections, 4);
        assert!(request.activity().is_stalled());

        drop(request);
        tick(&connections, 1);

        assert_eq!(connection.phase.get(), Phase::Draining);
    }

    #[test]
    fn a_connection_that_sends_is_not_idle_and_few_bytes_do_not_count() {
        let connections = registry();
        let connection = open(&connections);
        for _ in 0..10 {
            connection.link().add_sent(17);
            tick(&connections, 1);
        }
        assert_ne!(connection.phase.get(), Phase::Open, "replies to PING");

        let connection = open(&connections);
        for _ in 0..10 {
            connection.link().add_sent(16 * 1024);
            tick(&connections, 1);
        }
        assert_eq!(connection.phase.get(), Phase::Open);
    }

    #[test]
    fn a_connection_is_not_idle_while_a_body_is_read_after_its_response() {
        let connections = registry();
        let connection = open(&connections);
        let request = connection.begin_request();
        let upload = Rc::clone(request.activity());
        drop(request);

        for _ in 0..3 {
            tick(&connections, 2);
            upload.touch();
        }
        assert_eq!(connection.phase.get(), Phase::Open);

        tick(&connections, 3);
        assert_eq!(connection.phase.get(), Phase::Draining, "it has stopped");
    }

    #[test]
    fn a_connection_with_more_to_send_is_closed_only_when_nothing_is_taken() {
        let connections = registry();
        let connection = open(&connections);
        connection.link().set_blocked(true);
        assert!(!connections.close_idle(|_| true));
        connections.drain();
        for _ in 0..10 {
            connection.link().add_sent(16 * 1024);
            tick(&connections, 2);
            assert_eq!(connection.phase.get(), Phase::Draining);
        }

        tick(&connections, 3);

        assert_eq!(connection.phase.get(), Phase::Closing);
    }

    #[test]
    fn a_record_is_used_again_once_nothing_refers_to_it() {
        let connections = registry();
        let connection = open(&connections);
        let request = connection.begin_request();
        let first = Rc::as_ptr(request.activity());
        drop(request);
        let request = connection.begin_request();
        assert_eq!(Rc::as_ptr(request.activity()), first);

        let upload = Rc::clone(request.activity());
        drop(request);

        assert!(!Rc::ptr_eq(connection.begin_request().activity(), &upload));
    }

    #[tokio::test]
    async fn a_drain_ends_what_has_not_begun_and_waits_for_the_rest() {
        let connections = registry();
        let busy = open(&connections);
        let fresh = open(&connections);

        connections.drain();
        fresh.run(pin!(std::future::pending())).await;
        drop(fresh);
        assert_eq!(connections.count(), 1);
        drop(busy);

        connections.wait_idle().await;
    }

    #[tokio::test]
    async fn what_has_been_idle_longest_makes_room() {
        let connections = registry();
        let busy = open(&connections);
        let request = busy.begin_request();
        let used = open(&connections);
        let silent = open(&connections);
        tick(&connections, 1);
        drop(used.begin_request());
        let made = connections.make_room(3);

        let mut made = pin!(made);
        let silence = pin!(std::future::pending());
        tokio::select! {
            biased;
            () = &mut made => panic!("there is no room"),
            () = silent.run(silence) => {}
        }
        assert_eq!(used.phase.get(), Phase::Open);
        drop(silent);

        made.await;
        assert_eq!(busy.phase.get(), Phase::Open);
        drop(request);
    }

    #[tokio::test]
    async fn a_refusal_that_is_not_taken_makes_room_before_what_is_in_use() {
        let connections = registry();
        let refused = open(&connections);
        let request = refused.begin_request();
        let activity = request.activity();
        activity.respond_locally(StallLimit::NONE);
        let used = open(&connections);
        drop(used.begin_request());
        let mut made = pin!(connections.make_room(2));

        assert!(made.as_mut().now_or_never().is_none());
        assert_eq!(refused.phase.get(), Phase::Open, "it may be on its way");
        assert_eq!(used.phase.get(), Phase::Open);

        tick(&connections, 1);
        drop(used.begin_request());
        // It looks again when a connection ends, too.
        drop(open(&connections));
        assert!(made.as_mut().now_or_never().is_none());
        assert_eq!(refused.phase.get(), Phase::Closing);
        assert_eq!(used.phase.get(), Phase::Open);
    }

    #[test]
    fn a_client_that_asks_for_more_keeps_no_connection_by_refusals_that_it_does_not_take() {
        let connections = registry();
        let refused = open(&connections);
        let mut requests = Vec::new();
        for _ in 0..3 {
            let request = refused.begin_request();
            request.activity().respond_locally(StallLimit::NONE);
            requests.push(request);
            tick(&connections, 1);
        }
        let last = refused.begin_request();
        last.activity().respond_locally(StallLimit::NONE);

        assert!(refused.idle_since(connections.clock.now()).is_some());

        let forwarded = refused.begin_request();
        assert!(refused.idle_since(connections.clock.now()).is_none());
        drop((forwarded, last));
    }

    #[test]
    fn a_client_makes_room_for_itself_only() {
        let connections = registry();
        let own = open_from(&connections, "192.0.2.1");
        let others = open_from(&connections, "192.0.2.2");
        let origin = own.client.get().unwrap().origin();

        assert!(connections.close_idle_of(origin));

        assert_eq!(own.phase.get(), Phase::Closing);
        assert_eq!(others.phase.get(), Phase::Open);
        assert!(!connections.close_idle_of(origin), "none is left");
    }
}
