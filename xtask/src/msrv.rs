//! Minimum supported Rust version: checks each library on the oldest rustc it declares.
//!
//! Libraries that declare the same version are checked together, with all features. Only the
//! library itself is checked: its tests and examples may use what the workspace uses.
//!
//! A toolchain that is missing is installed by rustup. One that cannot be had fails the check,
//! because a version that nothing was built with is not supported.
#![expect(clippy::print_stdout, reason = "the verdict is the output")]

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace::Workspace;

/// Arguments of `cargo xtask msrv`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The crates to check; every published library when none is named.
    crates: Vec<String>,
}

/// Checks the crates, version by version.
///
/// # Errors
///
/// When a crate is unknown or declares no version, a toolchain cannot be installed, or a crate
/// does not build with the version that it declares.
pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::read()?;
    for (version, crates) in by_version(&workspace, &args.crates)? {
        install(&version)?;
        check(&workspace, &version, &crates)?;
        println!("rust {version}: {}", crates.join(", "));
    }
    Ok(())
}

/// Groups the chosen libraries by the version they declare.
fn by_version<'a>(
    workspace: &'a Workspace,
    chosen: &[String],
) -> Result<BTreeMap<String, Vec<&'a str>>> {
    let names: Vec<&str> = workspace.libraries().map(|it| it.name.as_str()).collect();
    if let Some(unknown) = chosen.iter().find(|name| !names.contains(&name.as_str())) {
        bail!(
            "`{unknown}` is not a library of ours: there are {}",
            names.join(", ")
        );
    }
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for library in workspace.libraries() {
        if !chosen.is_empty() && !chosen.contains(&library.name) {
            continue;
        }
        let version = library.rust_version.clone();
        let version = version.with_context(|| format!("{} has no rust-version", library.name))?;
        groups
            .entry(version)
            .or_default()
            .push(library.name.as_str());
    }
    Ok(groups)
}

/// Installs a toolchain unless it is there.
fn install(version: &str) -> Result<()> {
    let is_installed = Command::new("rustup")
        .args(["run", version, "rustc", "--version"])
        .output()
        .context("rustup did not start: it installs the older toolchains")?
        .status
        .success();
    if is_installed {
        return Ok(());
    }
    let status = Command::new("rustup")
        .args(["toolchain", "install", version, "--profile", "minimal"])
        .status()?;
    ensure!(
        status.success(),
        "rust {version} could not be installed, so nothing was checked with it: \
         `rustup toolchain install {version} --profile minimal` has to work here"
    );
    Ok(())
}

fn check(workspace: &Workspace, version: &str, crates: &[&str]) -> Result<()> {
    // A folder of its own, so that the check leaves the workspace's build alone.
    let target = workspace.target_directory.join("msrv");
    let status = Command::new("rustup")
        .args(["run", version, "cargo", "check", "--quiet", "--locked"])
        .arg("--all-features")
        .args(crates.iter().map(|name| format!("--package={name}")))
        .current_dir(&workspace.workspace_root)
        .env("CARGO_TARGET_DIR", target)
        .status()?;
    ensure!(
        status.success(),
        "{} not built by rust {version}: use nothing newer, or raise rust-version in Cargo.toml",
        crates.join(", ")
    );
    Ok(())
}
