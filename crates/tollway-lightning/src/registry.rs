//! Wallet registry: from a wallet URI or a table of the configuration to an [`Invoicer`] or a
//! [`Payer`].
//!
//! A scheme is an adapter's entry: [`Registry::builtin`] has those of the enabled features, and
//! [`Registry::register`] adds more, so that a program which opens wallets through a registry
//! names no wallet by type. A paying wallet is opened by its first call: a program that turns
//! out to need no payment neither waits for a wallet nor fails for want of one.
//!
//! URIs and tables may hold credentials. What is printed here, errors included, shows neither
//! them nor any text that could be one by mistake.

mod lazy;
mod table;
mod uri;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use table::{TableError, WalletTable};
pub use uri::{WalletUri, WalletUriError};

use crate::{Invoicer, Payer, WalletError};
use lazy::LazyPayer;

/// The known wallet schemes.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    schemes: BTreeMap<&'static str, Arc<dyn WalletScheme>>,
}

impl Registry {
    /// Creates a registry of the schemes this crate was built with.
    #[must_use]
    pub fn builtin() -> Self {
        #[cfg(feature = "lnd")]
        let registry = Self::default().register(Arc::new(crate::lnd::LndScheme));
        #[cfg(not(feature = "lnd"))]
        let registry = Self::default();
        registry
    }

    /// Adds a scheme, in place of one with the same name.
    #[must_use]
    pub fn register(mut self, scheme: Arc<dyn WalletScheme>) -> Self {
        self.schemes.insert(scheme.name(), scheme);
        self
    }

    /// Returns the wallet a URI names, not opened yet.
    ///
    /// # Errors
    ///
    /// [`RegistryError`], which repeats `text` only if it is a plain name.
    pub fn find(&self, text: &str) -> Result<Arc<dyn NamedWallet>, RegistryError> {
        let unknown = || RegistryError::Unknown {
            name: plain_name(text).map_or_else(String::new, |name| format!(" `{name}`")),
            schemes: self.names(),
        };
        let uri = WalletUri::parse(text).map_err(|_not_a_uri| unknown())?;
        let scheme = self.schemes.get(uri.scheme()).ok_or_else(unknown)?;
        scheme.find(&uri).map_err(RegistryError::Scheme)
    }

    /// Returns the wallet that a table of the configuration describes, not opened yet. The
    /// scheme is the one whose name for tables is a field of it.
    ///
    /// # Errors
    ///
    /// [`RegistryError`], which repeats no value of the table that could be a credential.
    pub fn find_table(&self, table: &WalletTable) -> Result<Arc<dyn NamedWallet>, RegistryError> {
        let scheme = self.scheme_of(table).map_err(RegistryError::Table)?;
        scheme.find_table(table).map_err(RegistryError::Scheme)
    }

    /// Checks that a scheme knows every field of a table, without reading what the fields name.
    ///
    /// # Errors
    ///
    /// [`TableError`], which repeats no value of the table.
    pub fn check_table(&self, table: &WalletTable) -> Result<(), TableError> {
        self.scheme_of(table).map(drop)
    }

    fn scheme_of(&self, table: &WalletTable) -> Result<&Arc<dyn WalletScheme>, TableError> {
        let mut schemes = self.schemes.values();
        let scheme = schemes.find(|scheme| {
            let marks = scheme.fields().first();
            marks.is_some_and(|field| table.get(field).is_some())
        });
        let Some(scheme) = scheme else {
            let first = |scheme: &Arc<dyn WalletScheme>| scheme.fields().first().copied();
            let known: Vec<&str> = self.schemes.values().filter_map(first).collect();
            return Err(table.no_scheme(&known));
        };
        table.check(scheme.fields())?;
        Ok(scheme)
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.schemes.keys().map(|name| format!("{name}:")).collect();
        names.join(", ")
    }
}

/// One kind of wallet: what a scheme in front of a colon stands for.
pub trait WalletScheme: Debug + Send + Sync {
    /// Returns the scheme, in lower case and without the colon.
    fn name(&self) -> &'static str;

    /// Returns the wallet a URI of this scheme names, without connecting to it.
    ///
    /// # Errors
    ///
    /// Any error whose text holds no part of the URI that could be a credential.
    fn find(&self, uri: &WalletUri) -> Result<Arc<dyn NamedWallet>, SchemeError>;

    /// Returns the fields of a table for this scheme. The first one marks a table as its own.
    fn fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the wallet a table describes. It has the first of [`fields`](Self::fields), and
    /// no field that is not among them.
    ///
    /// # Errors
    ///
    /// Any error whose text holds no value that could be a credential.
    fn find_table(&self, table: &WalletTable) -> Result<Arc<dyn NamedWallet>, SchemeError> {
        Err(Box::new(table.no_scheme(&[])))
    }
}

/// Why a scheme cannot use a URI or a table.
pub type SchemeError = Box<dyn Error + Send + Sync>;

/// A wallet that is named and not opened yet.
pub trait NamedWallet: Debug + Send + Sync {
    /// Returns a name for people, without secrets: `lnd:host:port`.
    fn name(&self) -> String;

    /// Returns what the credential of the wallet allows, if that shows without a call.
    fn allowance(&self) -> Option<Allowance> {
        None
    }

    /// Opens the half that makes invoices.
    fn invoicer(&self) -> BoxFuture<'_, Result<Arc<dyn Invoicer>, WalletError>>;

    /// Opens the half that pays.
    fn payer(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, WalletError>>;
}

/// What the credential of a wallet allows at most.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Allowance {
    /// Whether it can spend.
    pub can_spend: bool,
    /// What it allows beyond receiving, and which credential is enough: a clause for people.
    pub beyond_receiving: Option<String>,
    /// What it allows beyond paying, and which credential is enough: a clause for people.
    pub beyond_paying: Option<String>,
}

