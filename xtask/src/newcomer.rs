//! First hour: what a new user does, in the words of README and guide, with the released binary.
//!
//! A task is done when its pages run and print what they show: the documents that teach it, and
//! the transcript of the mistakes that are natural in it. The runner is the one of
//! `tests/e2e/transcripts`. Tasks in Rust are done by the programs of the guide.
#![expect(clippy::print_stdout, reason = "the table is the output")]

mod program;

use std::fmt;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use self::program::Program;
use crate::interop::process;
use crate::interop::workspace::Workspace;

/// The transcript of a topic, whole.
macro_rules! transcript {
    ($topic:literal) => {
        page(concat!("tests/e2e/transcripts/", $topic, ".md"))
    };
}

/// Does the tasks of a first hour with README, the guide and the released binary.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The numbers of the tasks; all of them when none is given.
    tasks: Vec<usize>,

    /// The cargo profile everything is built with.
    #[arg(long, default_value = "release")]
    profile: String,
}

/// What a new user does, and the documents that have to suffice.
const TASKS: [Task; 15] = [
    Task::pages(
        "see a demo",
        &[page("docs/guide/src/introduction.md"), transcript!("demo")],
    ),
    Task::pages(
        "sell: price, validity, uses",
        &[
            page("README.md"),
            page("docs/guide/src/selling.md"),
            transcript!("sell"),
        ],
    ),
    Task::pages(
        "see sales, spending, tokens",
        &[
            section(SELLING, "What was earned"),
            section(BUYING, "What was bought, and for how much"),
            transcript!("sales"),
        ],
    ),
    Task::pages(
        "serve TLS",
        &[section(OPERATIONS, "TLS"), transcript!("tls")],
    ),
    Task::pages(
        "sell two services",
        &[section(OPERATIONS, "Two gateways"), transcript!("services")],
    ),
    Task::pages(
        "narrow a token, hand it on",
        &[page("docs/guide/src/tokens.md"), transcript!("narrow")],
    ),
    Task::pages(
        "stop and start again",
        &[
            section(OPERATIONS, "Stop, drain, restart"),
            transcript!("stop"),
        ],
    ),
    Task::pages("buy within limits", &[page(BUYING), transcript!("limits")]),
    Task::pages(
        "write a script",
        &[page("docs/guide/src/scripts.md"), transcript!("scripts")],
    ),
    Task::pages(
        "sell and buy gRPC",
        &[page("docs/guide/src/grpc.md"), transcript!("grpc")],
    ),
    Task::program("sell from Rust", Program::Seller),
    Task::program("buy from Rust", Program::Buyer),
    Task::pages(
        "use an LND node",
        &[section(OPERATIONS, "Your own LND node"), transcript!("lnd")],
    ),
    Task::pages(
        "watch the metrics",
        &[page("docs/guide/src/metrics.md"), transcript!("metrics")],
    ),
    Task::pages(
        "rotate keys, revoke tokens",
        &[section(OPERATIONS, "Keys"), transcript!("keys")],
    ),
];

const BUYING: &str = "docs/guide/src/buying.md";
const OPERATIONS: &str = "docs/guide/src/operations.md";
const SELLING: &str = "docs/guide/src/selling.md";

#[derive(Clone, Copy, Debug)]
struct Task {
    name: &'static str,
    work: Work,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Pages(&'static [Part]),
    Program(Program),
}

/// A page, or a section of it after the first one, which sets it up.
#[derive(Clone, Copy, Debug)]
struct Part {
    page: &'static str,
    section: Option<&'static str>,
}

/// How a part ended, or a program.
#[derive(Clone, Debug, Default, Deserialize)]
struct Outcome {
    commands: usize,
    millis: u64,
    last_code: i32,
    /// The first difference.
    failure: Option<String>,
}

const fn page(page: &'static str) -> Part {
    Part {
        page,
        section: None,
    }
}

const fn section(page: &'static str, section: &'static str) -> Part {
    Part {
        page,
        section: Some(section),
    }
}

impl Task {
    const fn pages(name: &'static str, parts: &'static [Part]) -> Self {
        Self {
            name,
            work: Work::Pages(parts),
        }
    }

    const fn program(name: &'static str, program: Program) -> Self {
        Self {
            name,
            work: Work::Program(program),
        }
    }

