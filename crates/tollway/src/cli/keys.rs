//! Commands and arguments of `tollway keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tollway_server::keys::file::KeyId;

use super::heading;

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum KeysCommand {
    /// List the ids of the keys, newest first.
    #[command(after_help = "Examples:\n  tollway keys list")]
    List(KeysArgs),
    /// Remove a retired key: every token it minted becomes invalid.
    #[command(after_help = "Examples:\n  tollway keys remove 1f0a2b3c")]
    Remove(RemoveKeyArgs),
    /// Rotate if this key still mints.
    #[command(after_help = "Examples:\n  tollway keys retire 1f0a2b3c")]
    Retire(RetireKeyArgs),
    /// Mint with a new key; the one before stays valid.
    #[command(after_help = "Examples:\n  tollway keys rotate")]
    Rotate(KeysArgs),
}

#[derive(Args, Debug)]
pub(crate) struct KeysArgs {
    /// The gateway's [default: gateway in the tollway folder]
    #[arg(long, value_name = "DIR", help_heading = heading::STORAGE)]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RetireKeyArgs {
    /// The id of the key, as `tollway keys list` shows it.
    pub(crate) id: KeyId,
    #[command(flatten)]
    pub(crate) keys: KeysArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveKeyArgs {
    /// The id of the key, as `tollway keys list` shows it.
    pub(crate) id: KeyId,
    /// Even while invoices of its tokens can be paid.
    #[arg(long)]
    pub(crate) now: bool,
    #[command(flatten)]
    pub(crate) keys: KeysArgs,
}

const EXAMPLES: &str = "\
Examples:
  tollway keys list
  tollway keys rotate

A running gateway follows a change of its keys.";
