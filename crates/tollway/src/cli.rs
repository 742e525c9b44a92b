//! The command line. The arguments of each command are in its file in `cli/`, its work in its
//! file in `commands/`.

mod demo;
mod get;
mod keys;
mod purchases;
mod sandbox;
mod serve;
mod token;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use self::demo::DemoArgs;
pub(crate) use self::get::GetArgs;
pub(crate) use self::keys::{KeysArgs, KeysCommand};
pub(crate) use self::purchases::{ListPurchasesArgs, PurchasesCommand, ResolveArgs};
pub(crate) use self::sandbox::SandboxArgs;
pub(crate) use self::serve::ServeArgs;
pub(crate) use self::token::{
    AttenuateArgs, InspectArgs, KeyArgs, RevokeArgs, ShowTokenArgs, StoredTokenArgs, TokenCommand,
    VerifyArgs,
};
use crate::exit;

/// Charge for HTTP and gRPC APIs over Lightning, and pay for them.
#[derive(Debug, Parser)]
#[command(name = "tollway", version, propagate_version = true, after_long_help = exit::help())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print results and errors as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log more: -v what happened, -vv each request, -vvv everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The configuration file; default: config.toml in the tollway folder.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Returns what is wrong with a command line, without the usage that follows it.
pub(crate) fn message_of(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let message = text.split("\n\nUsage:").next().unwrap_or(text);
    let message = message.split("\n\nFor more information").next();
    let lines = message.unwrap_or(text).lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a whole paid request on a private Lightning network, then keep serving.
    Demo(DemoArgs),
    /// Fetch a URL, paying for it when asked and allowed.
    #[command(after_help = exit::help())]
    Get(GetArgs),
    /// Show, rotate and remove the master keys of a gateway.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show purchases, and end those that nothing can look up.
    #[command(subcommand)]
    Purchases(PurchasesCommand),
    /// Run a private Lightning network with two funded wallets. Its coins are worthless.
    Sandbox(SandboxArgs),
    /// Put a price on an HTTP or gRPC service.
    Serve(ServeArgs),
    /// List stored tokens; explain, narrow, check or revoke a token.
    #[command(subcommand)]
    Token(TokenCommand),
}
