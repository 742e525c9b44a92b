//! Developer tasks that need more than `cargo build` and `cargo test`.
//!
//! One subcommand per module. Run one with `cargo xtask <name>`.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stderr,
    reason = "a program for developers: errors go to the terminal"
)]

mod bench;
mod book;
mod codegen;
mod crash;
mod delivery;
mod deny;
mod e2e;
mod fuzz;
mod interop;
mod msrv;
mod newcomer;
mod siege;
mod soak;
mod tools;
mod workspace;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

/// Developer tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Runs benchmarks, and prints ratios.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Builds the guide with mdBook.
    Book(book::Args),
    /// Generates Rust code from proto/.
    Codegen(codegen::Args),
    /// Kills paying clients at random moments, and checks that nothing is paid twice or lost.
    Crash(crash::Args),
    /// Fails upstreams and gateways, and checks that each paid use buys one response.
    Delivery(delivery::Args),
    /// Checks licences, sources and bans of the dependencies.
    Deny(deny::Args),
    /// Runs the fuzz targets.
    Fuzz(fuzz::Args),
    /// Runs other projects' clients and servers against ours.
    Interop(interop::Args),
    /// Checks each library with the oldest Rust it declares.
    Msrv(msrv::Args),
    /// Does the tasks of a first hour with README, the guide and the released binary.
    Newcomer(newcomer::Args),
    /// Attacks the gateway and checks that every paying customer is served.
    Siege(siege::Args),
    /// Sends mixed traffic for an hour, and checks that nothing grows and every request is counted.
    Soak(soak::Args),
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Bench(bench) => bench::run(&bench).map_err(Box::<dyn Error>::from),
        Task::Book(args) => book::run(&args).map_err(Box::<dyn Error>::from),
        Task::Codegen(args) => codegen::run(&args).map_err(Box::<dyn Error>::from),
        Task::Crash(args) => crash::run(&args).map_err(Box::<dyn Error>::from),
        Task::Delivery(args) => delivery::run(&args).map_err(Box::<dyn Error>::from),
        Task::Deny(args) => deny::run(&args).map_err(Box::<dyn Error>::from),
        Task::Fuzz(args) => fuzz::run(&args).map_err(Box::<dyn Error>::from),
        Task::Interop(args) => interop::run(&args).map_err(Box::<dyn Error>::from),
        Task::Msrv(args) => msrv::run(&args).map_err(Box::<dyn Error>::from),
        Task::Newcomer(args) => newcomer::run(&args).map_err(Box::<dyn Error>::from),
        Task::Siege(args) => siege::run(&args).map_err(Box::<dyn Error>::from),
        Task::Soak(args) => soak::run(&args).map_err(Box::<dyn Error>::from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_sources(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Returns an error and its causes as one line.
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
