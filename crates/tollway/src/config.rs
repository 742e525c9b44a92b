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
//! write_timeout = "60s"    # limits of a gateway, see its guide
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
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use l402::{Limits, Msat};
use serde::{Deserialize, Deserializer};
use tollway_client::DEFAULT_LIMITS;
use tollway_gateway::{
    GatewayLimits, ProxiesConfig, ProxyNetwork, ProxyProtocol, UpstreamHost, UpstreamLimits,
};
use tollway_lightning::registry::{Registry, WalletTable, plain_name};
use tollway_server::GateSettings;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::cli;
use crate::exit::Failure;
use crate::input::{self, DurationError, HostError, NetworkError, Secret};

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

/// Defaults of `tollway serve`, and limits that have no flag.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServeConfig {
    pub(crate) wallet: Option<Secret>,
    connections_max: Option<NonZeroUsize>,
    client_connections_max: Option<NonZeroUsize>,
    client_requests_max: Option<NonZeroUsize>,
    requests_per_token_max: Option<NonZeroU32>,
    head_max_bytes: Option<NonZeroUsize>,
    trusted_proxies: Vec<Network>,
    proxy_protocol: bool,
    upstream_host: Option<Host>,
    idle_timeout: Option<Time>,
    read_timeout: Option<Time>,
    write_timeout: Option<Time>,
    local_response_timeout: Option<Time>,
    tunnel_idle_timeout: Option<TimeLimit>,
    tunnel_close_timeout: Option<Time>,
    drain_timeout: Option<Time>,
    tunnel_drain_timeout: Option<Time>,
    upstream_timeout: Option<Time>,
    upstream_body_timeout: Option<TimeLimit>,
    upstream_connect_timeout: Option<Time>,
    upstream_connections_max: Option<NonZeroUsize>,
}

impl ServeConfig {
    /// Returns the limits towards clients that are in force where no flag sets another.
    pub(crate) fn limits(&self) -> GatewayLimits {
        let usual = GatewayLimits::default();
        let head_max_bytes = self.head_max_bytes.map(NonZeroUsize::get);
        GatewayLimits {
            idle_timeout: or(self.idle_timeout, usual.idle_timeout),
            read_timeout: or(self.read_timeout, usual.read_timeout),
            write_timeout: or(self.write_timeout, usual.write_timeout),
            local_response_timeout: or(self.local_response_timeout, usual.local_response_timeout),
            tunnel_idle_timeout: limit_or(self.tunnel_idle_timeout, usual.tunnel_idle_timeout),
            tunnel_close_timeout: or(self.tunnel_close_timeout, usual.tunnel_close_timeout),
            drain_timeout: or(self.drain_timeout, usual.drain_timeout),
            tunnel_drain_timeout: or(self.tunnel_drain_timeout, usual.tunnel_drain_timeout),
            head_max_bytes: head_max_bytes.unwrap_or(usual.head_max_bytes),
            connections_max: self.connections_max.unwrap_or(usual.connections_max),
            client_connections_max: self.client_connections_max,
            client_requests_max: self.client_requests_max,
        }
    }

    /// Returns the settings of a gate that are in force where no flag sets another.
    pub(crate) fn gate(&self) -> GateSettings {
        let usual = GateSettings::default();
        GateSettings {
            requests_per_token_max: self.requests_per_token_max.or(usual.requests_per_token_max),
            ..usual
        }
    }

    /// Returns the proxies in front of the gateway.
    pub(crate) fn proxies(&self) -> ProxiesConfig {
        let trusted = self.trusted_proxies.iter();
        ProxiesConfig {
            trusted: trusted.map(|Network(network)| *network).collect(),
            protocol: match self.proxy_protocol {
                true => ProxyProtocol::Required,
                false => ProxyProtocol::Off,
            },
        }
    }

    /// Returns the `Host` that the upstream receives.
    pub(crate) fn upstream_host(&self) -> UpstreamHost {
        let host = self.upstream_host.as_ref();
        host.map_or_else(UpstreamHost::default, |Host(host)| host.clone())
    }

    /// Returns those of calls to the upstream.
    pub(crate) fn upstream_limits(&self) -> UpstreamLimits {
        let usual = UpstreamLimits::default();
        UpstreamLimits {
            connect_timeout: or(self.upstream_connect_timeout, usual.connect_timeout),
            response_timeout: or(self.upstream_timeout, usual.response_timeout),
            body_timeout: limit_or(self.upstream_body_timeout, usual.body_timeout),
            connections_max: self
                .upstream_connections_max
                .unwrap_or(usual.connections_max),
            ..usual
        }
    }
}

