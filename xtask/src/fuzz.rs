//! Fuzzing: runs the fuzz targets and reports executions and coverage.
//!
//! libFuzzer needs a sanitizer, which is not a stable feature; `RUSTC_BOOTSTRAP` lets the
//! installed stable compiler offer it, so that nothing but cargo-fuzz has to be installed.
//! New inputs go to `target/fuzz-corpus`; the committed corpus is read, never written.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, bail};

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds for each target.
    #[arg(long, default_value_t = 600)]
    seconds: u32,
    /// The targets; all of them when none is named.
    targets: Vec<String>,
}

/// Runs each target for its time.
///
/// # Errors
///
/// When a target is unknown, does not build, or finds a crash.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let known = known_targets(&fuzz)?;
    if let Some(unknown) = args.targets.iter().find(|name| !known.contains(name)) {
        bail!(
            "`{unknown}` is not a fuzz target: there are {}",
            known.join(", ")
        );
    }
    install_if_missing()?;
    let chosen = if args.targets.is_empty() {
        &known
    } else {
        &args.targets
    };
    for target in chosen {
        let outcome = Target {
            fuzz: &fuzz,
            name: target,
        }
        .run(args.seconds)?;
        println!("{target}: {outcome}");
    }
    Ok(())
}

fn known_targets(fuzz: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(fuzz.join("fuzz_targets"))? {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .and_then(|stem| stem.to_str())
                .map(str::to_owned),
        );
    }
    names.sort_unstable();
    Ok(names)
}

fn install_if_missing() -> anyhow::Result<()> {
    let installed = cargo(["fuzz", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if installed {
        return Ok(());
    }
    let status = cargo(["install", "--locked", "cargo-fuzz"]).status()?;
    if !status.success() {
        bail!("cargo-fuzz could not be installed: {status}");
    }
    Ok(())
}

struct Target<'a> {
    fuzz: &'a Path,
    name: &'a str,
}

impl Target<'_> {
    fn run(&self, seconds: u32) -> anyhow::Result<String> {
        let finds = self.finds()?;
        let mut child = cargo(["fuzz", "run"])
            .arg("--fuzz-dir")
            .arg(self.fuzz)
            .arg(self.name)
            .arg(finds)
            .arg(self.fuzz.join("corpus").join(self.name))
            .args(["--", "-print_final_stats=1", "-timeout=10"])
            .arg(format!("-max_total_time={seconds}"))
            .env("RUSTC_BOOTSTRAP", "1")
            .stderr(Stdio::piped())
            .spawn()
            .context("cargo did not start")?;
        let stderr = child.stderr.take().context("cargo has no error output")?;
        let mut progress = Progress::default();
        for line in BufReader::new(stderr).lines() {
            progress.take(line?);
        }
        progress.outcome(child.wait()?)
    }

    fn finds(&self) -> anyhow::Result<PathBuf> {
        let folder = self.fuzz.join("../target/fuzz-corpus").join(self.name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }
}

/// The output of libFuzzer so far.
#[derive(Default)]
struct Progress {
    coverage: String,
    executions: String,
    latest: Vec<String>,
}

impl Progress {
    fn take(&mut self, line: String) {
        if let Some((_, rest)) = line.split_once(" cov: ") {
            self.coverage = rest.split(' ').next().unwrap_or_default().to_owned();
        }
        if let Some(executions) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = executions.trim().to_owned();
        }
        self.latest.push(line);
        let too_many = self.latest.len().saturating_sub(SHOWN_LINES);
        self.latest.drain(..too_many);
    }

    fn outcome(self, status: ExitStatus) -> anyhow::Result<String> {
        if !status.success() {
            bail!("{status}\n{}", self.latest.join("\n"));
        }
        Ok(format!(
            "{} executions, {} edges covered",
            self.executions, self.coverage
        ))
    }
}

/// Under `cargo xtask` the toolchain is fixed by `CARGO`; the subcommand itself is looked up.
fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments);
    command
}

/// Enough of a failure for the panic, the stack and the path of the saved input.
const SHOWN_LINES: usize = 60;
