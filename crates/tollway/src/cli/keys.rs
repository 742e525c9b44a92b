//! Commands and arguments of `tollway keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tollway_server::keys::file::KeyId;

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List the ids of the keys, newest first.
    List(KeysArgs),
    /// Remove a retired key: every token it minted becomes invalid.
    Remove(RemoveKeyArgs),
    /// Make a new key mint, and retire the one that does: its tokens stay valid, later ones
    /// under it are forged.
    #[command(visible_alias = "retire")]
    Rotate(KeysArgs),
}

#[derive(Args, Debug)]
pub(crate) struct KeysArgs {
    /// The gateway's directory; default: gateway in the tollway folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveKeyArgs {
    /// The id of the key, as `tollway keys list` shows it.
    pub(crate) id: KeyId,
    #[command(flatten)]
    pub(crate) keys: KeysArgs,
}
