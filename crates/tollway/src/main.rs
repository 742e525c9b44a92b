//! The L402 stack in one binary.
//!
//! Reads the command line, runs one command and turns its outcome into an exit code.
//! Nothing here that a library could hold.

mod cli;
mod commands;
mod config;
mod exit;
mod output;
mod places;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::exit::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::json_if(cli.json);
    match run(&cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.kind().into()
        }
    }
}

fn run(cli: &Cli, output: Output) -> Result<(), Failure> {
    match &cli.command {
        Command::Token(command) => commands::token::run(command, output),
        _ => Err(Failure::general("pending")),
    }
}
