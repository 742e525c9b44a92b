//! Cost of a verification, relative to the `macaroon` crate.
//!
//! `bench/oracle/benches/verify.rs` measures; this runs it with the shipped profile and prints
//! the figures side by side.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::figures::verdict;

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
        "| caveats | header to grant | again | macaroon crate | ratio | parsed to grant | macaroon crate | ratio |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (caveats, row) in figures {
        let figure = |name: &str| row.get(name).copied().context(format!("no `{name}`"));
        let whole = figure("ours: header to grant")?;
        let again = figure(AGAIN)?;
        let their_whole = figure("macaroon crate: text to verdict")?;
        let parsed = figure("ours: parsed token to grant")?;
        let their_parsed = figure("macaroon crate: parsed token to verdict")?;
        println!(
            "| {caveats} | {whole:.0} | {again:.0} | {their_whole:.0} | {:.1} | {parsed:.0} | {their_parsed:.0} | {:.1} |",
            their_whole / whole,
            their_parsed / parsed
        );
    }
    println!("\nagain: by a gate that remembers the credential, its header found among others");
    println!("without a caveat a token names no service and is denied, after the same work");
    print_goals(figures);
    Ok(())
}

fn print_goals(figures: &Figures) {
    let Some(at_five) = figures.get(&5) else {
        return;
    };
    for (what, name, goal) in GOALS {
        if let Some(nanos) = at_five.get(name) {
            println!(
                "goal of {goal:.0} ns for {what} with 5 caveats: {} ({nanos:.0} ns)",
                verdict(*nanos <= goal)
            );
        }
    }
}

const AGAIN: &str = "ours: header to grant, again";
/// What, the name of its measurement, and nanoseconds.
const GOALS: [(&str, &str, f64); 2] = [
    ("a verification", "ours: parsed token to grant", 1_500.0),
    ("a credential that is remembered", AGAIN, 150.0),
];
