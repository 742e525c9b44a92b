//! Idle HTTP/1.1 connections to one upstream.
//!
//! Reused last in, first out, so that surplus ones grow old and are closed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::upstream::h1::exchange::Connection;
use crate::upstream::slots::Slots;

/// The idle connections of one worker to one upstream.
#[derive(Debug)]
pub(crate) struct IdleConnections {
    idle: RefCell<Vec<Idle>>,
    max: usize,
    timeout: Duration,
    /// The time, to the second: whether a connection is old needs no better clock.
    now: Cell<Instant>,
    slots: Rc<Slots>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

impl IdleConnections {
    /// At most `max`, each for at most `timeout`. Requests that wait for one of `slots` are woken
    /// when a connection becomes idle.
    pub(crate) fn new(max: usize, timeout: Duration, slots: Rc<Slots>) -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::default(),
            max,
            timeout,
            now: Cell::new(Instant::now()),
            slots,
        })
    }

    /// Removes and returns the one used last, if any is still usable.
    pub(crate) fn take(&self) -> Option<Box<Connection>> {
        loop {
            let mut candidate = self.idle.borrow_mut().pop()?;
            if self.is_usable(&mut candidate) {
                return Some(candidate.connection);
            }
        }
    }

    /// Keeps a connection for later, unless there are enough.
    pub(crate) fn put(&self, connection: Box<Connection>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.max {
            let since = self.now.get();
            idle.push(Idle { connection, since });
            drop(idle);
            self.slots.notify();
        }
    }

    /// Reads the clock and closes what has been idle for too long or has died.
    pub(crate) fn prune(&self) {
        self.now.set(Instant::now());
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| self.is_usable(idle));
    }

    fn is_usable(&self, idle: &mut Idle) -> bool {
        let age = self.now.get().saturating_duration_since(idle.since);
        age < self.timeout && idle.connection.is_usable()
    }
}
