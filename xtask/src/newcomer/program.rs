//! Programs of the page on embedding, built as the page shows them: its lines of `Cargo.toml`, its
//! source, and this workspace in the place of crates.io.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::interop::gateway::{Buyer, Gateway};
use crate::interop::process::{self, Service};
use crate::interop::sandbox::Sandbox;
use crate::workspace::Workspace;

/// A program of the page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Program {
    Buyer,
    Seller,
}

impl Program {
    /// Builds and runs it against a sandbox, and returns the number of commands that took.
    ///
    /// # Errors
    ///
    /// When the page has no such program, or it does not build or not work.
    pub(super) fn run(self, tollway: &Path, profile: &str) -> Result<usize> {
        let workspace = Workspace::read()?;
        let page = fs::read_to_string(workspace.workspace_root.join(PAGE))
            .with_context(|| format!("{PAGE} cannot be read"))?;
        let section = section(&page, self.section())?;
        let sandbox = Sandbox::start(tollway)?;
        match self {
            Self::Buyer => {
                let gateway = Gateway::start(tollway, &sandbox.seller.lndconnect)?;
                let source = replaced(&block(section, "rust")?, SHOP, &gateway.page())?;
                let program = self.build(&workspace, profile, section, &source)?;
                let home = TempDir::new()?;
                let mut command = Command::new(program);
                command
                    .current_dir(home.path())
                    .env("BUYER_WALLET", &sandbox.buyer.lndconnect);
                let printed = process::output(&mut command, RUN)?;
                ensure!(printed.contains("200"), "the program printed {printed}");
                Ok(2)
            }
            Self::Seller => {
                let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
                let source = replaced(&block(section, "rust")?, ADDRESS, &address)?;
                let program = self.build(&workspace, profile, section, &source)?;
                let home = TempDir::new()?;
                let mut command = Command::new(program);
                command
                    .current_dir(home.path())
                    .env("MASTER_KEY", "07".repeat(32))
                    .env("SELLER_WALLET", &sandbox.seller.lndconnect);
                let mut service = Service::start("program", &mut command, home.path())?;
                service.ready(RUN, |_log| Ok(TcpStream::connect(&address)?))?;
                let buyer = Buyer::new(tollway, &sandbox.buyer.lndconnect)?;
                let bought = buyer.get(&format!("http://{address}/weather"))?;
                ensure!(bought.contains("sunny"), "the program sold {bought}");
                Ok(3)
            }
        }
    }

    const fn section(self) -> &'static str {
        match self {
            Self::Buyer => "## Buying from Rust",
            Self::Seller => "## Selling in axum",
        }
    }

    /// Builds a project of its own.
    fn build(
        self,
        workspace: &Workspace,
        profile: &str,
        section: &str,
        source: &str,
    ) -> Result<PathBuf> {
        let name = match self {
            Self::Buyer => "newcomer-buyer",
            Self::Seller => "newcomer-seller",
        };
        let project = workspace.target_directory.join("newcomer").join(name);
        fs::create_dir_all(project.join("src"))?;
        fs::write(project.join("src/main.rs"), source)?;
        let dependencies = block(section, "toml")?;
        let mut manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             {dependencies}\n[workspace]\n\n[patch.crates-io]\n"
        );
        for library in workspace.libraries() {
            let name = &library.name;
            if dependencies
                .lines()
                .any(|line| line.starts_with(name.as_str()))
            {
                let path = workspace.workspace_root.join("crates").join(name);
                manifest.push_str(&format!("{name} = {{ path = \"{}\" }}\n", path.display()));
            }
        }
        fs::write(project.join("Cargo.toml"), manifest)?;
        // The versions that are there already.
        let lock = workspace.workspace_root.join("Cargo.lock");
        fs::copy(lock, project.join("Cargo.lock"))?;
        let mut build = Command::new(env!("CARGO"));
        build
            .current_dir(&project)
            .env("CARGO_TARGET_DIR", &workspace.target_directory)
            .args(["build", "--quiet", "--profile", profile]);
        process::output(&mut build, BUILD)?;
        let folder = if profile == "dev" { "debug" } else { profile };
        Ok(workspace.target_directory.join(folder).join(name))
    }
}

/// Returns the text below a heading, up to the next of its level.
fn section<'a>(page: &'a str, heading: &str) -> Result<&'a str> {
    let (_before, section) = page
        .split_once(&format!("{heading}\n"))
        .with_context(|| format!("{PAGE} has no section `{heading}`"))?;
    Ok(section
        .split_once("\n## ")
        .map_or(section, |(section, _)| section))
}

/// Returns the first block of a language, with the lines that a reader does not see.
fn block(section: &str, language: &str) -> Result<String> {
    let mut lines = section.lines();
    let opening = format!("```{language}");
    lines
        .find(|line| line.split(',').next() == Some(opening.as_str()))
        .with_context(|| format!("{PAGE} has no block of {language} in the section"))?;
    let lines = lines.take_while(|line| !line.starts_with("```"));
    let shown = lines.map(|line| line.strip_prefix("# ").unwrap_or(line));
    Ok(shown.map(|line| format!("{line}\n")).collect())
}

/// Puts an address of this machine in the place of the one that the page shows.
fn replaced(source: &str, shown: &str, real: &str) -> Result<String> {
    ensure!(
        source.contains(shown),
        "the program in {PAGE} does not contain {shown}"
    );
    Ok(source.replace(shown, real))
}

const PAGE: &str = "docs/guide/src/embedding.md";
/// Where the seller's program listens, as the page shows it.
const ADDRESS: &str = "127.0.0.1:3000";
/// What the buyer's program buys, as the page shows it.
const SHOP: &str = "https://api.example/report";
const BUILD: Duration = Duration::from_secs(20 * 60);
const RUN: Duration = Duration::from_secs(60);
