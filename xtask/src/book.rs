//! The guide: builds `docs/guide` with mdBook.
//!
//! The commands on its pages, its tables and its links are checked by `cargo test`; this makes
//! the pages to look at.
#![expect(clippy::print_stdout, reason = "prints where the book is")]

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::tools::Tool;
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
    let program = MDBOOK.installed(&workspace)?;
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

const MDBOOK: Tool = Tool {
    name: "mdbook",
    version: "0.5.4",
};
