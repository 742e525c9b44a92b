//! Signals that ask this process to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT and SIGHUP, caught from the moment this is made. A SIGHUP that was ignored
/// when the process began, as `nohup` arranges, stays ignored.
///
/// Made before a command reports that it is ready: a signal may follow at once.
#[derive(Debug)]
pub(crate) struct Shutdown {
    signals: Option<(Signal, Signal)>,
    hangup: Option<Signal>,
}

impl Shutdown {
    /// Catches the signals. When that is not possible they end the process the usual way.
    pub(crate) fn catch() -> Self {
        let catch = |kind| signal(kind).ok();
        let signals = catch(SignalKind::terminate()).zip(catch(SignalKind::interrupt()));
        let hangup = if ignores_hangup() {
            None
        } else {
            catch(SignalKind::hangup())
        };
        Self { signals, hangup }
    }

    /// Waits for one of them, or for the next one.
    pub(crate) async fn requested(&mut self) {
        match &mut self.signals {
            Some((terminate, interrupt)) => tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = received(&mut self.hangup) => {}
            },
            None => received(&mut self.hangup).await,
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Returns true when this process was started to outlive its terminal. Only Linux shows it.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & HANGUP_BIT != 0)
}

/// SIGHUP is signal 1, and the mask begins with it.
const HANGUP_BIT: u64 = 1;
