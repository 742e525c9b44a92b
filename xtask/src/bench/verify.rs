//! Cost of a verification, relative to the `macaroon` crate.
//!
//! `bench/oracle/benches/verify.rs` measures; this runs it with the shipped profile and prints
//! the figures side by side.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// Builds and runs the measurement and prints a table.
///
/// # Errors
///
/// When the benchmark does not build or run, or prints something unexpected.
pub(crate) fn run() -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["bench", "--quiet", "--bench", "verify", "--manifest-path"])
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../bench/oracle/Cargo.toml"
        ))
        .stderr(Stdio::inherit())
        .output()
        .context("cargo did not start")?;
    if !output.status.success() {
        bail!("cargo bench: {}", output.status);
    }
    let text = String::from_utf8(output.stdout).context("the measurement wrote no text")?;
    print_table(&read(&text)?)
}

/// Nanoseconds, by number of caveats and name.
type Figures = BTreeMap<u32, BTreeMap<String, f64>>;

fn read(text: &str) -> anyhow::Result<Figures> {
    let mut figures = Figures::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let (Some(name), Some(caveats), Some(nanos)) =
            (fields.next(), fields.next(), fields.next())
        else {
            bail!("not a measurement: {line}");
        };
        let (caveats, nanos) = (caveats.parse()?, nanos.parse()?);
        figures
            .entry(caveats)
            .or_default()
            .insert(name.to_owned(), nanos);
    }
    Ok(figures)
}

fn print_table(figures: &Figures) -> anyhow::Result<()> {
    println!("nanoseconds, medians; the ratio is the `macaroon` crate's time over ours\n");
    println!(
        "| caveats | header to grant | macaroon crate | ratio | parsed to grant | macaroon crate | ratio |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for (caveats, row) in figures {
        let figure = |name: &str| row.get(name).copied().context(format!("no `{name}`"));
        let whole = figure("ours: header to grant")?;
        let their_whole = figure("macaroon crate: text to verdict")?;
        let parsed = figure("ours: parsed token to grant")?;
        let their_parsed = figure("macaroon crate: parsed token to verdict")?;
        println!(
            "| {caveats} | {whole:.0} | {their_whole:.0} | {:.1} | {parsed:.0} | {their_parsed:.0} | {:.1} |",
            their_whole / whole,
            their_parsed / parsed
        );
    }
    println!("\nwithout a caveat a token names no service and is denied, after the same work");
    print_goal(figures);
    Ok(())
}

fn print_goal(figures: &Figures) {
    let at_five = figures
        .get(&5)
        .and_then(|row| row.get("ours: parsed token to grant"));
    if let Some(nanos) = at_five {
        let word = if *nanos <= GOAL_NANOS {
            "reached"
        } else {
            "missed"
        };
        println!(
            "goal of {GOAL_NANOS:.0} ns for a verification with 5 caveats: {word} ({nanos:.0} ns)"
        );
    }
}

const GOAL_NANOS: f64 = 1_500.0;
