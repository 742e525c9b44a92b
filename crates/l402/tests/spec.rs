//! The rows of `docs/spec.md`: each names tests and files that exist.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One requirement, as the table has it.
struct Row {
    number: usize,
    module: String,
    tests: String,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let number = cells.get(1)?.parse().ok()?;
        assert_eq!(cells.len(), 8, "row {number} has another number of cells");
        Some(Self {
            number,
            module: quoted(cells[5]).pop().unwrap_or_default(),
            tests: cells[6].to_owned(),
        })
    }

    /// True for a row that gives a reason why no test keeps it.
    fn is_excused(&self) -> bool {
        ["not yet: ", "n/a: "]
            .iter()
            .any(|excuse| self.tests.starts_with(excuse))
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(workspace().join("docs/spec.md")).unwrap();
    text.lines().filter_map(Row::parse).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The names of all functions below `folder` that carry a test attribute.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(tests_in(&fs::read_to_string(&path).unwrap()));
        }
    }
}

fn tests_in(source: &str) -> Vec<String> {
    let mut is_test = false;
    let mut names = Vec::new();
    for line in source.lines().map(str::trim) {
        let attribute = line.starts_with("#[");
        if attribute && (line.starts_with("#[test]") || line.contains("::test")) {
            is_test = true;
        } else if let Some(name) = function_name(line) {
            if is_test {
                names.push(name.to_owned());
            }
            is_test = false;
        }
    }
    names
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    let (name, _) = line.strip_prefix("fn ")?.split_once('(')?;
    Some(name)
}

#[test]
fn all_60_rows_are_there_once_and_in_order() {
    let numbers: Vec<usize> = rows().iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
}

#[test]
fn every_test_named_exists() {
    let mut existing = BTreeSet::new();
    for folder in ["bench/oracle/tests", "crates", "tests"] {
        tests_below(&workspace().join(folder), &mut existing);
    }
    for row in rows() {
        for name in quoted(&row.tests) {
            assert!(
                existing.contains(&name),
                "row {}: no test `{name}`",
                row.number
            );
        }
    }
}

#[test]
fn a_row_without_a_test_says_why() {
    for row in rows() {
        let kept = !quoted(&row.tests).is_empty();
        assert!(kept || row.is_excused(), "row {} names no test", row.number);
    }
}

#[test]
fn every_module_named_exists() {
    for row in rows() {
        let path = workspace().join("crates").join(&row.module);
        assert!(
            path.is_file(),
            "row {}: no file `{}`",
            row.number,
            row.module
        );
    }
}

#[test]
fn a_function_without_a_test_attribute_is_no_test() {
    let source =
        "#[test]\nfn a() {}\nfn b() {}\n#[tokio::test(flavor = \"x\")]\n/// c\nasync fn c() {}";
    assert_eq!(tests_in(source), ["a", "c"]);
}
