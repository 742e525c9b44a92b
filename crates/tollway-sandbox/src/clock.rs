//! The system clock, settable ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use l402::UnixSeconds;

/// The system's clock, which can be set ahead so that expiry need not be waited for.
///
/// Clones share the setting.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_secs: Arc<AtomicU64>,
}

impl Clock {
    /// Sets this clock `by` further ahead, in whole seconds.
    pub fn advance(&self, by: Duration) {
        self.ahead_secs.fetch_add(by.as_secs(), Ordering::Relaxed);
    }

    /// Time since 1970-01-01 00:00 UTC.
    #[must_use]
    pub fn since_epoch(&self) -> Duration {
        let ahead = Duration::from_secs(self.ahead_secs.load(Ordering::Relaxed));
        // A system clock before 1970 reads as 1970: too early to expire anything.
        let system = SystemTime::now().duration_since(UNIX_EPOCH);
        system.unwrap_or_default().saturating_add(ahead)
    }

    /// The current second.
    #[must_use]
    pub fn now(&self) -> UnixSeconds {
        UnixSeconds::new(self.since_epoch().as_secs())
    }
}
