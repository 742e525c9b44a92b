//! Bound on the connections of one worker to one upstream.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// How many HTTP/1.1 connections may be open, and how many are.
#[derive(Debug)]
pub(crate) struct Slots {
    open: Cell<usize>,
    max: usize,
    changed: Notify,
}

impl Slots {
    pub(crate) fn new(max: usize) -> Rc<Self> {
        Rc::new(Self {
            open: Cell::new(0),
            max,
            changed: Notify::new(),
        })
    }

    /// Takes the place of one connection, if there is one.
    pub(crate) fn take(self: &Rc<Self>) -> Option<Slot> {
        let open = self.open.get();
        if open >= self.max {
            return None;
        }
        self.open.set(open.saturating_add(1));
        Some(Slot(Rc::clone(self)))
    }

    /// Waits until a connection may have become idle or been closed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Wakes one request that waits for a connection.
    pub(crate) fn notify(&self) {
        self.changed.notify_one();
    }
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Rc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        self.0.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_is_free_again_when_it_is_dropped() {
        let slots = Slots::new(1);
        let slot = slots.take().unwrap();
        assert!(slots.take().is_none());

        drop(slot);

        slots.changed().await;
        assert!(slots.take().is_some());
    }
}
