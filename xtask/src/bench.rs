//! Measurements that print ratios: against others, on this machine, in the same run.

mod verify;

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Bench {
    /// Nanoseconds per verification, beside the `macaroon` crate.
    Verify,
}

/// Runs a measurement and prints it.
///
/// # Errors
///
/// When it could not be run or its output not be read.
pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Verify => verify::run(),
    }
}