fn or(time: Option<Time>, usual: Duration) -> Duration {
    time.map_or(usual, |Time(time)| time)
}

fn limit_or(limit: Option<TimeLimit>, usual: Option<Duration>) -> Option<Duration> {
    limit.map_or(usual, |TimeLimit(limit)| limit)
}

/// A duration as people write it, like `"90s"`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Time(Duration);

impl TryFrom<String> for Time {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        input::duration(&text).map(Self)
    }
}

/// The same, or `"none"`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct TimeLimit(Option<Duration>);

impl TryFrom<String> for TimeLimit {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        match text.as_str() {
            NO_LIMIT => Ok(Self(None)),
            text => input::duration(text).map(|time| Self(Some(time))),
        }
    }
}

/// A network of proxies, like `"10.0.0.0/8"`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Network(ProxyNetwork);

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        input::network(&text).map(Self)
    }
}

/// The `Host` for the upstream, like `"preserve"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Host(UpstreamHost);

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        input::upstream_host(&text).map(Self)
    }
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
            .map_err(|error| {
                let message = format!("{}; a text is in quotes", error.message());
                refused(error.span().map_or(0, |span| span.start), &message)
            })?
            .into_inner();
        check_keys(&written).map_err(|(at, message)| refused(at, &message))?;
        toml::from_str(&text)
            .map_err(|error| refused(error.span().map_or(0, |span| span.start), error.message()))
    }
}

/// Refuses keys that are not read, and values that are not what their key takes; returns where
/// and why. A limit under a misspelt key would be no limit.
fn check_keys(written: &DeTable<'_>) -> Result<(), (usize, String)> {
    for (section, value) in written {
        let name = section.get_ref().as_ref();
        let known = match name {
            "get" => GET_KEYS,
            "serve" => SERVE_KEYS,
            "wallets" => &[],
            _ => return Err((section.span().start, unknown_section(name))),
        };
        let Some(keys) = value.get_ref().as_table() else {
            let message = format!("`{name}` is a section: write [{name}], and its keys below it");
            return Err((section.span().start, message));
        };
        if name == "wallets" {
            check_wallets(keys)?;
            continue;
        }
        for (key, value) in keys {
            check_key(name, known, key, value)?;
        }
    }
    Ok(())
}

fn check_key(
    section: &str,
    known: &[&str],
    key: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
) -> Result<(), (usize, String)> {
    let name = key.get_ref().as_ref();
    if !known.contains(&name) {
        let message = unknown_key(section, known, name);
        return Err((key.span().start, message));
    }
    let refused = |reason: String| {
        let message = format!("`{name}` in [{section}]: {reason}");
        Err((value.span().start, message))
    };
    let kind = Kind::of(name);
    let written = match (kind, value.get_ref()) {
        (Kind::Count, DeValue::Integer(number)) => number.as_str(),
        (Kind::Amount | Kind::Text | Kind::Time, DeValue::String(text)) => text.as_ref(),
        (Kind::Switch, DeValue::Boolean(_)) => return Ok(()),
        (Kind::Networks, DeValue::Array(networks)) => {
            return check_networks(networks.iter()).or_else(refused);
        }
        _ => return refused(kind.advice().to_owned()),
    };
    let read = match kind {
        Kind::Text if name == "upstream_host" => input::upstream_host(written)
            .map(drop)
            .map_err(|error| error.to_string()),
        Kind::Networks | Kind::Switch | Kind::Text => Ok(()),
        Kind::Amount => input::amount(written)
            .map(drop)
            .map_err(|error| error.to_string()),
        Kind::Count => input::count::<NonZeroUsize>(written)
            .map(drop)
            .map_err(|error| error.to_string()),
        Kind::Time if is_limit(name) => TimeLimit::try_from(written.to_owned())
            .map(drop)
            .map_err(|error| format!("{error}, or \"none\"")),
        Kind::Time => input::duration(written)
            .map(drop)
            .map_err(|error| error.to_string()),
    };
    read.or_else(refused)
}

