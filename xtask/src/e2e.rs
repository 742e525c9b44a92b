//! Long forms of the end-to-end tests.

use std::num::NonZeroU32;
use std::process::{Command, ExitStatus};

/// Why a long test did not pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum E2eError {
    #[error("the test failed ({0}): see above")]
    Failed(ExitStatus),
    #[error("cannot run cargo: {0}")]
    NotRun(#[from] std::io::Error),
}

/// Runs the tests whose names contain `filter` on the optimized binary, `rounds` times as
/// given to them in the environment variable `variable`.
pub(crate) fn run(filter: &str, variable: &str, rounds: NonZeroU32) -> Result<(), E2eError> {
    let test = [
        "test",
        "--release",
        "--package",
        "tollway",
        "--test",
        "e2e",
        filter,
        "--",
        "--nocapture",
    ];
    let status = Command::new(env!("CARGO"))
        .args(test)
        .env(variable, rounds.to_string())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(E2eError::Failed(status))
    }
}
