//! `tollway keys`: the master keys of a gateway.
//!
//! Changes the key file of a data directory. Running gateways on it follow within a second.
//! No key is ever shown: a key is named by its id, which is public.

use std::path::{Path, PathBuf};

use l402::UnixSeconds;
use serde_json::{Value, json};
use tollway_server::keys::LiveKeyRing;
use tollway_server::keys::file::{self, KeyFile, KeyFileError, KeySummary};

use crate::cli::{KeysArgs, KeysCommand};
use crate::exit::Failure;
use crate::moment;
use crate::output::Output;
use crate::paths::Dirs;

/// Runs one of the key commands and prints the keys that are then in force.
pub(crate) fn run(command: &KeysCommand, dirs: &Dirs, output: Output) -> Result<(), Failure> {
    let path = match command {
        KeysCommand::List(args) => path(args, dirs),
        KeysCommand::Rotate(args) => {
            let path = path(args, dirs);
            file::rotate(&path, moment::now()?).map_err(failure)?;
            path
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

/// Opens the keys of a data directory, making the first one if there is none.
pub(super) fn open(data_dir: &Path) -> Result<LiveKeyRing, Failure> {
    LiveKeyRing::open(&data_dir.join(KEY_FILE)).map_err(failure)
}

fn path(args: &KeysArgs, dirs: &Dirs) -> PathBuf {
    let dir = args.data_dir.clone().unwrap_or_else(|| dirs.gateway());
    dir.join(KEY_FILE)
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
    let error: &dyn std::error::Error = &error;
    match error.source() {
        Some(cause) => Failure::usage(format!("{error}: {cause}")),
        None => Failure::usage(error),
    }
}

const KEY_FILE: &str = "master.key";
