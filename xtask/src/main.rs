//! Chores of this repository that need more than `cargo build` and `cargo test`.
//!
//! One subcommand per module. Run one with `cargo xtask <name>`.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stderr,
    reason = "a program for developers: what it has to say goes to the terminal"
)]

mod bench;
mod codegen;
mod crash;
mod deny;
mod fuzz;
mod interop;
mod msrv;
mod workspace;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

/// Chores of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Measures, and prints ratios.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Writes the Rust code generated from proto/.
    Codegen(codegen::Args),
    /// Kills a paying client at random moments and counts the money.
    Crash(crash::Args),
    /// Checks licences, sources and bans of the dependencies.
    Deny(deny::Args),
    /// Runs the fuzz targets.
    Fuzz(fuzz::Args),
    /// Runs other people's clients and servers against ours.
    Interop(interop::Args),
    /// Checks each library with the oldest Rust it declares.
    Msrv(msrv::Args),
}

fn main() -> ExitCode {
    let outcome = match Chore::parse() {
        Chore::Bench(bench) => bench::run(&bench).map_err(Box::<dyn Error>::from),
        Chore::Codegen(args) => codegen::run(&args).map_err(Box::<dyn Error>::from),
        Chore::Crash(args) => crash::run(&args).map_err(Box::<dyn Error>::from),
        Chore::Deny(args) => deny::run(&args).map_err(Box::<dyn Error>::from),
        Chore::Fuzz(args) => fuzz::run(&args).map_err(Box::<dyn Error>::from),
        Chore::Interop(args) => interop::run(&args).map_err(Box::<dyn Error>::from),
        Chore::Msrv(args) => msrv::run(&args).map_err(Box::<dyn Error>::from),
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
