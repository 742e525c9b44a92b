//! Dependency policy: runs cargo-deny with `deny.toml`.
//!
//! Licences, banned crates and sources need the registry's index and nothing else. Advisories
//! need their database, which cargo-deny fetches from github.com: `--advisories` adds them.
#![expect(clippy::print_stdout, reason = "tells why the first run takes minutes")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

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
    let tools = workspace.target_directory.join("tools");
    let program = installed(&tools)?;
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

/// Returns the program, installed from crates.io into `tools` if it is not there.
///
/// A debug build compiles in a third of the time, and checks in less than three seconds.
fn installed(tools: &Path) -> Result<PathBuf> {
    let program = tools.join("bin").join("cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    println!("installing cargo-deny {VERSION} into {}", tools.display());
    let status = Command::new(env!("CARGO"))
        .args([
            "install",
            "--quiet",
            "--locked",
            "--debug",
            "--no-default-features",
        ])
        .args(["cargo-deny", "--version", VERSION])
        .arg("--root")
        .arg(tools)
        .arg("--target-dir")
        .arg(tools.join("build"))
        .status()
        .context("cargo did not start")?;
    ensure!(
        status.success(),
        "cargo-deny could not be installed: {status}"
    );
    Ok(program)
}

const VERSION: &str = "0.20.2";
