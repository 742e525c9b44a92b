//! Which client connections are open, and when must each go?
//!
//! One registry per worker. A connection goes when it takes too long over a request head
//! (which is also how an idle one ends, a slow handshake, and a client that drips its
//! headers), or when the worker drains. Both are decided by a clock that ticks once a
//! second for all connections together: a request costs two counter updates and no timer.

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

    /// Registers a connection; it stays registered as long as somebody holds it.
    pub(crate) fn open(self: &Rc<Self>) -> Rc<Connection> {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        let connection = Rc::new(Connection {
            id,
            registry: Rc::clone(self),
            requests: Cell::new(0),
            idle_since: Cell::new(self.ticks.get()),
            serving: Cell::new(false),
            order: Cell::new(if self.draining.get() {
                Order::Finish
            } else {
                Order::Serve
            }),
            waker: RefCell::default(),
        });
        self.open
            .borrow_mut()
            .insert(id, Rc::downgrade(&connection));
        connection
    }

    /// One second has passed.
    pub(crate) fn tick(&self) {
        let now = self.ticks.get().wrapping_add(1);
        self.ticks.set(now);
        for connection in self.snapshot() {
            if connection.idle_ticks(now) > self.idle_ticks_max {
                connection.hurry();
            }
        }
    }

    /// Lets requests in flight finish and nothing else begin.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        for connection in self.snapshot() {
            connection.give(Order::Finish);
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.borrow().len()
    }

    /// Waits until none is open.
    pub(crate) async fn gone(&self) {
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

/// One client connection. Requests and tunnels on it hold it too.
#[derive(Debug)]
pub(crate) struct Connection {
    id: u64,
    registry: Rc<Connections>,
    requests: Cell<u32>,
    idle_since: Cell<u64>,
    /// The HTTP machinery runs: it can end politely.
    serving: Cell<bool>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    /// Runs the whole life of the connection, unless it is cut short.
    pub(crate) async fn live(&self, mut life: Pin<&mut impl Future<Output = ()>>) {
        poll_fn(|cx| {
            self.remember(cx.waker());
            match self.order.get() {
                Order::Close => Poll::Ready(()),
                Order::Finish if !self.serving.get() => Poll::Ready(()),
                Order::Finish | Order::Serve => life.as_mut().poll(cx),
            }
        })
        .await;
    }

    /// Runs the HTTP machinery, and tells it to finish when that is ordered.
    pub(crate) async fn serve<C: Future>(
        &self,
        mut machinery: Pin<&mut C>,
        finish: impl Fn(Pin<&mut C>),
    ) -> C::Output {
        let mut told = false;
        self.serving.set(true);
        poll_fn(|cx| {
            if !told && self.order.get() == Order::Finish {
                told = true;
                finish(machinery.as_mut());
            }
            machinery.as_mut().poll(cx)
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

    /// Asks first, and closes a second later.
    fn hurry(&self) {
        self.give(match self.order.get() {
            Order::Serve => Order::Finish,
            Order::Finish | Order::Close => Order::Close,
        });
    }

    fn give(&self, order: Order) {
        self.order.set(order);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn remember(&self, waker: &Waker) {
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
enum Order {
    Serve,
    Finish,
    Close,
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
        assert_eq!(connection.order.get(), Order::Serve);
        tick(&connections, 1);
        assert_eq!(connection.order.get(), Order::Finish);
        tick(&connections, 1);
        assert_eq!(connection.order.get(), Order::Close);
    }

    #[test]
    fn a_connection_with_a_request_is_never_idle() {
        let connections = registry();
        let connection = connections.open();
        connection.request_began();

        tick(&connections, 100);
        assert_eq!(connection.order.get(), Order::Serve);

        connection.request_ended();
        tick(&connections, 2);
        assert_eq!(connection.order.get(), Order::Serve, "the wait starts anew");
    }

    #[test]
    fn one_of_two_requests_ending_does_not_make_a_connection_idle() {
        let connections = registry();
        let connection = connections.open();
        connection.request_began();
        connection.request_began();
        connection.request_ended();

        tick(&connections, 100);

        assert_eq!(connection.order.get(), Order::Serve);
    }

    #[tokio::test]
    async fn a_drain_ends_what_has_not_begun_and_waits_for_the_rest() {
        let connections = registry();
        let busy = connections.open();
        let fresh = connections.open();

        connections.drain();
        fresh.live(pin!(std::future::pending())).await;
        drop(fresh);
        assert_eq!(connections.count(), 1);
        drop(busy);

        connections.gone().await;
    }
}
