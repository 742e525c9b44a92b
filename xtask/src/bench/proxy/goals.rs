//! Goals: what the gateway is to reach, what it reached, and how far the figure is to be relied on.
//!
//! A goal that is missed is printed and is no error: a benchmark is not a test.
#![expect(clippy::print_stdout, reason = "the table is the output")]

mod reached;

use std::fmt;

use super::Measured;
use super::case::Proxy;
use super::case::{Body, Case};
use super::window::{Figure, Record};
use reached::{Pair, Reached};

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
                let pair = pair(measured, case, other)?;
                Some(pair.compare(Figure::PerSecond, |ratio| ratio >= least))
            }
            Self::P99(case, most, other) => {
                let pair = pair(measured, case, other)?;
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

fn pair(measured: &[Measured], case: Case, other: Proxy) -> Option<Pair<'_>> {
    let records = of(measured, case)?;
    Some(Pair {
        ours: find(records, Proxy::Tollway)?,
        free: find(records, Proxy::TollwayFree),
        other: find(records, other)?,
    })
}

fn of(measured: &[Measured], case: Case) -> Option<&[Record]> {
    let found = measured.iter().find(|measured| measured.case == case)?;
    Some(&found.records)
}

fn find(records: &[Record], proxy: Proxy) -> Option<&Record> {
    records.iter().find(|record| record.proxy == proxy)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::reached::Doubt;
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
