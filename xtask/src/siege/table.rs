//! Table of a siege.
#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::collections::BTreeMap;

use serde::Deserialize;

/// One scenario on one proxy.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) scenario: &'static str,
    pub(super) proxy: &'static str,
    pub(super) peak_kib: Option<u64>,
    pub(super) outcome: Outcome,
}

/// What `tollway-bench siege` prints.
#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    phases: Vec<Phase>,
    attack: String,
}

/// The customers' figures of one phase.
#[derive(Debug, Deserialize)]
struct Phase {
    name: String,
    requests: u32,
    failures: BTreeMap<String, u32>,
    p50_us: u32,
    p99_us: u32,
    max_us: u32,
}

impl Outcome {
    /// Returns whether every request of every customer was served.
    pub(super) fn is_perfect(&self) -> bool {
        self.phases.iter().all(|phase| phase.failures.is_empty())
    }
}

pub(super) fn print_head() {
    println!(
        "| scenario | proxy | before: served, p50 / p99 / max ms | during | after | peak MiB | attackers |"
    );
    println!("|---|---|---|---|---|---:|---|");
}

pub(super) fn print(row: &Row) {
    let phases: Vec<_> = row.outcome.phases.iter().map(phase).collect();
    let peak = row
        .peak_kib
        .map_or_else(|| "gone".to_owned(), |kib| kib.div_ceil(1024).to_string());
    println!(
        "| {} | {} | {} | {peak} | {} |",
        row.scenario,
        row.proxy,
        phases.join(" | "),
        row.outcome.attack
    );
    for phase in &row.outcome.phases {
        for (failure, times) in &phase.failures {
            println!("  {} {}: {times} × {failure}", row.proxy, phase.name);
        }
    }
}

fn phase(phase: &Phase) -> String {
    let failed: u32 = phase.failures.values().sum();
    let served = phase.requests.saturating_sub(failed);
    let percent = share(served, phase.requests);
    let ms = |us: u32| f64::from(us) / 1e3;
    format!(
        "{percent} of {}, {:.1} / {:.1} / {:.0}",
        phase.requests,
        ms(phase.p50_us),
        ms(phase.p99_us),
        ms(phase.max_us)
    )
}

/// Never rounded up to 100 %.
fn share(served: u32, requests: u32) -> String {
    let tenths = u64::from(served)
        .saturating_mul(1000)
        .checked_div(requests.into())
        .unwrap_or(0);
    if tenths == 1000 {
        "100 %".to_owned()
    } else {
        format!("{}.{} %", tenths.div_euclid(10), tenths.rem_euclid(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_in_a_million_is_not_a_hundred_per_cent() {
        assert_eq!(share(999_999, 1_000_000), "99.9 %");
        assert_eq!(share(7, 7), "100 %");
    }

    #[test]
    fn a_failure_in_any_phase_is_seen() {
        let outcome: Outcome = serde_json::from_str(
            r#"{"attack": "", "phases": [
                {"name": "before", "requests": 2, "failures": {"status 502": 1}, "p50_us": 1, "p99_us": 2, "max_us": 3}
            ]}"#,
        )
        .unwrap();

        assert!(!outcome.is_perfect());
    }
}
