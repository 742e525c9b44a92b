//! One purchase at a time for one origin and path, or service, within one client.
//!
//! Requests that are asked to pay for the same thing wait in line. The first buys; the others
//! find its credential in the book when they get the guard. The guard is held until the first
//! has its response, so that a credential good for one request is not used up by another
//! before the one that paid for it.
//!
//! Between processes the book keeps order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::origin::Origin;

#[derive(Clone, Default)]
pub(super) struct SingleFlight {
    turns: Arc<Mutex<Turns>>,
}

type Turns = HashMap<(Origin, String), Weak<tokio::sync::Mutex<()>>>;

/// The turn to buy, until dropped.
pub(super) struct Guard(#[expect(dead_code, reason = "held, never read")] OwnedMutexGuard<()>);

impl SingleFlight {
    /// Waits for the turn. Dropping the future gives up the place in line.
    pub(super) async fn acquire(&self, origin: &Origin, what: &str) -> Guard {
        let turn = self.turn((origin.clone(), what.to_owned()));
        Guard(turn.lock_owned().await)
    }

    fn turn(&self, key: (Origin, String)) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_key, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }
}
