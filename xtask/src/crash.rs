//! Crash test: kills paying clients at random moments and counts the money.
//!
//! The test is `tests/e2e/crash.rs`, of which `cargo test` runs a short version. This runs
//! it with as many kills as asked for, on the optimized binary.

use std::num::NonZeroU32;

use crate::e2e::{self, E2eError};

/// Kills paying clients at random moments, and checks that nothing is paid twice or lost.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many purchases to kill.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: NonZeroU32,
}

pub(crate) fn run(args: &Args) -> Result<(), E2eError> {
    e2e::run("crash::", "TOLLWAY_CRASH_ROUNDS", args.rounds)
}

const ROUNDS: NonZeroU32 = NonZeroU32::new(200).expect("not zero");
