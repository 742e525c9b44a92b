//! Chores of this repository that need more than `cargo build` and `cargo test`.
//!
//! One subcommand per module. Run one with `cargo xtask <name>`.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stderr,
    reason = "a program for developers: what it has to say goes to the terminal"
)]

mod codegen;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

/// Chores of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Writes the Rust code generated from proto/.
    Codegen(codegen::Args),
}

fn main() -> ExitCode {
    let outcome = match Chore::parse() {
        Chore::Codegen(args) => codegen::run(&args).map_err(Box::<dyn Error>::from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_sources(&*error));
            ExitCode::FAILURE
        }
    }
}

/// An error and what caused it, on one line.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
