//! Signals that ask this process to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, caught from the moment this is made.
///
/// Made before a command reports that it is ready: a signal may follow at once.
#[derive(Debug)]
pub(crate) struct Shutdown {
    signals: Option<(Signal, Signal)>,
}

impl Shutdown {
    /// Catches the signals. When that is not possible they end the process the usual way.
    pub(crate) fn catch() -> Self {
        let catch = |kind| signal(kind).ok();
        let signals = catch(SignalKind::terminate()).zip(catch(SignalKind::interrupt()));
        Self { signals }
    }

    /// Waits for one of them.
    pub(crate) async fn requested(mut self) {
        match &mut self.signals {
            Some((terminate, interrupt)) => tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            },
            None => std::future::pending().await,
        }
    }
}