fn check_networks<'a>(
    networks: impl Iterator<Item = &'a Spanned<DeValue<'a>>>,
) -> Result<(), String> {
    for network in networks {
        let Some(text) = network.get_ref().as_str() else {
            return Err(Kind::Networks.advice().to_owned());
        };
        input::network(text).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What a key takes.
#[derive(Clone, Copy)]
enum Kind {
    Amount,
    Count,
    Networks,
    Switch,
    Text,
    Time,
}

impl Kind {
    fn of(key: &str) -> Self {
        if key.starts_with("max_") {
            Self::Amount
        } else if key.ends_with("_timeout") {
            Self::Time
        } else if key.ends_with("_max") || key.ends_with("_max_bytes") {
            Self::Count
        } else if key == "trusted_proxies" {
            Self::Networks
        } else if key == "proxy_protocol" {
            Self::Switch
        } else {
            Self::Text
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Amount => "write an amount in quotes, like \"500sat\"",
            Self::Count => "write a whole number without quotes, like 1000",
            Self::Networks => "write a list of texts, like [\"10.0.0.0/8\"]",
            Self::Switch => "write true or false, without quotes",
            Self::Text => "write a text in quotes",
            Self::Time => "write a time in quotes, like \"30s\"",
        }
    }
}

/// Returns whether a key takes `"none"`.
fn is_limit(key: &str) -> bool {
    matches!(key, "tunnel_idle_timeout" | "upstream_body_timeout")
}

fn unknown_section(name: &str) -> String {
    let shown = plain_name(name).unwrap_or("(not shown)");
    let owner = KEYS.iter().find(|(_section, keys)| keys.contains(&name));
    let meant = match owner {
        Some((section, _keys)) => format!(": write it below [{section}]"),
        None => did_you_mean(name, SECTIONS),
    };
    let known = SECTIONS.join(", ");
    format!("unknown section or key `{shown}`{meant} (known: {known})")
}

fn unknown_key(section: &str, known: &[&str], name: &str) -> String {
    let shown = plain_name(name).unwrap_or("(not shown)");
    let flag = name.replace('_', "-");
    let meant = if cli::has_option(section, &flag) {
        format!(": it is a flag, --{flag} of tollway {section}")
    } else {
        did_you_mean(name, known)
    };
    let known = known.join(", ");
    format!("unknown key `{shown}` in [{section}]{meant} (known: {known})")
}

fn did_you_mean(name: &str, known: &[&str]) -> String {
    let nearest = input::nearest(name, known);
    nearest.map_or_else(String::new, |nearest| {
        format!(": did you mean `{nearest}`?")
    })
}

fn check_wallets(wallets: &DeTable<'_>) -> Result<(), (usize, String)> {
    for (wallet, value) in wallets {
        let name = plain_name(wallet.get_ref()).unwrap_or("(not shown)");
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
                let field = plain_name(field.get_ref()).unwrap_or("(not shown)");
                let key = format!("`{field}` of wallet `{name}`");
                return Err(refused(value.span().start, &key));
            }
        }
        check_fields(name, fields).map_err(|message| (value.span().start, message))?;
    }
    Ok(())
}

