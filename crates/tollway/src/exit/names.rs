//! Test that the options and keys in messages exist.
//!
//! Every string of the program is read, not only those of failures: a warning or an advice that
//! names an option which is gone misleads as much.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};

use crate::cli::Cli;
use crate::config;

#[test]
fn every_option_that_a_message_names_exists() {
    let mut known = BTreeSet::new();
    add_options(&Cli::command(), &mut known);
    let mut unknown = Vec::new();
    let mut found = 0_usize;
    for line in lines() {
        for (at, _dashes) in line.match_indices("--") {
            let name = line.get(at..).unwrap_or_default().trim_start_matches("--");
            let end = name.find(|letter: char| !letter.is_ascii_lowercase() && letter != '-');
            let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
            let name = name.trim_end_matches('-');
            let is_option = !line.get(..at).unwrap_or_default().ends_with('-') && !name.is_empty();
            if is_option {
                found = found.saturating_add(1);
                if !known.contains(name) {
                    unknown.push(format!("--{name}: {line}"));
                }
            }
        }
    }
    assert!(found > 100, "only {found} names");
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn every_key_that_a_message_names_exists() {
    let mut found = 0_usize;
    for line in lines() {
        for (section, keys) in config::KEYS {
            let place = format!(" in [{section}]");
            for (at, _place) in line.match_indices(&place) {
                let before = line.get(..at).unwrap_or_default();
                let name = before
                    .rsplit(|letter: char| !letter.is_ascii_lowercase() && letter != '_')
                    .next()
                    .unwrap_or_default();
                // Any other word may be prose.
                if name.contains('_') {
                    found = found.saturating_add(1);
                    assert!(keys.contains(&name), "{name}: {line}");
                }
            }
        }
    }
    assert!(found > 5, "only {found} names");
}

fn add_options(command: &Command, known: &mut BTreeSet<String>) {
    let options = command.get_arguments().filter_map(clap::Arg::get_long);
    known.extend(options.map(str::to_owned));
    for below in command.get_subcommands() {
        add_options(below, known);
    }
}

/// Returns the lines of the program, but for its tests and the names that other programs have for
/// its options.
fn lines() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.ends_with("cli/misread.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let program = text.split("#[cfg(test)]\nmod tests {").next();
            if text.contains("#[test]") && program == Some(text.as_str()) {
                continue;
            }
            let lines = program.unwrap_or_default().lines();
            let code = lines.filter(|line| !line.trim_start().starts_with("//"));
            found.extend(code.map(str::to_owned));
        }
    }
    found
}