/// Returns a payer that opens its wallet with the first call that needs it.
///
/// A wallet that could not be opened is tried again by the next call.
#[must_use]
pub fn lazy_payer(wallet: Arc<dyn NamedWallet>) -> Arc<dyn Payer> {
    Arc::new(LazyPayer::new(wallet))
}

/// Returns `text` if it can be shown: a short name of letters, digits and `-_.:`.
///
/// Credentials are longer: 32 bytes take 43 characters in base64.
#[must_use]
pub fn plain_name(text: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let is_plain = (1..=PLAIN_LEN_MAX).contains(&text.len()) && text.bytes().all(plain);
    is_plain.then_some(text)
}

/// Why no wallet was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The scheme cannot use the URI or the table.
    #[error(transparent)]
    Scheme(SchemeError),
    /// The table belongs to no scheme, or has fields its scheme does not know.
    #[error(transparent)]
    Table(TableError),
    /// No such scheme.
    #[error("no wallet{name}: write a URI that begins with one of {schemes}")]
    Unknown {
        /// The text, quoted after a blank, if it can be shown.
        name: String,
        /// The known schemes.
        schemes: String,
    },
}

const PLAIN_LEN_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Other;

    impl WalletScheme for Other {
        fn name(&self) -> &'static str {
            "other"
        }

        fn find(&self, uri: &WalletUri) -> Result<Arc<dyn NamedWallet>, SchemeError> {
            match uri.rest() {
                "here" => Ok(Arc::new(Self)),
                _ => Err("not here".into()),
            }
        }

        fn fields(&self) -> &'static [&'static str] {
            &["other", "secret"]
        }

        fn find_table(&self, _table: &WalletTable) -> Result<Arc<dyn NamedWallet>, SchemeError> {
            Ok(Arc::new(Self))
        }
    }

    impl NamedWallet for Other {
        fn name(&self) -> String {
            "other:here".to_owned()
        }

        fn invoicer(&self) -> BoxFuture<'_, Result<Arc<dyn Invoicer>, WalletError>> {
            Box::pin(async {
                let reason = "closed".to_owned();
                Err(WalletError::Unreachable { reason })
            })
        }

        fn payer(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, WalletError>> {
            Box::pin(async {
                let reason = "closed".to_owned();
                Err(WalletError::Unreachable { reason })
            })
        }
    }

    #[test]
    fn a_scheme_from_outside_is_found_by_its_name_in_any_case() {
        let registry = Registry::builtin().register(Arc::new(Other));
        for text in ["other:here", "OTHER:here", " other:here\n"] {
            assert_eq!(registry.find(text).unwrap().name(), "other:here");
        }
        let refused = registry.find("other:there").unwrap_err();
        assert_eq!(refused.to_string(), "not here");
    }

    #[tokio::test]
    async fn a_payer_opens_its_wallet_when_it_is_first_needed() {
        let registry = Registry::default().register(Arc::new(Other));
        let payer = lazy_payer(registry.find("other:here").unwrap());

        let error = payer.network().await.unwrap_err();

        assert!(matches!(error, WalletError::Unreachable { .. }), "{error}");
    }

    #[test]
    fn a_table_with_an_unknown_field_is_refused_with_the_nearest_known_one() {
        let registry = Registry::default().register(Arc::new(Other));
        let table = |fields: &[(&str, &str)]| {
            let fields = fields.iter();
            let owned = fields.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            registry.find_table(&owned.collect())
        };

        assert!(table(&[("other", "x"), ("secret", "y")]).is_ok());
        let misspelt = table(&[("other", "x"), ("secert", "y")]).unwrap_err();
        assert!(misspelt.to_string().contains("`secret`"), "{misspelt}");
        let nobodys = table(&[("lmd", "x")]).unwrap_err();
        assert!(nobodys.to_string().contains("`other`"), "{nobodys}");
    }

    #[test]
    fn no_error_shows_a_secret_however_it_is_misspelt() {
        let registry = Registry::builtin().register(Arc::new(Other));
        let secret = "AgEDbG5kAvgBAwoQzWpDXb0dIe1wY0EybXJ5dGVzdBIBMA".repeat(2);
        for text in [
            secret.clone(),
            format!("{secret}:10009"),
            format!("lndconect://h:1?macaroon={secret}"),
            format!("LNDCONNECT://h:1?macaroon={secret}"),
            format!(" lndconnect://h:1?macaroon={secret}"),
            format!("lndconnect:/h:1?macaroon={secret}"),
            format!("lndconnect:{secret}"),
            format!("lndconnect://{secret}"),
            format!("lndconnect://h:1/macaroon={secret}"),
            format!("lndconnect://h:1?{secret}"),
            format!("lndconnect://h:1?{secret}=x"),
            format!("lndconnect://h:1?macaroon:{secret}"),
            format!("lndconnect://h:1&macaroon={secret}"),
            format!("http://h:1?macaroon={secret}"),
            format!("lnd {secret}"),
        ] {
            let error = registry.find(&text).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("AgEDbG5k"), "{shown}");
        }
    }

    #[test]
    fn only_short_plain_names_are_shown() {
        for (text, shown) in [
            ("node", true),
            ("sandbox:buyer", true),
            ("", false),
            ("a b", false),
            ("a?macaroon=b", false),
            (&"a".repeat(41), false),
        ] {
            assert_eq!(plain_name(text).is_some(), shown, "{text}");
        }
    }
}
