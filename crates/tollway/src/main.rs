//! The L402 stack in one binary.
//!
//! Reads the command line, runs one command and turns its outcome into an exit code.
//! Nothing here that a library could hold.

mod cli;
mod commands;
mod config;
mod exit;
mod input;
mod log;
mod moment;
mod output;
mod paths;
mod payment;
mod port_owner;
mod shutdown;
mod startup;
mod table;
mod wallet;

use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, io};

use clap::Parser as _;
use clap::error::ErrorKind;
use tokio::runtime::{Builder, Runtime};

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::exit::{Failure, FailureKind};
use crate::log::Levels;
use crate::output::Output;
use crate::paths::Dirs;

/// A paid request makes about ten short-lived allocations; see `docs/adr/0006-allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(&error),
    };
    let output = Output::json_if(cli.json);
    match run(&cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let typed: Vec<String> = env::args_os()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect();
            let failure = failure.without(&typed);
            output.failure(&failure);
            failure.kind().into()
        }
    }
}

/// Prints help, or what is wrong with the command line: in JSON if that was asked for anywhere
/// in it. A command without its subcommand prints its help.
fn misread(error: &clap::Error) -> ExitCode {
    let arguments = env::args_os().skip(1);
    let mut options = arguments.take_while(|argument| argument != "--");
    let output = Output::json_if(options.any(|argument| argument == "--json"));
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !error.use_stderr() || is_help && output == Output::Human {
        return match output::written_or_left(error.print()) {
            Ok(()) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX)),
            Err(_unwritten) => FailureKind::General.into(),
        };
    }
    let failure = Failure::usage(cli::message(error));
    output.failure(&failure);
    failure.kind().into()
}

fn run(cli: &Cli, output: Output) -> Result<(), Failure> {
    if let Command::Token(command) = &cli.command {
        // Tokens need no configuration.
        return wait(one_thread()?, commands::token::run(command, output));
    }
    let dirs = Dirs::from_env()?;
    let config = Config::read(cli.config.as_deref(), &dirs.config_file())?;
    let _log = log::start(cli.verbose, log_levels(&cli.command), output);
    match &cli.command {
        Command::Demo(args) => wait(several_threads()?, commands::demo::run(args, &dirs, output)),
        Command::ExitCodes => commands::exit_codes::run(output),
        Command::Get(args) => wait(
            one_thread()?,
            commands::get::run(args, &config, &dirs, output),
        ),
        Command::Keys(command) => commands::keys::run(command, &dirs, output),
        Command::Purchases(command) => commands::purchases::run(command, &dirs, output),
        Command::Sales(args) => wait(one_thread()?, commands::sales::run(args, &dirs, output)),
        Command::Sandbox(args) => wait(
            several_threads()?,
            commands::sandbox::run(args, &dirs, output),
        ),
        Command::Serve(args) => wait(
            several_threads()?,
            commands::serve::run(args, &config, &dirs, output),
        ),
        Command::Spending(args) => commands::spending::run(args, &config, &dirs, output),
        Command::Token(command) => wait(one_thread()?, commands::token::run(command, output)),
    }
}

/// What a command logs. For a gateway, `-v` adds a line for each request.
const fn log_levels(command: &Command) -> Levels {
    match command {
        Command::Serve(args) => Levels {
            usual: if args.access_log {
                EACH_REQUEST
            } else {
                "info"
            },
            verbose: EACH_REQUEST,
        },
        // What hyper warns of is reported as the failure of the request.
        Command::Get(_) => Levels {
            usual: "warn,hyper=error",
            verbose: "info",
        },
        Command::Demo(_)
        | Command::ExitCodes
        | Command::Keys(_)
        | Command::Purchases(_)
        | Command::Sales(_)
        | Command::Sandbox(_)
        | Command::Spending(_)
        | Command::Token(_) => Levels {
            usual: "warn",
            verbose: "info",
        },
    }
}

/// Runs a command to its end. What it leaves running may not keep the process from ending:
/// a read of standard input, say, that never returns.
fn wait(
    runtime: Runtime,
    command: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let outcome = runtime.block_on(command);
    runtime.shutdown_timeout(STRAGGLERS_TIMEOUT);
    outcome
}

/// Refuses to begin without the file descriptors that every command needs: the runtime panics
/// for want of one.
fn check_descriptors() -> Result<(), Failure> {
    let pairs = (0..DESCRIPTORS_MIN / 2).map(|_| UnixStream::pair());
    let opened: io::Result<Vec<_>> = pairs.collect();
    opened.map(drop).map_err(|error| {
        Failure::general(format!(
            "cannot open {DESCRIPTORS_MIN} files: {error}: raise the limit, which `ulimit -n` shows"
        ))
    })
}

/// The runtime of a command that makes one request.
fn one_thread() -> Result<Runtime, Failure> {
    check_descriptors()?;
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::general)
}

/// The runtime of a command that serves.
fn several_threads() -> Result<Runtime, Failure> {
    check_descriptors()?;
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::general)
}

/// What a gateway logs when each request is wanted.
const EACH_REQUEST: &str = "info,tollway::access=debug";
/// Fewer than a request to a server and to a wallet needs.
const DESCRIPTORS_MIN: usize = 16;
const STRAGGLERS_TIMEOUT: Duration = Duration::from_secs(1);
