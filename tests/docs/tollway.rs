//! The program, in a home folder without anything in it.

use std::process::{Command, Output};

/// Returns what a command prints on standard output.
pub(crate) fn text(arguments: &[&str]) -> String {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the line of JSON that a command prints.
pub(crate) fn json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&text(arguments)).unwrap()
}

/// Returns what a command that fails prints on standard error.
pub(crate) fn error_of(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?} does not fail");
    String::from_utf8(output.stderr).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_tollway"))
        .args(arguments)
        .env("TOLLWAY_HOME", home.path())
        .output()
        .unwrap()
}
