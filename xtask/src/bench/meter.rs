//! CPU time and memory of processes and cores, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Returns the CPU time of all threads of a process since it started, to 10 ms.
///
/// # Errors
///
/// When there is no such process.
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything; numbers follow.
    let (_, numbers) = stat.rsplit_once(')').context("no name in stat")?;
    let mut fields = numbers.split_whitespace().skip(UTIME);
    let mut ticks = || -> Result<u64> { Ok(fields.next().context("stat is short")?.parse()?) };
    Ok(of_ticks(ticks()?.saturating_add(ticks()?)))
}

/// Returns the time a core was busy since the machine started.
///
/// # Errors
///
/// When there is no such core.
pub(super) fn core_time(core: usize) -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix(&format!("cpu{core} ")))
        .with_context(|| format!("no core {core}"))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(CORE_FIELDS)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let idle: u64 = ticks.iter().skip(IDLE).take(2).sum();
    Ok(of_ticks(ticks.iter().sum::<u64>().saturating_sub(idle)))
}

/// Returns the peak memory of a process, in KiB.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn peak_memory_kib(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM:")
}

/// Returns the resident memory of a process, in KiB.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn memory_kib(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.with_context(|| format!("no {field}"))?.parse()?)
}

const fn of_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks.saturating_mul(MS_PER_TICK))
}

/// Counted after the name: the state is field 0.
const UTIME: usize = 11;
/// user, nice, system, idle, iowait, irq, softirq, steal.
const CORE_FIELDS: usize = 8;
const IDLE: usize = 3;
/// `/proc` counts in hundredths of a second, independent of the kernel's tick.
const MS_PER_TICK: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let pid = std::process::id();

        assert!(cpu_time(pid).is_ok());
        let now = memory_kib(pid).unwrap();
        assert!(now > 0);
        // Read later: other tests allocate meanwhile.
        assert!(peak_memory_kib(pid).unwrap() >= now);
    }

    #[test]
    fn a_core_that_is_not_there_is_an_error() {
        assert!(core_time(0).is_ok());
        assert!(core_time(1_000_000).is_err());
    }
}
