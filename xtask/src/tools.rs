//! Programs of crates.io that tasks run, installed into `target/tools`.
#![expect(
    clippy::print_stdout,
    reason = "prints why the first run takes minutes"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::workspace::Workspace;

/// A program and the version that is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// The program, and its crate.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// Returns the program, installed if it is not there: without its default features, in a
    /// debug build, which compiles in a third of the time.
    ///
    /// # Errors
    ///
    /// When it cannot be installed.
    pub(crate) fn installed(self, workspace: &Workspace) -> Result<PathBuf> {
        let tools = workspace.target_directory.join("tools");
        let program = tools.join("bin").join(self.name);
        if !program.is_file() {
            self.install(&tools)?;
        }
        Ok(program)
    }

    fn install(self, tools: &Path) -> Result<()> {
        let Self { name, version } = self;
        println!("installing {name} {version} into {}", tools.display());
        let status = Command::new(env!("CARGO"))
            .args(["install", "--quiet", "--locked", "--debug"])
            .args(["--no-default-features", name, "--version", version])
            .arg("--root")
            .arg(tools)
            .arg("--target-dir")
            .arg(tools.join("build"))
            .status()
            .context("cargo did not start")?;
        ensure!(status.success(), "{name} could not be installed: {status}");
        Ok(())
    }
}
