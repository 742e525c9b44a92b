//! Does a client that dies at any moment lose or repeat a payment?
//!
//! The test is `tests/e2e/crash.rs`, of which `cargo test` runs a short version. This runs
//! it with as many kills as asked for, on the binary that is shipped.

use std::num::NonZeroU32;
use std::process::{Command, ExitStatus};

/// Kills a paying client at random moments and counts the money.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many purchases to kill.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: NonZeroU32,
}

/// Why the crash test did not pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CrashError {
    #[error("the crash test failed ({0}): see above")]
    Failed(ExitStatus),
    #[error("cannot run cargo: {0}")]
    NotRun(#[from] std::io::Error),
}

pub(crate) fn run(args: &Args) -> Result<(), CrashError> {
    let test = [
        "test",
        "--release",
        "--package",
        "tollway",
        "--test",
        "e2e",
        "crash::",
        "--",
        "--nocapture",
    ];
    let status = Command::new(env!("CARGO"))
        .args(test)
        .env("TOLLWAY_CRASH_ROUNDS", args.rounds.to_string())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(CrashError::Failed(status))
    }
}

const ROUNDS: NonZeroU32 = NonZeroU32::new(200).expect("not zero");