/// Refuses a table of a wallet with fields that no scheme knows.
fn check_fields(wallet: &str, fields: &DeTable<'_>) -> Result<(), String> {
    let fields = fields.iter().map(|(field, value)| {
        let value = value.get_ref().as_str().unwrap_or_default();
        (field.get_ref().to_string(), value.to_owned())
    });
    let table: WalletTable = fields.collect();
    let checked = Registry::builtin().check_table(&table);
    checked.map_err(|error| format!("wallet `{wallet}`: {error}"))
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

/// The keys of each section.
pub(crate) const KEYS: &[(&str, &[&str])] = &[("get", GET_KEYS), ("serve", SERVE_KEYS)];
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
const SERVE_KEYS: &[&str] = &[
    "client_connections_max",
    "client_requests_max",
    "connections_max",
    "drain_timeout",
    "head_max_bytes",
    "idle_timeout",
    "local_response_timeout",
    "proxy_protocol",
    "read_timeout",
    "requests_per_token_max",
    "trusted_proxies",
    "tunnel_close_timeout",
    "tunnel_drain_timeout",
    "tunnel_idle_timeout",
    "upstream_body_timeout",
    "upstream_connect_timeout",
    "upstream_connections_max",
    "upstream_host",
    "upstream_timeout",
    "wallet",
    "write_timeout",
];
/// A limit of time that is none.
const NO_LIMIT: &str = "none";

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
        assert!(
            message.contains("`max_cost` in [get]: `500` has no unit: write 500sat"),
            "{message}"
        );
    }

    #[test]
    fn an_error_states_what_to_write() {
        for (text, expected) in [
            (
                "[get]\nmax_cost = 500\n",
                "line 2: `max_cost` in [get]: write an amount in quotes, like \"500sat\"",
            ),
            (
                "[get]\nwallet = 5\n",
                "line 2: `wallet` in [get]: write a text in quotes",
            ),
            ("[get]\nwallet = node\n", "a text is in quotes"),
            (
                "max_cost = \"5sat\"\n",
                "line 1: unknown section or key `max_cost`: write it below [get]",
            ),
            (
                "get = 5\n",
                "line 1: `get` is a section: write [get], and its keys below it",
            ),
            (
                "[server]\n",
                "line 1: unknown section or key `server`: did you mean `serve`?",
            ),
            (
                "[serve]\nprice = \"5sat\"\n",
                "line 2: unknown key `price` in [serve]: it is a flag, --price of tollway serve (known: ",
            ),
            (
                "[get]\nno_pay = true\n",
                "it is a flag, --no-pay of tollway get",
            ),
            (
                "[get]\ncolour = 1\n",
                "unknown key `colour` in [get] (known: ",
            ),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn limits_of_a_gateway_are_times_and_counts() {
        let text = "[serve]\nwrite_timeout = \"90s\"\nconnections_max = 1_000\n\
            upstream_timeout = \"5m\"\nupstream_body_timeout = \"none\"\n";

        let config = read(text).unwrap().serve;

        let usual = GatewayLimits::default();
        let limits = config.limits();
        assert_eq!(limits.write_timeout, Duration::from_secs(90));
        assert_eq!(limits.connections_max.get(), 1_000);
        assert_eq!(limits.idle_timeout, usual.idle_timeout);
        let upstream = config.upstream_limits();
        assert_eq!(upstream.response_timeout, Duration::from_secs(300));
        assert_eq!(upstream.body_timeout, None);
    }

    #[test]
    fn the_requests_of_one_token_are_1000_unless_configured() {
        let max = |text| {
            let gate = read(text).unwrap().serve.gate();
            gate.requests_per_token_max.map(NonZeroU32::get)
        };

        assert_eq!(max(""), Some(1_000));
        assert_eq!(max("[serve]\nrequests_per_token_max = 10\n"), Some(10));
    }

    #[test]
    fn proxies_are_networks_and_the_host_is_a_word_or_a_host() {
        let text = "[serve]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n\
            proxy_protocol = true\nupstream_host = \"preserve\"\n";

        let config = read(text).unwrap().serve;

        let proxies = config.proxies();
        let networks: Vec<_> = proxies.trusted.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "::1"]);
        assert_eq!(proxies.protocol, ProxyProtocol::Required);
        assert_eq!(config.upstream_host(), UpstreamHost::Preserved);
    }

    #[test]
    fn a_limit_that_cannot_be_read_states_what_to_write() {
        for (text, expected) in [
            ("idle_timeout = 60", "write a time in quotes, like \"30s\""),
            ("idle_timeout = \"60\"", "`60` has no unit: write 60s"),
            ("idle_timeout = \"none\"", "`none` is not a duration"),
            ("tunnel_idle_timeout = \"soon\"", ", or \"none\""),
            (
                "connections_max = \"many\"",
                "write a whole number without quotes",
            ),
            ("connections_max = 0", "`0` is not a whole number from 1"),
            ("trusted_proxies = \"10.0.0.1\"", "write a list of texts"),
            ("trusted_proxies = [10]", "write a list of texts"),
            (
                "trusted_proxies = [\"10.0.0.0/33\"]",
                "`10.0.0.0/33` is not a network",
            ),
            ("proxy_protocol = \"on\"", "write true or false"),
            ("upstream_host = \"http://a\"", "`http://a` is not a host"),
        ] {
            let message = read(&format!("[serve]\n{text}\n")).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
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
    fn a_misspelt_field_of_a_wallet_is_an_error_although_no_command_uses_the_wallet() {
        for (table, nearest) in [
            ("lnd = \"h:1\", macaron = \"/m\"", "`macaroon`"),
            (
                "lnd = \"h:1\", macaroon = \"/m\", tls = \"/t\"",
                "`tls_cert`",
            ),
            ("lmd = \"h:1\", macaroon = \"/m\"", "`lnd`"),
        ] {
            let text = format!("[get]\n[wallets]\nnode = {{ {table} }}\n");
            let message = read(&text).unwrap_err().to_string();

            assert!(message.contains("line 3: wallet `node`"), "{message}");
            assert!(message.contains(nearest), "{message}");
        }
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
