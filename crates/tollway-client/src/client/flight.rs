//! One purchase at a time for one origin and path.
//!
//! Requests that find themselves asked to pay for the same thing line up. The first buys;
//! the others find its credential in the store when their turn comes. The turn lasts until
//! the first has been answered, so that a credential good for one request is not used up by
//! another before the one that paid for it.
//!
//! This is for one client. Between processes the journal keeps order.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use l402::PaymentHash;
use tokio::sync::OwnedMutexGuard;

use crate::origin::Origin;

#[derive(Clone, Default)]
pub(super) struct Flights {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    turns: HashMap<(Origin, String), Weak<tokio::sync::Mutex<()>>>,
    /// Bought, and not yet shown by whoever paid.
    held_back: HashSet<PaymentHash>,
}

/// A turn to buy, until the last clone is dropped.
pub(super) struct Flight {
    flights: Flights,
    held_back: Mutex<Option<PaymentHash>>,
    _turn: OwnedMutexGuard<()>,
}

impl Flights {
    /// Waits for a turn. Dropping the future gives up the place in line.
    pub(super) async fn board(&self, origin: &Origin, path: &str) -> Arc<Flight> {
        let turn = self
            .turn((origin.clone(), path.to_owned()))
            .lock_owned()
            .await;
        Arc::new(Flight {
            flights: self.clone(),
            held_back: Mutex::default(),
            _turn: turn,
        })
    }

    /// True while a credential is for the one who paid for it to show first.
    pub(super) fn is_held_back(&self, hash: &PaymentHash) -> bool {
        lock(&self.shared).held_back.contains(hash)
    }

    /// Every credential that is.
    pub(super) fn held_back(&self) -> HashSet<PaymentHash> {
        lock(&self.shared).held_back.clone()
    }

    fn turn(&self, key: (Origin, String)) -> Arc<tokio::sync::Mutex<()>> {
        let mut shared = lock(&self.shared);
        shared.turns.retain(|_key, turn| turn.strong_count() > 0);
        if let Some(turn) = shared.turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        shared.turns.insert(key, Arc::downgrade(&turn));
        turn
    }
}

impl Flight {
    /// Keeps a credential from other requests until the turn ends.
    pub(super) fn hold_back(&self, hash: PaymentHash) {
        lock(&self.flights.shared).held_back.insert(hash);
        *lock(&self.held_back) = Some(hash);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(hash) = lock(&self.held_back).take() {
            lock(&self.flights.shared).held_back.remove(&hash);
        }
    }
}

/// A panic elsewhere leaves these values whole: each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
