//! The guide: builds `docs/guide` with mdBook.
//!
//! The commands on its pages, its tables and its links are checked by `cargo test`; this makes
//! the pages to look at.
#![expect(clippy::print_stdout, reason = "prints where the book is")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::workspace::Workspace;

/// Arguments of `cargo xtask book`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Open the book in a browser.
    #[arg(long)]
    open: bool,
}

/// Builds the book.
///
/// # Errors
///
/// When mdBook cannot be installed, or cannot build the book.
pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::read()?;
    let program = installed(&workspace.target_directory.join("tools"))?;
    let book = workspace.target_directory.join("book");
    let status = Command::new(program)
        .arg("build")
        .args(args.open.then_some("--open"))
        .arg("--dest-dir")
        .arg(&book)
        .arg("docs/guide")
        .current_dir(&workspace.workspace_root)
        .status()
        .context("mdbook did not start")?;
    ensure!(status.success(), "mdbook failed, see above");
    println!("{}", book.join("index.html").display());
    Ok(())
}

/// Returns the program, installed from crates.io into `tools` if it is not there: without the
/// features that search, watch and serve. A debug build compiles fastest.
fn installed(tools: &Path) -> Result<PathBuf> {
    let program = tools.join("bin").join("mdbook");
    if program.is_file() {
        return Ok(program);
    }
    println!("installing mdbook {VERSION} into {}", tools.display());
    let status = Command::new(env!("CARGO"))
        .args(["install", "--quiet", "--locked", "--debug"])
        .args(["--no-default-features", "mdbook", "--version", VERSION])
        .arg("--root")
        .arg(tools)
        .arg("--target-dir")
        .arg(tools.join("build"))
        .status()
        .context("cargo did not start")?;
    ensure!(status.success(), "mdbook could not be installed: {status}");
    Ok(program)
}

const VERSION: &str = "0.5.4";
