//! Registry of the open client connections of one worker.
//!
//! A connection is closed when it takes too long over a request head (an idle connection,
//! a slow handshake, a client that drips its headers), or when the worker drains. Both are
//! decided by one clock that ticks once a second for all connections: a request costs two
//! counter updates and no timer.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

/// The open connections of one worker.
#[derive(Debug)]
pub(crate) struct Connections {
    open: RefCell<HashMap<u64, Weak<Connection>>>,
    next_id: Cell<u64>,
    ticks: Cell<u64>,
    idle_ticks_max: u64,
    draining: Cell<bool>,
    changed: Notify,
}

impl Connections {
    pub(crate) fn new(idle_timeout: Duration) -> Rc<Self> {
        Rc::new(Self {
            open: RefCell::default(),
            next_id: Cell::new(0),
            ticks: Cell::new(0),
            idle_ticks_max: idle_timeout.as_secs().max(1),
            draining: Cell::new(false),
            changed: Notify::new(),
        })
    }

    /// Registers a connection, until its last reference is dropped.
    pub(crate) fn open(self: &Rc<Self>) -> Rc<Connection> {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        let connection = Rc::new(Connection {
            id,
            registry: Rc::clone(self),
            requests: Cell::new(0),
            idle_since: Cell::new(self.ticks.get()),
            serving: Cell::new(false),
            phase: Cell::new(if self.draining.get() {
                Phase::Draining
            } else {
                Phase::Open
            }),
            waker: RefCell::default(),
        });
        self.open
            .borrow_mut()
            .insert(id, Rc::downgrade(&connection));
        connection
    }

    /// Advances the clock by one second.
    pub(crate) fn tick(&self) {
        let now = self.ticks.get().wrapping_add(1);
        self.ticks.set(now);
        for connection in self.snapshot() {
            if connection.idle_ticks(now) > self.idle_ticks_max {
                connection.advance();
            }
        }
    }

    /// Lets requests in flight finish; no other request begins.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        for connection in self.snapshot() {
            connection.set_phase(Phase::Draining);
        }
    }

    /// Returns how many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.borrow().len()
    }

    /// Waits until none is open.
    pub(crate) async fn wait_idle(&self) {
        self.fewer_than(1).await;
    }

    /// Waits until fewer than `max` are open.
    pub(crate) async fn fewer_than(&self, max: usize) {
        while self.count() >= max {
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

/// One client connection. Requests and tunnels on it hold references.
#[derive(Debug)]
pub(crate) struct Connection {
    id: u64,
    registry: Rc<Connections>,
    requests: Cell<u32>,
    idle_since: Cell<u64>,
    /// HTTP is being served: the connection can be shut down gracefully.
    serving: Cell<bool>,
    phase: Cell<Phase>,
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    /// Runs the connection to its end, or until it must close.
    pub(crate) async fn run(&self, mut life: Pin<&mut impl Future<Output = ()>>) {
        poll_fn(|cx| {
            self.store_waker(cx.waker());
            match self.phase.get() {
                Phase::Closing => Poll::Ready(()),
                Phase::Draining if !self.serving.get() => Poll::Ready(()),
                Phase::Draining | Phase::Open => life.as_mut().poll(cx),
            }
        })
        .await;
    }

    /// Serves HTTP; starts a graceful shutdown in [`Phase::Draining`].
    pub(crate) async fn serve<C: Future>(
        &self,
        mut http: Pin<&mut C>,
        finish: impl Fn(Pin<&mut C>),
    ) -> C::Output {
        let mut is_finishing = false;
        self.serving.set(true);
        poll_fn(|cx| {
            if !is_finishing && self.phase.get() == Phase::Draining {
                is_finishing = true;
                finish(http.as_mut());
            }
            http.as_mut().poll(cx)
        })
        .await
    }

    /// A request has begun; the connection is not idle until [`request_ended`](Self::request_ended).
    pub(crate) fn request_began(&self) {
        self.requests.set(self.requests.get().saturating_add(1));
    }

    pub(crate) fn request_ended(&self) {
        self.requests.set(self.requests.get().saturating_sub(1));
        self.idle_since.set(self.registry.ticks.get());
    }

    fn idle_ticks(&self, now: u64) -> u64 {
        match self.requests.get() {
            0 => now.wrapping_sub(self.idle_since.get()),
            _ => 0,
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
        self.phase.set(phase);
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

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn registry() -> Rc<Connections> {
        Connections::new(Duration::from_secs(2))
    }

    fn tick(connections: &Connections, seconds: usize) {
        for _ in 0..seconds {
            connections.tick();
        }
    }

    #[test]
    fn an_idle_connection_is_asked_to_finish_and_then_closed() {
        let connections = registry();
        let connection = connections.open();

        tick(&connections, 2);
        assert_eq!(connection.phase.get(), Phase::Open);
        tick(&connections, 1);
        assert_eq!(connection.phase.get(), Phase::Draining);
        tick(&connections, 1);
        assert_eq!(connection.phase.get(), Phase::Closing);
    }

    #[test]
    fn a_connection_with_a_request_is_never_idle() {
        let connections = registry();
        let connection = connections.open();
        connection.request_began();

        tick(&connections, 100);
        assert_eq!(connection.phase.get(), Phase::Open);

        connection.request_ended();
        tick(&connections, 2);
        assert_eq!(connection.phase.get(), Phase::Open, "the clock restarts");
    }

    #[test]
    fn one_of_two_requests_ending_does_not_make_a_connection_idle() {
        let connections = registry();
        let connection = connections.open();
        connection.request_began();
        connection.request_began();
        connection.request_ended();

        tick(&connections, 100);

        assert_eq!(connection.phase.get(), Phase::Open);
    }

    #[tokio::test]
    async fn a_drain_ends_what_has_not_begun_and_waits_for_the_rest() {
        let connections = registry();
        let busy = connections.open();
        let fresh = connections.open();

        connections.drain();
        fresh.run(pin!(std::future::pending())).await;
        drop(fresh);
        assert_eq!(connections.count(), 1);
        drop(busy);

        connections.wait_idle().await;
    }
}
