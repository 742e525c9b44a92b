//! The crate `macaroon` compared with our macaroons, token by token.
//!
//! The comparison is `bench/oracle/tests`, a workspace of its own: that crate builds libsodium,
//! which takes `make` and minutes.

use std::process::Command;
use std::time::Duration;

use super::report::{Checks, Halt};
use super::{Setup, process};

/// A cold build of libsodium, which tests itself, with room.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

pub(super) fn run(setup: &Setup, checks: &mut Checks<'_>) -> Result<(), Halt> {
    if Command::new("make").arg("--version").output().is_err() {
        return Err(Halt::CouldNotRun("libsodium is built with make".to_owned()));
    }
    let manifest = setup.workspace.bench_file("oracle/Cargo.toml");
    let mut test = Command::new(env!("CARGO"));
    test.args(["test", "--quiet", "--manifest-path"])
        .arg(manifest);
    checks.check("the same signatures and verdicts, both ways", || {
        process::output(&mut test, PATIENCE).map(drop)
    })
}
