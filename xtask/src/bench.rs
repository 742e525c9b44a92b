//! Benchmarks that print ratios: ours and other programs, measured in one run on one machine.

mod cores;
mod figures;
pub(crate) mod gateway;
mod load;
pub(crate) mod meter;
pub(crate) mod programs;
mod proxy;
mod sandbox;
pub(crate) mod tools;
mod verify;

use crate::interop::process;

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Bench {
    /// Requests per second, CPU and memory of the gateway, nginx and haproxy.
    Proxy(proxy::Args),
    /// Challenges and purchases per second, on the sandbox and on LND where it is built.
    Sandbox(sandbox::Args),
    /// Nanoseconds per verification, ours and the `macaroon` crate's.
    Verify,
}

/// Runs a benchmark and prints its result.
///
/// # Errors
///
/// When it cannot run, or its output cannot be read.
pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    process::end_in_good_order()?;
    match bench {
        Bench::Proxy(args) => proxy::run(args),
        Bench::Sandbox(args) => sandbox::run(args),
        Bench::Verify => verify::run(),
    }
}
