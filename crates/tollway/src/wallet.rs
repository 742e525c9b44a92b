//! Wallets of the command line and the configuration.
//!
//! A wallet is `sandbox:NAME`, a URI of a scheme in `tollway_lightning::registry`, or a name
//! from `[wallets]`. A gateway asks for an [`Invoicer`] and gets nothing that could spend. A
//! paying wallet is opened when it is first needed: a request whose credential is in the store
//! neither waits for a wallet nor fails for want of one.
//!
//! No message repeats an argument unless it is a plain name: a misspelt URI is still a secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tollway_lightning::registry::{
    Allowance, NamedWallet, Registry, RegistryError, SchemeError, WalletScheme, WalletUri,
    lazy_payer, plain_name,
};
use tollway_lightning::{Invoicer, Payer, WalletError};
use tollway_sandbox::lnd::files::manifest::{FindError, Manifest};

use crate::config::{Config, WalletEntry};
use crate::exit::{Failure, FailureKind};
use crate::input;

/// Resolves wallet names from the command line and the configuration.
#[derive(Debug)]
pub(crate) struct Wallets<'a> {
    pub(crate) config: &'a Config,
    pub(crate) sandbox: &'a Path,
}

impl Wallets<'_> {
    /// Opens the wallet that is paid.
    pub(crate) async fn invoicer(&self, wallet: &str) -> Result<OpenInvoicer, Failure> {
        let found = self.find(wallet)?;
        let name = found.name();
        let opened = found.invoicer().await;
        let invoicer = opened.map_err(|error| failure(&name, &error))?;
        Ok(OpenInvoicer {
            invoicer,
            name,
            allowance: found.allowance(),
        })
    }

    /// Returns the wallet that pays, not opened yet, and a name that contains no secret.
    pub(crate) fn payer(&self, wallet: &str) -> Result<(Arc<dyn Payer>, String), Failure> {
        let found = self.find(wallet)?;
        let name = found.name();
        if let Some(excess) = found
            .allowance()
            .and_then(|allowance| allowance.beyond_paying)
        {
            tracing::info!(wallet = name, "{excess}");
        }
        Ok((lazy_payer(found), name))
    }

    fn find(&self, wallet: &str) -> Result<Arc<dyn NamedWallet>, Failure> {
        let registry = self.registry();
        let (found, entry) = match self.config.wallets.get(wallet) {
            Some(WalletEntry::Uri(uri)) => (registry.find(uri), Some(vec![uri.to_string()])),
            Some(WalletEntry::Table(table)) => {
                let values = FIELDS.iter().filter_map(|field| table.get(field));
                let values = values.map(str::to_owned).collect();
                (registry.find_table(table), Some(values))
            }
            None => (registry.find(wallet), None),
        };
        let shown = plain_name(wallet).unwrap_or("(not shown)");
        found.map_err(|error| match (entry, error) {
            (Some(values), error) => {
                let message = input::hide(&error.to_string(), &values);
                Failure::usage(format!("[wallets] {shown}: {message}"))
            }
            (None, RegistryError::Unknown { .. }) => self.unknown(wallet),
            (None, error) => Failure::usage(format!("wallet: {error}")),
        })
    }

    fn registry(&self) -> Registry {
        let dir = self.sandbox.to_owned();
        Registry::builtin().register(Arc::new(SandboxScheme { dir }))
    }

    fn unknown(&self, wallet: &str) -> Failure {
        let names = self.config.wallets.keys();
        let known: Vec<&str> = names.filter_map(|name| plain_name(name)).collect();
        let shown = short_name(wallet).map_or_else(String::new, |name| format!(" `{name}`"));
        let meant = input::nearest(wallet, &known);
        let meant = meant.map_or_else(String::new, |name| format!("did you mean `{name}`? "));
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        Failure::usage(format!(
            "no wallet{shown}: {meant}write sandbox:buyer, sandbox:seller, lndconnect://… or a name from [wallets] (there: {known})",
        ))
    }
}

/// Returns the name of a wallet that nothing knows, unless it may be a secret: a password is as
/// plain as a name.
fn short_name(wallet: &str) -> Option<&str> {
    plain_name(wallet).filter(|name| input::is_showable(name))
}

/// A wallet that is paid.
#[derive(Debug)]
pub(crate) struct OpenInvoicer {
    pub(crate) invoicer: Arc<dyn Invoicer>,
    /// For people, without a secret.
    pub(crate) name: String,
    /// What its credential allows, if that shows.
    pub(crate) allowance: Option<Allowance>,
}

/// Returns the failure of a command whose wallet cannot make invoices.
pub(crate) fn failure(name: &str, error: &WalletError) -> Failure {
    let kind = match error {
        // What a node refuses at the start is its macaroon: another node's, or an old one.
        WalletError::Denied { .. } | WalletError::Refused { .. } => FailureKind::WalletDenied,
        WalletError::Misconfigured { .. } => FailureKind::Usage,
        WalletError::Unreachable { .. } => FailureKind::WalletUnreachable,
        WalletError::Unsupported { .. } | _ => FailureKind::General,
    };
    let message = format!("wallet `{name}`: {error}; --wallet (wallet in [serve]) chooses another");
    Failure::new(kind, message)
}

/// `sandbox:NAME`: a wallet of the sandbox that runs in a folder.
#[derive(Debug)]
struct SandboxScheme {
    dir: PathBuf,
}

