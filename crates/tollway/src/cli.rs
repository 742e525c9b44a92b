//! The command line. The arguments of each command are in its file in `cli/`, its work in its
//! file in `commands/`.
//!
//! `-h` and `--help` print one page: at most 45 lines of 80 columns, an option per line, grouped
//! under headings, each with its default, and an example. What needs more words is in the guide.
//! `cli/pages.rs` reads the pages of all commands.

mod demo;
mod get;
mod keys;
mod misread;
#[cfg(test)]
mod pages;
mod purchases;
mod sales;
mod sandbox;
mod serve;
mod spending;
mod token;

use std::path::PathBuf;

use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};

pub(crate) use self::demo::DemoArgs;
pub(crate) use self::get::GetArgs;
pub(crate) use self::keys::{KeysArgs, KeysCommand, RemoveKeyArgs, RetireKeyArgs};
pub(crate) use self::misread::message;
pub(crate) use self::purchases::{ListPurchasesArgs, PurchasesCommand, ResolveArgs};
pub(crate) use self::sales::SalesArgs;
pub(crate) use self::sandbox::SandboxArgs;
pub(crate) use self::serve::ServeArgs;
pub(crate) use self::spending::{SpendingArgs, SpendingRow};
pub(crate) use self::token::{
    AttenuateArgs, ImportArgs, InspectArgs, KeyArgs, RemoveTokenArgs, RevokeArgs, ShowTokenArgs,
    TokenCommand, VerifyArgs,
};
use crate::exit;

/// Charge for HTTP and gRPC APIs over Lightning, and pay for them.
#[derive(Debug, Parser)]
#[command(
    name = "tollway",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    // Wider than the page: what does not fit in 80 columns fails a test, and is not rearranged.
    term_width = 120,
    after_help = after_help(),
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print results and errors as JSON.
    #[arg(long, global = true, help_heading = heading::GLOBAL)]
    pub(crate) json: bool,
    /// Log: -v what happened, -vv each request, -vvv everything.
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = heading::GLOBAL)]
    pub(crate) verbose: u8,
    /// Settings [default: config.toml in the tollway folder]
    #[arg(long, global = true, value_name = "FILE", help_heading = heading::GLOBAL)]
    pub(crate) config: Option<PathBuf>,
    /// Print this page.
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = heading::GLOBAL)]
    help: Option<bool>,
    /// Print the version.
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = heading::GLOBAL)]
    version: Option<bool>,
}

/// Headings of options, the same ones for all commands.
mod heading {
    pub(super) const CONNECTION: &str = "Connection";
    pub(super) const GLOBAL: &str = "Every command";
    pub(super) const KEY: &str = "Key (one of them)";
    pub(super) const OUTPUT: &str = "Output";
    pub(super) const PAYMENT: &str = "Payment";
    pub(super) const REQUEST: &str = "Request";
    pub(super) const STORAGE: &str = "Storage";
    pub(super) const TOKENS: &str = "Tokens";
}

/// Returns true for an option of a command, without its hyphens.
pub(crate) fn has_option(command: &str, option: &str) -> bool {
    let cli = Cli::command();
    let command = cli.find_subcommand(command);
    let mut arguments = command.into_iter().flat_map(clap::Command::get_arguments);
    arguments.any(|argument| argument.get_long() == Some(option))
}

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{ENVIRONMENT}\n\n{}", exit::summary())
}

const EXAMPLES: &str = "\
Examples:
  tollway demo --once
  tollway serve --upstream localhost:3000 --price 10sat
  tollway get localhost:8402/joke";

const ENVIRONMENT: &str = "\
Environment:
  TOLLWAY_HOME  tollway folder [default: tollway in ~/.config, ~/.local/share]
  TOLLWAY_LOG   error, warn, info, debug, trace [default: what -v asks for]";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a paid request on a private Lightning network, then serve.
    Demo(DemoArgs),
    /// Print the exit codes, and the codes of errors in JSON.
    #[command(after_help = "Examples:\n  tollway exit-codes\n  tollway exit-codes --json")]
    ExitCodes,
    /// Fetch a URL, paying for it when asked and allowed.
    Get(GetArgs),
    /// Show, rotate, retire and remove the master keys of a gateway.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show purchases, and end those that nothing can look up.
    #[command(subcommand)]
    Purchases(PurchasesCommand),
    /// Show what a gateway earned, and the tokens it sold.
    Sales(SalesArgs),
    /// Run a private Lightning network: two wallets, worthless coins.
    Sandbox(SandboxArgs),
    /// Put a price on an HTTP or gRPC service.
    Serve(ServeArgs),
    /// Show what was paid, and what the limits leave.
    Spending(SpendingArgs),
    /// List, show, narrow, check and revoke tokens.
    #[command(subcommand)]
    Token(TokenCommand),
}
