//! Idle HTTP/1.1 connections to one upstream.
//!
//! Reused last in, first out, so that surplus ones grow old and are closed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1;

use crate::upstream::upload::Upload;

/// The idle connections of one worker to one upstream.
#[derive(Debug)]
pub(crate) struct IdleConnections {
    idle: RefCell<Vec<Idle>>,
    max: usize,
    timeout: Duration,
    /// The time, to the second: whether a connection is old needs no better clock.
    now: Cell<Instant>,
}

/// An idle connection.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) sender: http1::SendRequest<Upload>,
    since: Instant,
}

impl IdleConnections {
    /// At most `max`, each for at most `timeout`.
    pub(crate) fn new(max: usize, timeout: Duration) -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::default(),
            max,
            timeout,
            now: Cell::new(Instant::now()),
        })
    }

    /// Removes and returns the one used last, if any is still usable.
    pub(crate) fn take(&self) -> Option<Idle> {
        let mut idle = self.idle.borrow_mut();
        while let Some(candidate) = idle.pop() {
            if self.is_usable(&candidate) {
                return Some(candidate);
            }
        }
        None
    }

    /// Keeps a connection for later, unless there are enough.
    pub(crate) fn put(&self, sender: http1::SendRequest<Upload>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.max {
            idle.push(Idle {
                sender,
                since: self.now.get(),
            });
        }
    }

    /// Reads the clock and closes what has been idle for too long or has died.
    pub(crate) fn prune(&self) {
        self.now.set(Instant::now());
        self.idle.borrow_mut().retain(|idle| self.is_usable(idle));
    }

    /// Returns how long ago a connection was used, to the second.
    pub(crate) fn age(&self, idle: &Idle) -> Duration {
        self.now.get().saturating_duration_since(idle.since)
    }

    fn is_usable(&self, idle: &Idle) -> bool {
        idle.sender.is_ready() && self.age(idle) < self.timeout
    }
}
