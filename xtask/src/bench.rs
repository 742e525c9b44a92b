//! Measurements that print ratios: against others, on this machine, in the same run.

mod figures;
mod gateway;
mod load;
mod meter;
mod peers;
mod programs;
mod proxy;
mod sandbox;
mod tools;
mod verify;

use crate::interop::process;

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Bench {
    /// Requests per second, CPU and memory of the gateway, beside nginx and haproxy.
    Proxy(proxy::Args),
    /// Challenges and purchases per second, beside LND where it is built.
    Sandbox(sandbox::Args),
    /// Nanoseconds per verification, beside the `macaroon` crate.
    Verify,
}

/// Runs a measurement and prints it.
///
/// # Errors
///
/// When it could not be run or its output not be read.
pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    process::end_in_good_order()?;
    match bench {
        Bench::Proxy(args) => proxy::run(args),
        Bench::Sandbox(args) => sandbox::run(args),
        Bench::Verify => verify::run(),
    }
}
