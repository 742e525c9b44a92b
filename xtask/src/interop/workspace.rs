//! Our own programs and files, built and located for the suite.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::process::{self, shown};

/// A cold release build on two cores, with room.
const BUILD: Duration = Duration::from_secs(20 * 60);

/// The checkout this xtask was built from.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    profile: String,
}

impl Workspace {
    pub(crate) fn new(profile: &str) -> Self {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            root: xtask.parent().unwrap_or(xtask).to_owned(),
            profile: profile.to_owned(),
        }
    }

    /// A file or folder of the suite, below `tests/interop`.
    pub(crate) fn interop(&self, path: &str) -> PathBuf {
        self.root.join("tests/interop").join(path)
    }

    /// The program `tollway`, built.
    ///
    /// # Errors
    ///
    /// When it does not build.
    pub(crate) fn tollway(&self) -> Result<PathBuf> {
        self.build(&["--package", "tollway", "--bin", "tollway"])
    }

    /// The wallet traits' contract as a program, built.
    ///
    /// # Errors
    ///
    /// When it does not build.
    pub(crate) fn contract(&self) -> Result<PathBuf> {
        self.build(&[
            "--package=tollway-lightning",
            "--example=contract",
            "--features=contract,lnd",
        ])
    }

    /// The load and the buyers of the benchmarks, built.
    ///
    /// # Errors
    ///
    /// When they do not build.
    pub(crate) fn bench(&self) -> Result<PathBuf> {
        self.build(&["--package", "tollway-bench", "--bin", "tollway-bench"])
    }

    /// A file of the benchmarks, below `bench`.
    pub(crate) fn bench_file(&self, path: &str) -> PathBuf {
        self.root.join("bench").join(path)
    }

    fn build(&self, target: &[&str]) -> Result<PathBuf> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build
            .current_dir(&self.root)
            .args(["build", "--quiet", "--profile", &self.profile])
            .args(["--message-format", "json-render-diagnostics"])
            .args(target);
        let finished = process::finish(&mut build, BUILD)?;
        ensure!(
            finished.status.success(),
            "{} failed: {}",
            shown(&build),
            finished.stderr
        );
        finished
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
            .next_back()
            .with_context(|| format!("`{}` built no program", shown(&build)))
    }
}
