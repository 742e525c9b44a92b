//! `tollway keys`: the master keys of a gateway.
//!
//! Changes the key file of a data directory. Running gateways on it follow within a second.
//! No key is ever shown: a key is named by its id, which is public.

use std::path::PathBuf;

use l402::UnixSeconds;
use serde_json::{Value, json};
use tollway_server::DataDir;
use tollway_server::keys::file::{self, KeyFile, KeyFileError, KeySummary};

use crate::cli::{KeysArgs, KeysCommand};
use crate::exit::{Failure, with_sources};
use crate::moment;
use crate::output::Output;
use crate::paths::Dirs;

/// Runs one of the key commands and prints the keys that are then in force.
pub(crate) fn run(command: &KeysCommand, dirs: &Dirs, output: Output) -> Result<(), Failure> {
    let path = match command {
        KeysCommand::List(args) => path(args, dirs),
        KeysCommand::Rotate(args) => {
            let folder = folder(args, dirs);
            let rotated = DataDir::rotate_keys(&folder, moment::now()?);
            rotated.map_err(|error| Failure::usage(with_sources(&error)))?;
            DataDir::key_file(&folder)
        }
        KeysCommand::Remove(args) => {
            let path = path(&args.keys, dirs);
            file::remove(&path, args.id).map_err(failure)?;
            path
        }
    };
    let keys = KeyFile::read(&path).map_err(failure)?.summaries();
    let shown: Vec<Value> = keys.iter().map(show).collect();
    output.list(&shown, "no keys", to_line, "keys")
}

fn path(args: &KeysArgs, dirs: &Dirs) -> PathBuf {
    DataDir::key_file(&folder(args, dirs))
}

fn folder(args: &KeysArgs, dirs: &Dirs) -> PathBuf {
    args.data_dir.clone().unwrap_or_else(|| dirs.gateway())
}

fn show(key: &KeySummary) -> Value {
    json!({
        "id": key.id.to_string(),
        "mints": key.minted_until.is_none(),
        "minted_until": key.minted_until.map(UnixSeconds::as_secs),
    })
}

fn to_line(shown: &Value) -> String {
    let id = shown["id"].as_str().unwrap_or_default();
    match shown["minted_until"].as_u64() {
        Some(moment) => {
            let moment = moment::show(UnixSeconds::new(moment));
            format!("{id}  retired: its tokens minted until {moment} are valid")
        }
        None => format!("{id}  mints"),
    }
}

fn failure(error: KeyFileError) -> Failure {
    Failure::usage(with_sources(&error))
}