impl WalletScheme for SandboxScheme {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn find(&self, uri: &WalletUri) -> Result<Arc<dyn NamedWallet>, SchemeError> {
        let wallet = short_name(uri.rest()).ok_or(NOT_A_SANDBOX_WALLET)?;
        Ok(Arc::new(SandboxWallet {
            dir: self.dir.clone(),
            wallet: wallet.to_owned(),
        }))
    }
}

/// A wallet of a sandbox, which need not run before the wallet is opened.
#[derive(Debug)]
struct SandboxWallet {
    dir: PathBuf,
    wallet: String,
}

impl SandboxWallet {
    /// Reads how the running sandbox's wallet is reached.
    async fn reached(&self) -> Result<Arc<dyn NamedWallet>, WalletError> {
        let sandbox = Manifest::find(&self.dir).await.map_err(not_running)?;
        let Some(access) = sandbox.wallets.get(&self.wallet) else {
            let known: Vec<&str> = sandbox.wallets.keys().map(String::as_str).collect();
            return Err(WalletError::Misconfigured {
                reason: format!(
                    "the sandbox has no wallet `{}`, only {}",
                    self.wallet,
                    known.join(" and ")
                ),
            });
        };
        let found = Registry::builtin().find(access.uri.expose());
        found.map_err(|error| WalletError::Misconfigured {
            reason: error.to_string(),
        })
    }
}

impl NamedWallet for SandboxWallet {
    fn name(&self) -> String {
        format!("sandbox:{}", self.wallet)
    }

    fn invoicer(&self) -> BoxFuture<'_, Result<Arc<dyn Invoicer>, WalletError>> {
        async { self.reached().await?.invoicer().await }.boxed()
    }

    fn payer(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, WalletError>> {
        async { self.reached().await?.payer().await }.boxed()
    }
}

fn not_running(error: FindError) -> WalletError {
    WalletError::Unreachable {
        reason: error.to_string(),
    }
}

/// What a table may name by mistake with a secret.
const FIELDS: &[&str] = &["lnd", "macaroon", "tls_cert"];
const NOT_A_SANDBOX_WALLET: &str = "write sandbox:buyer or sandbox:seller";

#[cfg(test)]
mod tests {
    use super::*;

    fn payer(config: &Config, wallet: &str) -> Result<String, String> {
        let wallets = Wallets {
            config,
            sandbox: Path::new("/nowhere"),
        };
        let found = wallets.payer(wallet);
        found
            .map(|(_payer, name)| name)
            .map_err(|failure| failure.to_string())
    }

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn no_message_shows_a_secret_however_the_wallet_is_misspelt() {
        let secret = "AgEDbG5kAvgBAwoQzWpDXb0dIe1wY0EybXJ5dGVzdBIBMA".repeat(2);
        for wallet in [
            format!("Lndconnect://h:1?macaroon={secret}"),
            format!(" lndconnect://h:1?macaroon={secret}"),
            format!("lndconnect:/h:1?macaroon={secret}"),
            format!("lndconect://h:1?macaroon={secret}"),
            format!("sandbox:{secret}"),
            secret.clone(),
        ] {
            let given = payer(&Config::default(), &wallet).unwrap_err();
            let configured = config(&format!("[wallets]\nnode = \"{wallet}\"\n"));
            let named = payer(&configured, "node").unwrap_err();

            assert!(!given.contains("AgEDbG5k"), "{given}");
            assert!(!named.contains("AgEDbG5k"), "{named}");
        }
    }

    #[test]
    fn an_unknown_name_is_named_with_the_known_ones() {
        let config = config("[wallets]\nnode = \"sandbox:buyer\"\n");

        let message = payer(&config, "nod").unwrap_err();

        assert!(
            message.contains("no wallet `nod`: did you mean `node`?"),
            "{message}"
        );
        assert!(message.contains("(there: node)"), "{message}");
        assert_eq!(payer(&config, "node"), Ok("sandbox:buyer".to_owned()));
    }

    #[test]
    fn a_name_that_may_be_a_password_is_not_shown() {
        let config = config("[wallets]\nnode = \"sandbox:buyer\"\n");
        for typed in [
            "SUPERSECRETVALUE1234567890abcdefSECRET",
            "sandbox:SUPERSECRETVALUE1234567890abcdef",
        ] {
            let message = payer(&config, typed).unwrap_err();

            assert!(!message.contains("SECRET"), "{message}");
            assert!(message.contains("sandbox:buyer"), "{message}");
        }
    }

    #[test]
    fn a_misspelt_field_of_a_wallet_is_refused_with_the_nearest_known_one() {
        for (table, nearest) in [
            ("lnd = \"h:1\", macaron = \"/m\"", "`macaroon`"),
            (
                "lnd = \"h:1\", macaroon = \"/m\", tls = \"/t\"",
                "`tls_cert`",
            ),
            ("lmd = \"h:1\", macaroon = \"/m\"", "`lnd`"),
        ] {
            let config = config(&format!("[wallets]\nnode = {{ {table} }}\n"));

            let message = payer(&config, "node").unwrap_err();

            assert!(message.contains(nearest), "{message}");
        }
    }

    #[test]
    fn a_macaroon_written_in_place_of_its_file_is_not_shown() {
        let secret = "0201036c6e6402f801030a10".repeat(8);
        let config = config(&format!(
            "[wallets]\nnode = {{ lnd = \"h:1\", macaroon = \"{secret}\" }}\n"
        ));

        let message = payer(&config, "node").unwrap_err();

        assert!(!message.contains("0201036c"), "{message}");
    }
}
