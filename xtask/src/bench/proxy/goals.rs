//! Goals: what the gateway is to reach, what it reached, and how far the figure is to be relied on.
//!
//! A goal that is missed is printed and is no error: a benchmark is not a test.
#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::fmt;

use super::Measured;
use super::case::{Body, Case};
use super::peers::Proxy;
use super::window::{Figure, QUIET, Record};
use crate::bench::figures::{median, verdict};

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// Requests per second in a case, at least so many times another proxy's.
    PerSecond(Case, f64, Proxy),
    /// p99 in a case, at most so many times another proxy's.
    P99(Case, f64, Proxy),
    /// Peak memory in a case, in MiB.
    Memory(Case, f64),
    /// Peak memory in any case, in MiB.
    MemoryOfAll(f64),
}

const GOALS: [Goal; 11] = [
    Goal::PerSecond(Case::Http1, 0.92, Proxy::Nginx),
    Goal::P99(Case::Http1, 1.3, Proxy::Nginx),
    Goal::PerSecond(Case::Grpc, 1.0, Proxy::Haproxy),
    Goal::PerSecond(Case::Download(Body::Kib100), 0.9, Proxy::Nginx),
    Goal::PerSecond(Case::Download(Body::Mib10), 0.9, Proxy::Nginx),
    Goal::PerSecond(Case::Upload(Body::Kib100), 0.9, Proxy::Nginx),
    Goal::PerSecond(Case::Upload(Body::Mib10), 0.9, Proxy::Nginx),
    Goal::PerSecond(Case::Tls, 0.9, Proxy::Nginx),
    Goal::PerSecond(Case::TlsDownload, 0.9, Proxy::Nginx),
    Goal::Memory(Case::Http1, 16.0),
    Goal::MemoryOfAll(16.0),
];

/// Prints the goals of the cases that were measured.
pub(super) fn print(measured: &[Measured]) {
    println!("\nGoals\n");
    println!(
        "| goal | measured | over the rounds | rounds that meet it | | without the check | reasons for doubt |"
    );
    println!("|---|---:|---:|---:|---|---:|---|");
    for goal in GOALS {
        if let Some(result) = goal.evaluate(measured) {
            println!("| {goal} | {result} |");
        }
    }
}

impl Goal {
    /// Returns nothing when the case was not measured.
    fn evaluate(self, measured: &[Measured]) -> Option<Reached> {
        match self {
            Self::PerSecond(case, least, other) => {
                let pair = Pair::find(measured, case, other)?;
                Some(pair.compare(Figure::PerSecond, |ratio| ratio >= least))
            }
            Self::P99(case, most, other) => {
                let pair = Pair::find(measured, case, other)?;
                Some(pair.compare(Figure::P99, |ratio| ratio <= most))
            }
            Self::Memory(case, most) => {
                let records = of(measured, case)?;
                let free = find(records, Proxy::TollwayFree);
                Some(Reached::of_peaks(
                    find(records, Proxy::Tollway)?.peak_mib,
                    free.map(|record| record.peak_mib),
                    most,
                ))
            }
            Self::MemoryOfAll(most) => {
                let highest = |proxy| {
                    measured
                        .iter()
                        .filter_map(|measured| find(&measured.records, proxy))
                        .map(|record| record.peak_mib)
                        .max_by(f64::total_cmp)
                };
                Some(Reached::of_peaks(
                    highest(Proxy::Tollway)?,
                    highest(Proxy::TollwayFree),
                    most,
                ))
            }
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(case, least, other) => {
                write!(f, "{} ≥ {least:.2} × {}", case.name(), other.name())
            }
            Self::P99(case, most, other) => {
                write!(f, "{}: p99 ≤ {most:.2} × {}", case.name(), other.name())
            }
            Self::Memory(case, most) => write!(f, "{}: peak ≤ {most:.0} MiB", case.name()),
            Self::MemoryOfAll(most) => write!(f, "all of these cases: peak ≤ {most:.0} MiB"),
        }
    }
}

/// What was reached of a goal.
#[derive(Debug)]
struct Reached {
    /// With the check, one per round.
    rounds: Vec<f64>,
    /// How many of them meet the goal.
    meeting: usize,
    met: bool,
    /// Without the check.
    free: Option<f64>,
    doubts: Vec<Doubt>,
}

/// A reason not to rely on a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Doubt {
    /// Some rounds meet the goal and others miss it.
    Rounds,
    /// A proxy was not the limit: this share of its core was in use.
    Idle(Proxy, f64),
    /// Other programs used this share of a proxy's core.
    Disturbed(Proxy, f64),
}

impl Reached {
    fn of_peaks(peak: f64, free: Option<f64>, most: f64) -> Self {
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
struct Pair<'a> {
    ours: &'a Record,
    free: Option<&'a Record>,
    other: &'a Record,
}

impl<'a> Pair<'a> {
    fn find(measured: &'a [Measured], case: Case, other: Proxy) -> Option<Self> {
        let records = of(measured, case)?;
        Some(Self {
            ours: find(records, Proxy::Tollway)?,
            free: find(records, Proxy::TollwayFree),
            other: find(records, other)?,
        })
    }

