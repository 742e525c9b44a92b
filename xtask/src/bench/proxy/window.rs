//! Measured windows: every proxy under load in turn, in several rounds.
//!
//! Rounds go over all proxies, every other one backwards, so that a disturbance longer than a
//! round cancels out of the ratios within rounds. The time that other programs took on the core of
//! the proxies is measured, and a disturbed window is repeated while there is time for it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::case::Proxy;
use super::peers::Peer;
use crate::bench::cores::{LOAD_CORE, PROXY_CORE};
use crate::bench::figures::{median, ratios};
use crate::bench::load::Outcome;
use crate::bench::meter;

/// How long and how often every proxy is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) seconds: f64,
    pub(super) rounds: usize,
    /// What disturbed windows may take in addition, in the whole benchmark.
    pub(super) repeats: Duration,
}

/// Figures of one proxy.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) proxy: Proxy,
    /// One per round.
    pub(super) windows: Vec<Window>,
    pub(super) peak_mib: f64,
}

/// One proxy under load, once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) outcome: Outcome,
    pub(super) elapsed: Duration,
    /// CPU time of the proxy.
    pub(super) proxy: Duration,
    /// Busy time of its core.
    pub(super) proxy_core: Duration,
    /// Busy time of the core of load and upstream.
    pub(super) load_core: Duration,
}

/// A figure of a window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Figure {
    PerSecond,
    CpuMicros,
    P50,
    P99,
    /// The share of its core that the proxy used; well below 1, the proxy was not the limit.
    OfCore,
    /// The share of its core that other programs used.
    Others,
    /// The share of the other core that was in use, by load, upstream and others.
    LoadCore,
}

impl Record {
    /// Returns a figure of every round.
    pub(super) fn rounds(&self, figure: Figure) -> Vec<f64> {
        self.windows
            .iter()
            .map(|window| window.figure(figure))
            .collect()
    }

    pub(super) fn median(&self, figure: Figure) -> f64 {
        median(self.rounds(figure))
    }

    /// Returns the ratio of a figure to another proxy's in every round.
    pub(super) fn ratios(&self, figure: Figure, other: &Self) -> Vec<f64> {
        ratios(&self.rounds(figure), &other.rounds(figure))
    }
}

impl Window {
    fn measure(peer: &Peer, run: impl FnOnce() -> Result<Outcome>) -> Result<Self> {
        let clocks = || -> Result<_> {
            Ok((
                Instant::now(),
                meter::cpu_time(peer.pid())?,
                meter::core_time(PROXY_CORE)?,
                meter::core_time(LOAD_CORE)?,
            ))
        };
        let (begun, proxy, proxy_core, load_core) = clocks()?;
        let outcome = run().with_context(|| format!("{} under load", peer.proxy.name()))?;
        let (ended, proxy_then, proxy_core_then, load_core_then) = clocks()?;
        ensure!(outcome.requests > 0, "{} served nothing", peer.proxy.name());
        Ok(Self {
            outcome,
            elapsed: ended.saturating_duration_since(begun),
            proxy: proxy_then.saturating_sub(proxy),
            proxy_core: proxy_core_then.saturating_sub(proxy_core),
            load_core: load_core_then.saturating_sub(load_core),
        })
    }

    pub(super) fn figure(&self, figure: Figure) -> f64 {
        let share = |of: Duration| of.as_secs_f64() / self.elapsed.as_secs_f64();
        match figure {
            Figure::PerSecond => self.outcome.per_second(),
            Figure::CpuMicros => self.proxy.as_secs_f64() * 1e6 / f64::from(self.outcome.requests),
            Figure::P50 => self.outcome.p50_us,
            Figure::P99 => self.outcome.p99_us,
            Figure::OfCore => share(self.proxy),
            Figure::Others => share(self.proxy_core.saturating_sub(self.proxy)),
            Figure::LoadCore => share(self.load_core),
        }
    }
}

/// Measures all proxies under the load that `run` makes for so many seconds.
///
/// # Errors
///
/// When a response is not the expected one, or a proxy ends.
pub(super) fn measure(
    pace: &mut Pace,
    peers: &[Peer],
    mut run: impl FnMut(&Peer, f64) -> Result<Outcome>,
) -> Result<Vec<Record>> {
    let mut windows: Vec<_> = peers.iter().map(|_| Vec::new()).collect();
    for peer in peers {
        run(peer, WARM_UP_SECS).with_context(|| format!("{} warming up", peer.proxy.name()))?;
    }
    for round in 0..pace.rounds {
        let mut order: Vec<_> = peers.iter().zip(&mut windows).collect();
        if round.rem_euclid(2) == 1 {
            order.reverse();
        }
        for (peer, windows) in order {
            let seconds = pace.seconds;
            windows.push(quietest(pace, peer, || run(peer, seconds))?);
        }
    }
    peers
        .iter()
        .zip(windows)
        .map(|(peer, windows)| {
            Ok(Record {
                proxy: peer.proxy,
                windows,
                peak_mib: f64::from(u32::try_from(meter::peak_memory_kib(peer.pid())?)?) / 1024.0,
            })
        })
        .collect()
}

/// Measures until the proxy had its core to itself, or too often, or for too long.
fn quietest(
    pace: &mut Pace,
    peer: &Peer,
    mut run: impl FnMut() -> Result<Outcome>,
) -> Result<Window> {
    let mut best = Window::measure(peer, &mut run)?;
    for _ in 1..TRIES {
        if best.figure(Figure::Others) < QUIET || pace.repeats.is_zero() {
            break;
        }
        let again = Window::measure(peer, &mut run)?;
        pace.repeats = pace.repeats.saturating_sub(again.elapsed);
        if again.figure(Figure::Others) < best.figure(Figure::Others) {
            best = again;
        }
    }
    Ok(best)
}

const WARM_UP_SECS: f64 = 0.5;
/// The share of the proxy's core that other programs may use.
pub(super) const QUIET: f64 = 0.07;
const TRIES: usize = 4;
