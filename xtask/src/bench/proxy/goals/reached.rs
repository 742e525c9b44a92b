//! What was reached of a goal, and reasons not to rely on it.

use std::fmt;

use crate::bench::figures::{median, verdict};
use crate::bench::proxy::case::Proxy;
use crate::bench::proxy::window::{Figure, QUIET, Record, Window};

/// What was reached of a goal.
#[derive(Debug)]
pub(super) struct Reached {
    /// With the check, one per round.
    pub(super) rounds: Vec<f64>,
    /// How many of them meet the goal.
    pub(super) meeting: usize,
    pub(super) met: bool,
    /// Without the check.
    free: Option<f64>,
    pub(super) doubts: Vec<Doubt>,
}

/// A reason not to rely on a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Doubt {
    /// Some rounds meet the goal and others miss it.
    Rounds,
    /// A proxy was not the limit: this share of its core was in use.
    Idle(Proxy, f64),
    /// Other programs used this share of a proxy's core.
    Disturbed(Proxy, f64),
}

impl Reached {
    pub(super) fn of_peaks(peak: f64, free: Option<f64>, most: f64) -> Self {
        let met = peak <= most;
        Self {
            rounds: vec![peak],
            meeting: usize::from(met),
            met,
            free,
            doubts: Vec::new(),
        }
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.rounds.iter().copied().fold(0.0, f64::max);
        let doubts: Vec<_> = self.doubts.iter().map(Doubt::to_string).collect();
        let free = self.free.map(|free| format!("{free:.2}"));
        write!(
            f,
            "{:.2} | {least:.2} to {most:.2} | {} of {} | {} | {} | {}",
            median(self.rounds.clone()),
            self.meeting,
            self.rounds.len(),
            verdict(self.met),
            free.unwrap_or_default(),
            doubts.join("; ")
        )
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rounds => f.write_str("rounds differ"),
            Self::Idle(proxy, share) => {
                write!(
                    f,
                    "the load was the limit: the core of {} was {:.0} % busy",
                    proxy.name(),
                    share * 1e2
                )
            }
            Self::Disturbed(proxy, share) => {
                write!(
                    f,
                    "others used {:.0} % next to {}",
                    share * 1e2,
                    proxy.name()
                )
            }
        }
    }
}

/// The gateway, and the proxy that it is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) ours: &'a Record,
    pub(super) free: Option<&'a Record>,
    pub(super) other: &'a Record,
}

impl Pair<'_> {
    pub(super) fn compare(self, figure: Figure, meets: impl Fn(f64) -> bool) -> Reached {
        let rounds = self.ours.ratios(figure, self.other);
        let meeting = rounds.iter().filter(|ratio| meets(**ratio)).count();
        let mut doubts = Vec::new();
        if meeting > 0 && meeting < rounds.len() {
            doubts.push(Doubt::Rounds);
        }
        for record in [self.ours, self.other] {
            let others = record.median(Figure::Others);
            let busy =
                |window: &Window| window.figure(Figure::OfCore) + window.figure(Figure::Others);
            let busy = median(record.windows.iter().map(busy).collect());
            if busy < SATURATED {
                doubts.push(Doubt::Idle(record.proxy, busy));
            }
            if others >= QUIET {
                doubts.push(Doubt::Disturbed(record.proxy, others));
            }
        }
        Reached {
            met: meets(median(rounds.clone())),
            rounds,
            meeting,
            free: self
                .free
                .map(|free| median(free.ratios(figure, self.other))),
            doubts,
        }
    }
}

/// The share of a proxy's core that is in use when it is the limit.
const SATURATED: f64 = 0.9;
