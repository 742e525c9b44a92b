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
    attack: Made,
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

/// The attack as it was made.
#[derive(Debug, Deserialize)]
struct Made {
    count: u32,
    seen: String,
}

impl Outcome {
    /// Returns what is missed: customers that were not served, or an attack smaller than `count`.
    pub(super) fn missed(&self, count: u32) -> Option<String> {
        let failed: u32 = self.phases.iter().map(Phase::failed).sum();
        if failed > 0 {
            return Some(format!("{failed} requests of customers failed"));
        }
        let made = self.attack.count;
        (made < count).then(|| format!("the attack was {made} of {count}"))
    }
}

impl Phase {
    fn failed(&self) -> u32 {
        self.failures.values().sum()
    }

    /// Returns its columns.
    fn columns(&self) -> String {
        let served = self.requests.saturating_sub(self.failed());
        format!(
            "{} of {} | {:.1} | {:.1} | {:.0}",
            share(served, self.requests),
            self.requests,
            ms(self.p50_us),
            ms(self.p99_us),
            ms(self.max_us)
        )
    }
}

pub(super) fn print_head() {
    let phase = |name| format!("served {name} | p50 ms | p99 ms | max ms");
    println!(
        "| scenario | proxy | {} | {} | {} | peak MiB | attackers |",
        phase("before"),
        phase("during"),
        phase("after")
    );
    println!("|---|---|{}---:|---|", "---:|".repeat(12));
}

pub(super) fn print(row: &Row) {
    let phases: Vec<_> = row.outcome.phases.iter().map(Phase::columns).collect();
    let peak = row
        .peak_kib
        .map_or_else(|| "gone".to_owned(), |kib| kib.div_ceil(1024).to_string());
    println!(
        "| {} | {} | {} | {peak} | {} |",
        row.scenario,
        row.proxy,
        phases.join(" | "),
        row.outcome.attack.seen
    );
}

/// Prints why requests of customers failed.
pub(super) fn print_failures(row: &Row) {
    for phase in &row.outcome.phases {
        for (failure, times) in &phase.failures {
            let (scenario, proxy, name) = (row.scenario, row.proxy, &phase.name);
            println!("- {scenario}, {proxy}, {name}: {times} × {failure}");
        }
    }
}

fn ms(us: u32) -> f64 {
    f64::from(us) / 1e3
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

    fn outcome(failures: &str) -> Outcome {
        serde_json::from_str(&format!(
            r#"{{"attack": {{"count": 7, "seen": ""}}, "phases": [
                {{"name": "before", "requests": 2, "failures": {failures}, "p50_us": 1, "p99_us": 2, "max_us": 3}}
            ]}}"#,
        ))
        .unwrap()
    }

    #[test]
    fn a_failure_in_any_phase_is_missed() {
        let missed = outcome(r#"{"status 502": 1}"#).missed(7);

        assert_eq!(missed.unwrap(), "1 requests of customers failed");
        assert!(outcome("{}").missed(7).is_none());
    }

    #[test]
    fn an_attack_that_was_not_made_whole_is_missed() {
        let missed = outcome("{}").missed(8);

        assert_eq!(missed.unwrap(), "the attack was 7 of 8");
    }
}
