//! What the configuration file says.
//!
//! ```toml
//! [get]
//! wallet = "node"          # used when --wallet is not given
//! max_cost = "500 sat"
//! max_fee = "5 sat"
//!
//! [serve]
//! wallet = "sandbox:seller"
//!
//! [wallets]
//! node = { lnd = "127.0.0.1:10009", tls_cert = "/home/me/.lnd/tls.cert", macaroon = "/home/me/.lnd/data/chain/bitcoin/mainnet/router.macaroon" }
//! remote = "lndconnect://node.example:10009?macaroon=…"
//! ```
//!
//! A missing file is an empty one, unless it was asked for. A misspelt key is an error: a
//! limit that is not read would be no limit.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use l402::Msat;
use serde::{Deserialize, Deserializer};
use tollway_lightning::registry::WalletTable;

use crate::exit::Failure;

/// The file, checked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) get: GetConfig,
    pub(crate) serve: ServeConfig,
    pub(crate) wallets: BTreeMap<String, WalletEntry>,
}

/// Defaults of `tollway get`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GetConfig {
    pub(crate) wallet: Option<String>,
    #[serde(deserialize_with = "amount")]
    pub(crate) max_cost: Option<Msat>,
    #[serde(deserialize_with = "amount")]
    pub(crate) max_fee: Option<Msat>,
    /// The most that may be spent in one UTC day, fees included.
    #[serde(deserialize_with = "amount")]
    pub(crate) max_per_day: Option<Msat>,
    /// The most that may ever go to one host, fees included.
    #[serde(deserialize_with = "amount")]
    pub(crate) max_per_host: Option<Msat>,
    /// The most that may ever be spent, fees included.
    #[serde(deserialize_with = "amount")]
    pub(crate) max_total: Option<Msat>,
}

/// Defaults of `tollway serve`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServeConfig {
    pub(crate) wallet: Option<String>,
}

/// A named wallet: a URI, or a table that the wallet registry reads. Either may hold a
/// credential.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a wallet is a URI, or a table of texts like { lnd = \"host:port\", macaroon = \"…\" }"
)]
pub(crate) enum WalletEntry {
    Uri(String),
    #[serde(deserialize_with = "table")]
    Table(WalletTable),
}

/// A URI may hold a macaroon, therefore it is not shown.
impl fmt::Debug for WalletEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(_) => f.write_str("Uri(redacted)"),
            Self::Table(table) => table.fmt(f),
        }
    }
}

impl Config {
    /// Reads the file that was asked for, or the usual one if it exists.
    pub(crate) fn read(asked: Option<&Path>, usual: &Path) -> Result<Self, Failure> {
        let path = asked.unwrap_or(usual);
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && asked.is_none() => {
                return Ok(Self::default());
            }
            Err(error) => return Err(Failure::usage(format!("{}: {error}", path.display()))),
        };
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            // Without the excerpt of the file: it may show a macaroon.
            Failure::usage(format!(
                "{} line {line}: {}",
                path.display(),
                error.message()
            ))
        })
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes()
        .take(at)
        .filter(|byte| *byte == b'\n')
        .count()
        .saturating_add(1)
}

fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Msat>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

fn table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WalletTable, D::Error> {
    let fields = BTreeMap::<String, String>::deserialize(deserializer)?;
    Ok(fields.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        fs::write(&file, text).unwrap();
        Config::read(Some(&file), Path::new("/nowhere"))
    }

    #[test]
    fn a_missing_file_is_empty_unless_it_was_asked_for() {
        assert!(Config::read(None, Path::new("/nowhere/config.toml")).is_ok());
        assert!(
            Config::read(
                Some(Path::new("/nowhere/config.toml")),
                Path::new("/nowhere")
            )
            .is_err()
        );
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_names_the_line_and_the_known_keys() {
        let message = read("[get]\nwallet = \"a\"\nmax_costs = \"5 sat\"\n")
            .unwrap_err()
            .to_string();

        assert!(message.contains("line 3"), "{message}");
        assert!(
            message.contains("max_costs") && message.contains("max_cost`"),
            "{message}"
        );
    }

    #[test]
    fn an_amount_without_a_unit_is_an_error() {
        let message = read("[get]\nmax_cost = \"500\"\n").unwrap_err().to_string();
        assert!(message.contains("`500`"), "{message}");
        assert!(read("[get]\nmax_cost = 500\n").is_err());
    }

    #[test]
    fn wallets_are_uris_or_files() {
        let config =
            read("[wallets]\na = \"sandbox:buyer\"\nb = { lnd = \"h:1\", macaroon = \"/m\" }\n")
                .unwrap();

        assert!(matches!(config.wallets["a"], WalletEntry::Uri(_)));
        assert!(matches!(config.wallets["b"], WalletEntry::Table(_)));
    }

    #[test]
    fn neither_errors_nor_debug_show_a_uri() {
        let secret = "lndconnect://h:1?macaroon=c2VjcmV0";
        let shown = format!(
            "{:?}",
            read(&format!("[wallets]\na = \"{secret}\"\n")).unwrap()
        );
        let error = read(&format!("[wallets]\na = \"{secret}\" x\n"))
            .unwrap_err()
            .to_string();

        assert!(!shown.contains("c2VjcmV0"), "{shown}");
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
}
