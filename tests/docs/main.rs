//! The documents: their links, and their tables compared with the program.
//!
//! Their commands are run by the tests of `tests/e2e`.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot read the documents has failed"
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "most events of a Markdown parser are none of a link checker's"
)]

mod flags;
mod links;
mod programs;
mod tables;
mod tollway;

use std::fs;
use std::path::{Path, PathBuf};

/// Returns every Markdown file of the workspace, by its path from the root.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !SKIPPED.iter().any(|start| name.starts_with(start)) {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(document: &Path) -> String {
    fs::read_to_string(root().join(document)).unwrap()
}

/// Returns a page of the guide.
fn page(name: &str) -> String {
    read(&Path::new("docs/guide/src").join(name).with_extension("md"))
}

/// Returns the rows of the table whose first line begins so, with their cells in plain text.
fn rows(text: &str, first_line: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim().trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    };
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with(first_line));
    assert!(lines.next().is_some(), "there is no table `{first_line}`");
    let rows: Vec<_> = lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect();
    assert!(!rows.is_empty());
    rows
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// How the names of folders begin that hold build output or other projects' documents.
const SKIPPED: &[&str] = &[".", "node_modules", "target"];