    fn compare(self, figure: Figure, meets: impl Fn(f64) -> bool) -> Reached {
        let rounds = self.ours.ratios(figure, self.other);
        let meeting = rounds.iter().filter(|ratio| meets(**ratio)).count();
        let mut doubts = Vec::new();
        if meeting > 0 && meeting < rounds.len() {
            doubts.push(Doubt::Rounds);
        }
        for record in [self.ours, self.other] {
            let (of_core, others) = (record.median(Figure::OfCore), record.median(Figure::Others));
            if of_core + others < SATURATED {
                doubts.push(Doubt::Idle(record.proxy, of_core + others));
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

fn of(measured: &[Measured], case: Case) -> Option<&[Record]> {
    let found = measured.iter().find(|measured| measured.case == case)?;
    Some(&found.records)
}

fn find(records: &[Record], proxy: Proxy) -> Option<&Record> {
    records.iter().find(|record| record.proxy == proxy)
}

/// The share of a proxy's core that is in use when it is the limit.
const SATURATED: f64 = 0.9;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::load::Outcome;
    use crate::bench::proxy::window::Window;

    const HTTP1: Goal = Goal::PerSecond(Case::Http1, 0.9, Proxy::Nginx);

    #[test]
    fn a_goal_is_met_by_the_median_of_the_ratios_within_rounds() {
        // The second round was twice as slow for both.
        let measured = http1(&[
            record(Proxy::Nginx, &[1000, 500, 1000]),
            record(Proxy::Tollway, &[950, 475, 600]),
        ]);

        let reached = HTTP1.evaluate(&measured).unwrap();

        assert!(reached.met);
        assert_eq!(reached.meeting, 2);
        assert_eq!(reached.rounds, [0.95, 0.95, 0.6]);
        assert_eq!(reached.doubts, [Doubt::Rounds]);
    }

    #[test]
    fn a_missed_goal_is_reported_with_what_the_gateway_reaches_without_the_check() {
        let measured = http1(&[
            record(Proxy::Nginx, &[1000]),
            record(Proxy::Tollway, &[500]),
            record(Proxy::TollwayFree, &[750]),
        ]);

        let reached = HTTP1.evaluate(&measured).unwrap();

        assert_eq!(
            reached.to_string(),
            "0.50 | 0.50 to 0.50 | 0 of 1 | MISSED | 0.75 | "
        );
    }

    #[test]
    fn a_tail_is_compared_from_above() {
        let goal = Goal::P99(Case::Http1, 1.3, Proxy::Nginx);
        let mut slow = record(Proxy::Tollway, &[1000]);
        slow.windows[0].outcome.p99_us = 132.0;
        let measured = http1(&[record(Proxy::Nginx, &[1000]), slow]);

        assert!(!goal.evaluate(&measured).unwrap().met);
    }

    #[test]
    fn a_figure_that_the_load_limited_is_doubted() {
        assert_eq!(
            doubts(700, 700),
            ["the load was the limit: the core of nginx was 70 % busy"]
        );
    }

    #[test]
    fn a_figure_that_other_programs_disturbed_is_doubted() {
        assert_eq!(doubts(800, 1000), ["others used 20 % next to nginx"]);
    }

    #[test]
    fn memory_is_the_highest_of_the_measured_cases() {
        let mut measured = http1(&[record(Proxy::Tollway, &[1000])]);
        let mut large = record(Proxy::Tollway, &[1000]);
        large.peak_mib = 17.0;
        measured.push(Measured {
            case: Case::Download(Body::Mib10),
            records: vec![large],
        });

        assert!(
            Goal::Memory(Case::Http1, 16.0)
                .evaluate(&measured)
                .unwrap()
                .met
        );
        assert!(!Goal::MemoryOfAll(16.0).evaluate(&measured).unwrap().met);
    }

    #[test]
    fn a_case_that_was_not_measured_has_no_result() {
        let measured = http1(&[record(Proxy::Nginx, &[1000])]);

        assert!(HTTP1.evaluate(&measured).is_none(), "no gateway");
        assert!(HTTP1.evaluate(&[]).is_none(), "no case");
        assert!(Goal::MemoryOfAll(16.0).evaluate(&[]).is_none());
    }

    /// Returns the doubts when nginx uses its core for so many milliseconds of a second, and all
    /// programs for so many.
    fn doubts(proxy: u64, all: u64) -> Vec<String> {
        let mut nginx = record(Proxy::Nginx, &[1000]);
        nginx.windows[0].proxy = Duration::from_millis(proxy);
        nginx.windows[0].proxy_core = Duration::from_millis(all);
        let measured = http1(&[nginx, record(Proxy::Tollway, &[1000])]);
        let doubts = HTTP1.evaluate(&measured).unwrap().doubts;
        doubts.iter().map(Doubt::to_string).collect()
    }

    fn http1(records: &[Record]) -> Vec<Measured> {
        vec![Measured {
            case: Case::Http1,
            records: records.to_vec(),
        }]
    }

    /// Rounds of one second in which the proxy had all of its core.
    fn record(proxy: Proxy, requests: &[u32]) -> Record {
        let window = |requests: &u32| Window {
            outcome: Outcome {
                requests: *requests,
                seconds: 1.0,
                p50_us: 50.0,
                p99_us: 100.0,
            },
            elapsed: Duration::from_secs(1),
            proxy: Duration::from_secs(1),
            proxy_core: Duration::from_secs(1),
            load_core: Duration::from_secs(1),
        };
        Record {
            proxy,
            windows: requests.iter().map(window).collect(),
            peak_mib: 8.0,
        }
    }
}
