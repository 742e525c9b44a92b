//! `tollway keys`: the master keys of a gateway.
//!
//! Changes the key file of a data directory. Running gateways on it follow within a second.
//! No key is ever shown: a key is named by its id, which is public.

use std::path::{Path, PathBuf};

use l402::UnixSeconds;
use serde_json::{Value, json};
use tollway_server::DataDir;
use tollway_server::keys::file::{self, KeyFile, KeyFileError, KeyId, KeySummary, Removal};
use tollway_server::ledger::LedgerReader;

use crate::cli::{KeysArgs, KeysCommand, RemoveKeyArgs, RetireKeyArgs};
use crate::exit::{Failure, with_sources};
use crate::moment;
use crate::output::Output;
use crate::paths::Dirs;
use crate::table::{Heading, Table};

/// Runs one of the key commands and prints the keys that are then in force.
pub(crate) fn run(command: &KeysCommand, dirs: &Dirs, output: Output) -> Result<(), Failure> {
    let folder = match command {
        KeysCommand::List(args) | KeysCommand::Rotate(args) => folder(args, dirs),
        KeysCommand::Remove(args) => folder(&args.keys, dirs),
        KeysCommand::Retire(args) => folder(&args.keys, dirs),
    };
    let path = DataDir::key_file(&folder);
    // A link to keys that are away is damage, and named as such below.
    if !path.is_symlink() && path.try_exists().is_ok_and(|exists| !exists) {
        return Err(Failure::usage(format!(
            "{}: no master key there: name the gateway's directory with --data-dir; the first \
             `tollway serve` makes one",
            path.display()
        )));
    }
    let uses = TokensUsed::read(&folder);
    let mut removed = None;
    match command {
        KeysCommand::List(_) => {}
        KeysCommand::Rotate(_) => {
            rotate(&folder)?;
        }
        KeysCommand::Retire(args) => retire(args, &folder)?,
        KeysCommand::Remove(args) => {
            file::remove(&path, args.id, removal(args)?).map_err(failure)?;
            removed = Some(args.id);
        }
    }
    let keys = KeyFile::read(&path).map_err(failure)?.summaries();
    let mut table = Table::new([
        Heading::Left("KEY"),
        Heading::Right("TOKENS USED"),
        Heading::Left("STATE"),
    ]);
    for key in &keys {
        let used = uses.of(key.id).map(|used| used.to_string());
        table.row([key.id.to_string(), used.unwrap_or_default(), state(key)]);
    }
    let shown: Vec<Value> = keys.iter().map(|key| show(key, &uses)).collect();
    let mut json = json!({ "keys": shown });
    let mut text = table.to_string();
    if let (Some(id), Some(object)) = (removed, json.as_object_mut()) {
        let used = uses.of(id);
        text = format!("{}\n\n{text}", invalidated(id, used));
        let removed = json!({ "id": id.to_string(), "tokens_used": used });
        object.insert("removed".to_owned(), removed);
    }
    output.line(&text, &json)
}

fn rotate(folder: &Path) -> Result<(), Failure> {
    let rotated = DataDir::rotate_keys(folder, moment::now()?);
    rotated
        .map(drop)
        .map_err(|error| Failure::usage(with_sources(&error)))
}

/// Rotates if the key is the one that mints. One that is retired already is left as it is, so
/// that a script may run twice.
fn retire(args: &RetireKeyArgs, folder: &Path) -> Result<(), Failure> {
    let keys = KeyFile::read(&DataDir::key_file(folder)).map_err(failure)?;
    let keys = keys.summaries();
    match keys.iter().find(|key| key.id == args.id) {
        Some(key) if key.minted_until.is_none() => rotate(folder),
        Some(_retired) => Ok(()),
        None => Err(failure(KeyFileError::Unknown {
            id: args.id,
            known: keys.iter().map(|key| key.id).collect(),
        })),
    }
}

fn removal(args: &RemoveKeyArgs) -> Result<Removal, Failure> {
    if args.now {
        return Ok(Removal::AtOnce);
    }
    let now = moment::now()?;
    Ok(Removal::AfterInvoices { now })
}

fn invalidated(id: KeyId, used: Option<u64>) -> String {
    let used = used.map_or_else(String::new, |used| {
        format!(", {used} that were used among them")
    });
    format!("removed {id}: every token that it minted is invalid{used}")
}

/// How many tokens of a key were ever used, where there is a ledger that can be read. Changing
/// keys does not depend on it.
struct TokensUsed(Option<LedgerReader>);

impl TokensUsed {
    fn read(folder: &Path) -> Self {
        Self(DataDir::open_reports(folder).ok().flatten())
    }

    fn of(&self, key: KeyId) -> Option<u64> {
        self.0.as_ref()?.tokens_minted_by(key).ok()
    }
}

fn folder(args: &KeysArgs, dirs: &Dirs) -> PathBuf {
    args.data_dir.clone().unwrap_or_else(|| dirs.gateway())
}

fn show(key: &KeySummary, uses: &TokensUsed) -> Value {
    json!({
        "id": key.id.to_string(),
        "mints": key.minted_until.is_none(),
        "minted_until": key.minted_until.map(UnixSeconds::as_secs),
        "tokens_used": uses.of(key.id),
    })
}

fn state(key: &KeySummary) -> String {
    match key.minted_until {
        Some(moment) => {
            let moment = moment::show(moment);
            format!("retired; what it minted until {moment} stays valid")
        }
        None => "mints new tokens".to_owned(),
    }
}

fn failure(error: KeyFileError) -> Failure {
    if let KeyFileError::Payable { .. } = error {
        return Failure::usage(format!("{error}, or at once with --now"));
    }
    Failure::usage(with_sources(&error))
}
