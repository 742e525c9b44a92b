//! Configuration file.
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
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use l402::{Limits, Msat};
use serde::{Deserialize, Deserializer};
use tollway_client::DEFAULT_LIMITS;
use tollway_lightning::registry::{WalletTable, plain_name};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::exit::Failure;
use crate::input::{self, Secret};

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
    pub(crate) wallet: Option<Secret>,
    /// Certificates to trust besides the system's, PEM.
    pub(crate) ca_cert: Option<PathBuf>,
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

impl GetConfig {
    /// Returns the limits that are in force where no flag sets another.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            price_max: self.max_cost.unwrap_or(DEFAULT_LIMITS.price_max),
            fee_max: self.max_fee.unwrap_or(DEFAULT_LIMITS.fee_max),
            per_host: self.max_per_host.or(DEFAULT_LIMITS.per_host),
            per_day: self.max_per_day.or(DEFAULT_LIMITS.per_day),
            total: self.max_total.or(DEFAULT_LIMITS.total),
        }
    }
}

/// Defaults of `tollway serve`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServeConfig {
    pub(crate) wallet: Option<Secret>,
}

/// A named wallet: a URI, or a table that the wallet registry reads. Either may hold a
/// credential.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a wallet is a URI, or a table of texts like { lnd = \"host:port\", macaroon = \"…\" }"
)]
pub(crate) enum WalletEntry {
    Uri(Secret),
    #[serde(deserialize_with = "table")]
    Table(WalletTable),
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
        // Without the excerpt of the file: it may show a macaroon.
        let refused = |at: usize, message: &str| {
            let line = line_of(&text, at);
            Failure::usage(format!("{} line {line}: {message}", path.display()))
        };
        let written: DeTable<'_> = DeTable::parse(&text)
            .map_err(|error| refused(error.span().map_or(0, |span| span.start), error.message()))?
            .into_inner();
        check_keys(&written).map_err(|(at, message)| refused(at, &message))?;
        toml::from_str(&text)
            .map_err(|error| refused(error.span().map_or(0, |span| span.start), error.message()))
    }
}

/// Refuses keys that are not read, and values of `[wallets]` that are no wallet; returns where
/// and why. A limit under a misspelt key would be no limit.
fn check_keys(written: &DeTable<'_>) -> Result<(), (usize, String)> {
    let unknown = |key: &Spanned<DeString<'_>>, known: &[&str], place: &str| {
        let name = key.get_ref();
        let nearest = input::nearest(name, known)
            .map(|nearest| format!(": did you mean `{nearest}`?"))
            .unwrap_or_default();
        let name = plain_name(name).unwrap_or("(not shown)");
        let known = known.join(", ");
        let message = format!("unknown key `{name}`{place}{nearest} (known: {known})");
        (key.span().start, message)
    };
    for (section, value) in written {
        let name = section.get_ref().as_ref();
        let known = match name {
            "get" => GET_KEYS,
            "serve" => SERVE_KEYS,
            "wallets" => {
                check_wallets(value.get_ref())?;
                continue;
            }
            _ => return Err(unknown(section, SECTIONS, "")),
        };
        let keys = value.get_ref().as_table().into_iter().flatten();
        for (key, _value) in keys {
            if !known.contains(&key.get_ref().as_ref()) {
                return Err(unknown(key, known, &format!(" in [{name}]")));
            }
        }
    }
    Ok(())
}

fn check_wallets(wallets: &DeValue<'_>) -> Result<(), (usize, String)> {
    for (wallet, value) in wallets.as_table().into_iter().flatten() {
        let name = wallet.get_ref();
        let refused = |at: usize, key: &str| {
            let message = format!(
                "{key} is not a text: a wallet is a URI, or a table like {{ lnd = \"host:port\", macaroon = \"FILE\" }}"
            );
            (at, message)
        };
        let Some(fields) = value.get_ref().as_table() else {
            if value.get_ref().is_str() {
                continue;
            }
            let key = format!("wallet `{name}`");
            return Err(refused(value.span().start, &key));
        };
        for (field, value) in fields {
            if value.get_ref().as_str().is_none() {
                let key = format!("`{}` of wallet `{name}`", field.get_ref());
                return Err(refused(value.span().start, &key));
            }
        }
    }
    Ok(())
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
    input::amount(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

fn table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WalletTable, D::Error> {
    let fields = BTreeMap::<String, String>::deserialize(deserializer)?;
    Ok(fields.into_iter().collect())
}

const SECTIONS: &[&str] = &["get", "serve", "wallets"];
const GET_KEYS: &[&str] = &[
    "ca_cert",
    "max_cost",
    "max_fee",
    "max_per_day",
    "max_per_host",
    "max_total",
    "wallet",
];
const SERVE_KEYS: &[&str] = &["wallet"];

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