    fn outcome(&self, profile: &str) -> Outcome {
        let outcome = match self.work {
            Work::Pages(parts) => run_pages(parts, profile),
            Work::Program(program) => run_program(program, profile),
        };
        outcome.unwrap_or_else(|error| Outcome {
            failure: Some(format!("{error:#}")),
            ..Outcome::default()
        })
    }
}

/// Does the tasks in order and prints a line for each.
///
/// # Errors
///
/// When one of them fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    process::end_in_good_order()?;
    println!("building the binary and the runner ({})", args.profile);
    build(&args.profile)?;
    println!(
        "{:>2}  {:<28} {:>8} {:>8} {:>4}",
        "", "task", "commands", "time", "exit"
    );
    let mut failures = Vec::new();
    for (number, task) in (1..).zip(&TASKS) {
        if !args.tasks.is_empty() && !args.tasks.contains(&number) {
            continue;
        }
        process::go_on()?;
        let outcome = task.outcome(&args.profile);
        println!("{number:>2}  {:<28} {outcome}", task.name);
        if let Some(failure) = outcome.failure {
            failures.push(format!("{number} {}: {failure}", task.name));
        }
    }
    for failure in &failures {
        println!("\n{failure}");
    }
    ensure!(
        failures.is_empty(),
        "{} tasks cannot be done with the documents alone",
        failures.len()
    );
    Ok(())
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_millis(self.millis).as_secs_f64();
        let Self {
            commands,
            last_code,
            ..
        } = self;
        let verdict = if self.failure.is_some() {
            "FAILED"
        } else {
            "ok"
        };
        write!(
            f,
            "{commands:>8} {seconds:>6.1} s {last_code:>4}  {verdict}"
        )
    }
}

/// Builds once what the tasks use, so that their times are their own.
fn build(profile: &str) -> Result<()> {
    let finished = process::finish(runner(profile).arg("--no-run"), BUILD)?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    Ok(())
}

/// Returns the command of the tests that run pages.
fn runner(profile: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["test", "--quiet", "--profile", profile])
        .args(["--package", "tollway", "--test", "e2e"]);
    command
}

fn run_pages(parts: &[Part], profile: &str) -> Result<Outcome> {
    let folder = TempDir::new()?;
    let report = folder.path().join("report.json");
    let listed: Vec<_> = parts
        .iter()
        .map(|part| json!({ "page": part.page, "sections": Vec::from_iter(part.section) }))
        .collect();
    let mut command = runner(profile);
    command
        .args(["transcripts::newcomer::"])
        .env("TOLLWAY_NEWCOMER_PARTS", serde_json::to_string(&listed)?)
        .env("TOLLWAY_NEWCOMER_REPORT", &report);
    let finished = process::finish(&mut command, PAGES)?;
    let report = fs::read(report)
        .with_context(|| format!("the runner failed: {}{}", finished.stdout, finished.stderr))?;
    let outcomes: Vec<Outcome> = serde_json::from_slice(&report)?;
    ensure!(outcomes.len() == parts.len(), "the runner left out a page");
    Ok(parts
        .iter()
        .zip(outcomes)
        .fold(Outcome::default(), |sum, (part, outcome)| {
            sum.and(part.page, outcome)
        }))
}

impl Outcome {
    /// Adds a page that was run next.
    fn and(self, page: &str, next: Self) -> Self {
        let failure = next.failure.map(|failure| format!("{page}: {failure}"));
        Self {
            commands: self.commands.saturating_add(next.commands),
            millis: self.millis.saturating_add(next.millis),
            last_code: next.last_code,
            failure: self.failure.or(failure),
        }
    }
}

fn run_program(program: Program, profile: &str) -> Result<Outcome> {
    let began = Instant::now();
    let tollway = Workspace::new(profile).tollway()?;
    let commands = program.run(&tollway, profile)?;
    Ok(Outcome {
        commands,
        millis: began.elapsed().as_millis().try_into()?,
        ..Outcome::default()
    })
}

/// A cold release build on two cores, with room.
const BUILD: Duration = Duration::from_secs(20 * 60);
/// All pages of a task, each of which bounds its own commands.
const PAGES: Duration = Duration::from_secs(5 * 60);
