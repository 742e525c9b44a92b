//! Latency percentiles.

use std::time::Duration;

use serde::Serialize;

/// All latencies, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

/// The reported percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
}

impl Latencies {
    pub(crate) fn add(&mut self, taken: Duration) {
        self.0
            .push(u32::try_from(taken.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn percentiles(mut self) -> Percentiles {
        self.0.sort_unstable();
        let at = |percent: usize| {
            let index = self.0.len().saturating_mul(percent).div_euclid(100);
            self.0.get(index).or(self.0.last()).copied().unwrap_or(0)
        };
        Percentiles {
            p50_us: at(50),
            p99_us: at(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_different_times_have_the_percentiles_they_should() {
        let mut latencies = Latencies::default();
        for micros in (0..100).rev() {
            latencies.add(Duration::from_micros(micros));
        }

        let Percentiles { p50_us, p99_us } = latencies.percentiles();

        assert_eq!((p50_us, p99_us), (50, 99));
    }

    #[test]
    fn no_times_at_all_are_no_panic() {
        assert_eq!(Latencies::default().percentiles().p99_us, 0);
    }
}
