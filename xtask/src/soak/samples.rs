//! Memory and descriptors of the gateway over time.
#![expect(clippy::print_stdout, reason = "the samples are the output")]

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::metrics::Metrics;
use crate::bench::meter;

/// One look at the gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    memory_kib: u64,
    descriptors: u64,
    threads: u64,
    connections: u64,
    in_flight: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} KiB, {} descriptors, {} threads, {} connections, {} requests in flight",
            self.memory_kib, self.descriptors, self.threads, self.connections, self.in_flight
        )
    }
}

impl Sample {
    /// Looks at the process and its metrics.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub(super) fn take(pid: u32, admin: SocketAddr) -> Result<Self> {
        let entries = |folder| -> Result<u64> {
            let folder = fs::read_dir(format!("/proc/{pid}/{folder}"));
            Ok(u64::try_from(
                folder.context("the gateway is gone")?.count(),
            )?)
        };
        let metrics = Metrics::read(admin)?;
        Ok(Self {
            memory_kib: meter::memory_kib(pid)?,
            descriptors: entries("fd")?,
            threads: entries("task")?,
            connections: metrics.sum("tollway_connections_open"),
            in_flight: metrics.sum("tollway_requests_in_flight"),
        })
    }

    /// Returns whether nothing is in flight, no client is connected, and nothing else is open that
    /// was not at the beginning: every task of a connection has a descriptor.
    pub(super) fn is_idle(&self, begin: &Self) -> bool {
        self.in_flight == 0
            && self.connections == 0
            && self.descriptors <= begin.descriptors
            && self.threads <= begin.threads
    }
}

/// The samples of a run.
#[derive(Debug)]
pub(super) struct Samples {
    length: Duration,
    printed: Duration,
    taken: Vec<(Duration, Sample)>,
}

impl Samples {
    pub(super) fn new(length: Duration) -> Self {
        println!("| second | RSS KiB | descriptors | threads | connections | in flight |");
        println!("|---:|---:|---:|---:|---:|---:|");
        Self {
            length,
            printed: Duration::ZERO,
            taken: Vec::new(),
        }
    }

    /// Adds one, and prints one in a while.
    pub(super) fn add(&mut self, at: Duration, sample: Sample) {
        if self.taken.is_empty() || at.saturating_sub(self.printed) >= self.length.div_f64(LINES) {
            self.printed = at;
            println!(
                "| {} | {} | {} | {} | {} | {} |",
                at.as_secs(),
                sample.memory_kib,
                sample.descriptors,
                sample.threads,
                sample.connections,
                sample.in_flight
            );
        }
        self.taken.push((at, sample));
    }

    /// Compares the medians of the second fifth, when the gateway is warm, and the last.
    ///
    /// # Errors
    ///
    /// When one has grown beyond its tolerance.
    pub(super) fn verdict(&self) -> Result<String> {
        let memory = |fifth| self.median(fifth, |sample| sample.memory_kib);
        let descriptors = |fifth| self.median(fifth, |sample| sample.descriptors);
        let (warm_kib, last_kib) = (memory(1)?, memory(4)?);
        let (warm_fds, last_fds) = (descriptors(1)?, descriptors(4)?);
        let figures = format!(
            "RSS {warm_kib} KiB when warm, {last_kib} KiB at the end; descriptors {warm_fds}, {last_fds}"
        );
        let memory_max = warm_kib
            .saturating_add(warm_kib.div_euclid(10))
            .saturating_add(MEMORY_TOLERANCE_KIB);
        let descriptors_max = warm_fds.saturating_add(DESCRIPTORS_TOLERANCE);
        ensure!(
            last_kib <= memory_max && last_fds <= descriptors_max,
            "{figures}; at most {memory_max} KiB and {descriptors_max}"
        );
        Ok(figures)
    }

    fn median(&self, fifth: u32, of: impl Fn(&Sample) -> u64) -> Result<u64> {
        let step = self.length.div_f64(5.0);
        let from = step.saturating_mul(fifth);
        let to = from.saturating_add(step);
        let mut values: Vec<_> = self
            .taken
            .iter()
            .filter(|(at, _)| (from..to).contains(at))
            .map(|(_, sample)| of(sample))
            .collect();
        values.sort_unstable();
        let middle = values.len().div_euclid(2);
        values.get(middle).copied().context("too short to compare")
    }
}

/// Lines of a run, however long.
const LINES: f64 = 20.0;
/// What memory may grow by, on top of a tenth: allocators return pages when they like.
const MEMORY_TOLERANCE_KIB: u64 = 2048;
/// Connections come and go between samples.
const DESCRIPTORS_TOLERANCE: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory: impl Fn(u64) -> u64) -> Samples {
        let mut samples = Samples::new(Duration::from_secs(100));
        for second in 0..100 {
            let sample = Sample {
                memory_kib: memory(second),
                descriptors: 30,
                threads: 4,
                connections: 9,
                in_flight: 1,
            };
            samples.add(Duration::from_secs(second), sample);
        }
        samples
    }

    #[test]
    fn what_grows_while_it_warms_up_is_flat() {
        assert!(
            samples(|second| 10_000 + second.min(20) * 1000)
                .verdict()
                .is_ok()
        );
    }

    #[test]
    fn what_keeps_growing_is_not_flat() {
        assert!(samples(|second| 10_000 + second * 200).verdict().is_err());
    }
}
