//! Tally: how many requests an event stands for.
//!
//! A credential that is used again and again would otherwise be an event for each request. The gate
//! adds to the tally of a remembered credential instead, and reports an event for the first
//! request after each [`take`](Tally::take). However many follow until the ledger takes it, each
//! costs one addition, and none is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Granted requests that no ledger has recorded.
#[derive(Debug, Default)]
pub struct Tally(Arc<AtomicU64>);

impl Tally {
    /// Creates the tally of one request.
    #[must_use]
    pub fn one() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    /// Returns the same tally once more, for an event that reports it.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// Counts one more. Returns whether it has to be reported: it is the first that is not taken.
    pub(crate) fn add(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Takes what has been counted since the last time. A ledger does this once for an
    /// event, when it records the event; what is counted later is another event.
    #[must_use = "what is taken is counted nowhere else"]
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_after_each_take_is_reported() {
        let tally = Tally::default();
        let shared = tally.share();

        assert!(tally.add());
        assert!(!tally.add());
        assert_eq!(shared.take(), 2);
        assert_eq!(shared.take(), 0);
        assert!(tally.add());
        assert_eq!(shared.take(), 1);
        assert_eq!(Tally::one().take(), 1);
    }
}
