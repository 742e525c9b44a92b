//! Health of an upstream: whether it is known to accept connections.
//!
//! Shared by all workers. A request that is paid for is forwarded whatever the state. What is not
//! paid for is offered a token only while the upstream is up:
//!
//! | state | meaning | left when |
//! |---|---|---|
//! | up | a response or a new connection of the last second or so | a second passes: stale; no connection can be opened: down |
//! | stale | nothing was received since: probed before something is sold | as for up and down |
//! | down | the last connection could not be opened | a response, or a probe that was accepted: up |
//!
//! A probe opens a connection and closes it. There is one at a time, and at most one per second:
//! see [`connect`](super::connect). A response in state up costs one load.
//!
//! That it is down, or no longer, is logged when it happens, and no more than once a second.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Whether an upstream is known to accept connections.
#[derive(Debug)]
pub(crate) struct Health {
    service: String,
    upstream: String,
    /// Written while `history` is locked.
    state: AtomicU8,
    history: Mutex<History>,
    /// Changes whenever a probe has ended.
    probes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct History {
    /// When the state became up.
    up_at: Option<Instant>,
    /// Why it was down last.
    error: String,
    is_probing: bool,
    probed_at: Option<Instant>,
    logged_down: bool,
    logged_at: Option<Instant>,
}

impl Health {
    /// Creates the health of an upstream from which nothing was received yet.
    pub(crate) fn new(service: &str, upstream: &impl fmt::Display) -> Self {
        Self {
            service: service.to_owned(),
            upstream: upstream.to_string(),
            state: AtomicU8::new(STALE),
            history: Mutex::default(),
            probes: watch::Sender::default(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state.load(Ordering::Relaxed) == UP
    }

    pub(crate) fn is_down(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DOWN
    }

    /// Records a response of the upstream, or a connection it accepted.
    pub(crate) fn mark_up(&self) {
        if !self.is_up() {
            let mut history = self.history();
            history.up_at = Some(Instant::now());
            self.change(&mut history, UP);
        }
    }

    /// Records that no connection could be opened.
    pub(crate) fn mark_down(&self, error: &impl fmt::Display) {
        if !self.is_down() {
            let mut history = self.history();
            history.error = error.to_string();
            self.change(&mut history, DOWN);
        }
    }

    /// Records that no connection could be opened, for a caller that reports it: that is not
    /// logged.
    pub(crate) fn mark_reported_down(&self, error: &impl fmt::Display) {
        let mut history = self.history();
        history.error = error.to_string();
        history.logged_down = true;
        self.change(&mut history, DOWN);
    }

    /// Ends the state up when it is old, and logs a change that has not been logged. To be called
    /// once a second, by each worker.
    pub(crate) fn tick(&self) {
        let mut history = self.history();
        let is_old = history.up_at.is_some_and(|at| at.elapsed() >= STALE_AFTER);
        if self.is_up() && is_old {
            self.change(&mut history, STALE);
        } else {
            self.log_change(&mut history);
        }
    }

    /// Begins a probe, unless there is one or the last one began less than `gap` ago.
    pub(crate) fn begin_probe(self: &Arc<Self>, gap: Duration) -> Option<Probe> {
        let mut history = self.history();
        let is_early = history.probed_at.is_some_and(|at| at.elapsed() < gap);
        if history.is_probing || is_early {
            return None;
        }
        history.is_probing = true;
        history.probed_at = Some(Instant::now());
        Some(Probe {
            health: Arc::clone(self),
            is_inconclusive: true,
        })
    }

    pub(crate) fn is_probing(&self) -> bool {
        self.history().is_probing
    }

    /// Changes whenever a probe has ended.
    pub(crate) fn probes(&self) -> watch::Receiver<()> {
        self.probes.subscribe()
    }

    fn change(&self, history: &mut History, state: u8) {
        self.state.store(state, Ordering::Relaxed);
        self.log_change(history);
    }

    fn log_change(&self, history: &mut History) {
        let is_down = self.is_down();
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

/// A probe in progress. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Probe {
    health: Arc<Health>,
    is_inconclusive: bool,
}

impl Probe {
    /// Records that the upstream accepted a connection.
    pub(crate) fn found_up(mut self) {
        self.is_inconclusive = false;
        self.health.mark_up();
    }

    /// Records that no connection could be opened.
    pub(crate) fn found_down(mut self, error: &impl fmt::Display) {
        self.is_inconclusive = false;
        self.health.mark_down(error);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let mut history = self.health.history();
        history.is_probing = false;
        if self.is_inconclusive {
            history.probed_at = None;
        }
        drop(history);
        self.health.probes.send_replace(());
    }
}

/// States.
const UP: u8 = 0;
const STALE: u8 = 1;
const DOWN: u8 = 2;

/// Each worker checks once a second: the state up ends within a second and a half.
const STALE_AFTER: Duration = Duration::from_millis(500);
const LOG_GAP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn health() -> Arc<Health> {
        Arc::new(Health::new("weather", &"http://upstream"))
    }

    #[test]
    fn one_probe_is_made_at_a_time_and_none_soon_after() {
        let health = health();

        let probe = health.begin_probe(Duration::ZERO).unwrap();
        assert!(health.begin_probe(Duration::ZERO).is_none());
        probe.found_up();

        assert!(health.is_up());
        assert!(health.begin_probe(Duration::from_secs(60)).is_none());
        assert!(health.begin_probe(Duration::ZERO).is_some());
    }

    #[test]
    fn a_probe_that_shows_nothing_changes_nothing_and_is_repeated() {
        let health = health();

        drop(health.begin_probe(Duration::ZERO));

        assert!(!health.is_up() && !health.is_down());
        assert!(health.begin_probe(Duration::from_secs(60)).is_some());
    }

    #[test]
    fn a_success_becomes_stale_and_a_failure_does_not() {
        let health = health();
        health.mark_up();
        health.tick();
        assert!(health.is_up(), "received just now");

        thread::sleep(STALE_AFTER);
        health.tick();
        assert!(!health.is_up() && !health.is_down());

        health.mark_down(&"refused");
        thread::sleep(STALE_AFTER);
        health.tick();
        assert!(health.is_down());
        health.mark_up();
        assert!(health.is_up());
    }
}
