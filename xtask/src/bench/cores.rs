//! Cores of the machine that programs are pinned to.

use std::path::Path;
use std::process::Command;

/// Where a program may run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cores {
    All,
    Only(usize),
}

impl Cores {
    /// Returns a command that starts `program` there, in the process itself.
    pub(super) fn command(self, program: &Path) -> Command {
        match self {
            Self::All => Command::new(program),
            Self::Only(core) => {
                let mut taskset = Command::new("taskset");
                taskset.arg("--cpu-list").arg(core.to_string()).arg(program);
                taskset
            }
        }
    }
}

/// The core of the measured program.
pub(super) const PROXY_CORE: usize = 0;
/// The core of load and upstream.
pub(super) const LOAD_CORE: usize = 1;
