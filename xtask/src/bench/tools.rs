//! Other proxies and measuring tools, installed from Debian's packages.
#![expect(clippy::print_stdout, reason = "says what is installed")]

use std::env;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::interop::process;

/// Installs the packages whose programs are missing. Takes root.
///
/// # Errors
///
/// When a program is missing and cannot be installed; names the packages.
pub(crate) fn install(wanted: &[Tool]) -> Result<()> {
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|tool| !is_here(tool.program))
        .map(|tool| tool.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !rustix::process::geteuid().is_root() {
        bail!("missing programs: apt-get install {packages}");
    }
    println!("apt-get install {packages}");
    process::output(Command::new("apt-get").args(["update", "-qq"]), PATIENCE)?;
    let mut install = Command::new("apt-get");
    install
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(missing)
        .env("DEBIAN_FRONTEND", "noninteractive");
    process::output(&mut install, PATIENCE).map(drop)
}

/// A program and its package.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

fn is_here(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

const PATIENCE: Duration = Duration::from_secs(300);
