//! Health of an upstream: whether it is known not to accept connections.
//!
//! Shared by all workers. A connection that cannot be opened marks the upstream down; a
//! response, or a connection opened to look, marks it up. While it is down nothing is sold:
//! requests with a good credential are forwarded all the same. For those the cost is one load.
//!
//! A change is logged when it happens, and no more than one a second.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whether an upstream is known not to accept connections.
#[derive(Debug)]
pub(crate) struct Health {
    service: String,
    upstream: String,
    is_down: AtomicBool,
    history: Mutex<History>,
}

#[derive(Debug, Default)]
struct History {
    /// Why it was down last.
    error: String,
    probed_at: Option<Instant>,
    logged_down: bool,
    logged_at: Option<Instant>,
}

impl Health {
    /// Creates the health of an upstream that is not known to be down.
    pub(crate) fn new(service: &str, upstream: &impl fmt::Display) -> Self {
        Self {
            service: service.to_owned(),
            upstream: upstream.to_string(),
            is_down: AtomicBool::new(false),
            history: Mutex::default(),
        }
    }

    pub(crate) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Records that the upstream accepts connections.
    pub(crate) fn mark_up(&self) {
        if self.is_down() {
            self.is_down.store(false, Ordering::Relaxed);
            self.log_change();
        }
    }

    /// Records that it does not.
    pub(crate) fn mark_down(&self, error: &impl fmt::Display) {
        if !self.is_down() {
            self.history().error = error.to_string();
            self.is_down.store(true, Ordering::Relaxed);
            self.log_change();
        }
    }

    /// Records that it does not, for a caller that reports it: that is not logged.
    pub(crate) fn mark_reported_down(&self, error: &impl fmt::Display) {
        let mut history = self.history();
        history.error = error.to_string();
        history.logged_down = true;
        self.is_down.store(true, Ordering::Relaxed);
    }

    /// Returns whether to look if it is up again: when that was last begun `gap` ago or earlier.
    pub(crate) fn begin_probe(&self, gap: Duration) -> bool {
        let mut history = self.history();
        let is_due = history.probed_at.is_none_or(|at| at.elapsed() >= gap);
        if is_due {
            history.probed_at = Some(Instant::now());
        }
        is_due
    }

    /// Logs a change that has not been logged. To be called once a second.
    pub(crate) fn log_change(&self) {
        let is_down = self.is_down();
        let mut history = self.history();
        let is_early = history.logged_at.is_some_and(|at| at.elapsed() < LOG_GAP);
        if history.logged_down == is_down || is_early {
            return;
        }
        history.logged_down = is_down;
        history.logged_at = Some(Instant::now());
        let (service, upstream) = (self.service.as_str(), self.upstream.as_str());
        if is_down {
            let error = history.error.as_str();
            tracing::warn!(
                service,
                upstream,
                error,
                "upstream is down: requests get 502 and no invoice until it accepts connections"
            );
        } else {
            tracing::info!(service, upstream, "upstream is up again");
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LOG_GAP: Duration = Duration::from_secs(1);
