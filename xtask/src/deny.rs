//! Dependency policy: runs cargo-deny with `deny.toml`.
//!
//! Licences, banned crates and sources need the registry's index and nothing else. Advisories
//! need their database, which cargo-deny fetches from github.com: `--advisories` adds them.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::tools::Tool;
use crate::workspace::Workspace;

/// Arguments of `cargo xtask deny`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check security advisories too: fetches their database from github.com.
    #[arg(long)]
    advisories: bool,
}

/// Checks the dependencies of the workspace.
///
/// # Errors
///
/// When cargo-deny cannot be installed, or refuses a dependency.
pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::read()?;
    let program = CARGO_DENY.installed(&workspace)?;
    let mut checks = vec!["bans", "licenses", "sources"];
    if args.advisories {
        checks.push("advisories");
    }
    let status = Command::new(program)
        .args(["--locked", "check"])
        .args(checks)
        .current_dir(&workspace.workspace_root)
        .status()
        .context("cargo-deny did not start")?;
    ensure!(
        status.success(),
        "cargo-deny refused a dependency, see above"
    );
    Ok(())
}

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};
