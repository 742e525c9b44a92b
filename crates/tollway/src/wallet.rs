//! Which wallet is meant?
//!
//! `sandbox:NAME`, `lndconnect://…`, or a name from the configuration. A gateway asks for an
//! [`Invoicer`] and gets nothing that could spend.
//!
//! A paying wallet is opened when it is first needed: a request whose credential is already
//! there must not wait for a wallet, nor fail for want of one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use l402::{Network, PaymentHash};
use tokio::sync::OnceCell;
use tollway_lightning::lnd::{Lnd, LndConnect, LndPayer};
use tollway_lightning::{
    Invoicer, Paid, PayError, Payer, PayerError, PayerPromises, PaymentState, PaymentTerms,
    WalletIdentity,
};
use tollway_sandbox::lnd::files::manifest::Manifest;

use crate::config::{Config, LndFiles, WalletEntry};
use crate::exit::Failure;

/// Finds wallets by the words a person uses for them.
#[derive(Debug)]
pub(crate) struct Wallets<'a> {
    pub(crate) config: &'a Config,
    pub(crate) sandbox: &'a Path,
}

/// A wallet that is named and not yet opened.
#[derive(Clone)]
enum Named {
    Lnd(LndConnect),
    Sandbox { dir: PathBuf, wallet: String },
}

impl Wallets<'_> {
    /// The wallet that is paid, opened.
    pub(crate) async fn invoicer(&self, name: &str) -> Result<Arc<dyn Invoicer>, Failure> {
        Ok(Arc::new(self.named(name)?.open().await?.invoicer()))
    }

    /// The wallet that pays, and a name for it that contains no secret.
    pub(crate) fn payer(&self, name: &str) -> Result<(Arc<dyn Payer>, String), Failure> {
        let wallet = self.named(name)?;
        let shown = wallet.to_string();
        Ok((
            Arc::new(LazyPayer {
                wallet,
                opened: OnceCell::new(),
            }),
            shown,
        ))
    }

    fn named(&self, name: &str) -> Result<Named, Failure> {
        match self.config.wallets.get(name) {
            Some(WalletEntry::Uri(uri)) => self.of_uri(uri),
            Some(WalletEntry::Lnd(files)) => of_files(name, files),
            None => self.of_uri(name),
        }
    }

    fn of_uri(&self, uri: &str) -> Result<Named, Failure> {
        if let Some(wallet) = uri.strip_prefix("sandbox:") {
            return Ok(Named::Sandbox {
                dir: self.sandbox.to_owned(),
                wallet: wallet.to_owned(),
            });
        }
        if uri.starts_with("lndconnect://") {
            return LndConnect::parse(uri)
                .map(Named::Lnd)
                .map_err(Failure::usage);
        }
        let known: Vec<&str> = self.config.wallets.keys().map(String::as_str).collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        Err(Failure::usage(format!(
            "no wallet `{uri}`: write sandbox:buyer, sandbox:seller, lndconnect://… or a name from [wallets] (there: {known})",
        )))
    }
}

fn of_files(name: &str, files: &LndFiles) -> Result<Named, Failure> {
    LndConnect::from_files(&files.lnd, files.tls_cert.as_deref(), &files.macaroon)
        .map(Named::Lnd)
        .map_err(|error| Failure::usage(format!("wallet `{name}`: {error}")))
}

impl Named {
    async fn open(&self) -> Result<Lnd, Failure> {
        let connect = match self {
            Self::Lnd(connect) => connect.clone(),
            Self::Sandbox { dir, wallet } => find_in_sandbox(dir, wallet).await?,
        };
        Lnd::new(&connect).map_err(|error| Failure::usage(format!("wallet `{self}`: {error}")))
    }
}

async fn find_in_sandbox(dir: &Path, wallet: &str) -> Result<LndConnect, Failure> {
    let sandbox = Manifest::find(dir).await.map_err(Failure::usage)?;
    let Some(access) = sandbox.wallets.get(wallet) else {
        let known: Vec<&str> = sandbox.wallets.keys().map(String::as_str).collect();
        return Err(Failure::usage(format!(
            "the sandbox has no wallet `{wallet}`, only {}",
            known.join(" and ")
        )));
    };
    LndConnect::parse(access.uri.expose()).map_err(Failure::usage)
}

/// Names the wallet without its secrets. The same wallet always has the same name.
impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lnd(connect) => write!(f, "lnd:{}", connect.address()),
            Self::Sandbox { wallet, .. } => write!(f, "sandbox:{wallet}"),
        }
    }
}

/// A paying wallet that is opened by the first call.
struct LazyPayer {
    wallet: Named,
    opened: OnceCell<LndPayer>,
}

impl LazyPayer {
    async fn opened(&self) -> Result<&LndPayer, PayerError> {
        let open = || async {
            let lnd = self.wallet.open().await;
            lnd.map(|lnd| lnd.payer())
                .map_err(|failure| PayerError::Misconfigured {
                    reason: failure.to_string(),
                })
        };
        self.opened.get_or_try_init(open).await
    }
}

impl Payer for LazyPayer {
    fn network(&self) -> BoxFuture<'_, Result<Network, PayerError>> {
        async { self.opened().await?.network().await }.boxed()
    }

    fn identity(&self) -> BoxFuture<'_, Result<WalletIdentity, PayerError>> {
        async { self.opened().await?.identity().await }.boxed()
    }

    fn promises(&self) -> BoxFuture<'_, Result<PayerPromises, PayerError>> {
        async { self.opened().await?.promises().await }.boxed()
    }

    fn pay(&self, payment: PaymentTerms) -> BoxFuture<'_, Result<Paid, PayError>> {
        async {
            match self.opened().await {
                Ok(payer) => payer.pay(payment).await,
                // Nothing was sent anywhere.
                Err(error) => Err(PayError::NotSent {
                    reason: error.to_string(),
                }),
            }
        }
        .boxed()
    }

    fn lookup(&self, hash: PaymentHash) -> BoxFuture<'_, Result<Option<PaymentState>, PayerError>> {
        async move { self.opened().await?.lookup(hash).await }.boxed()
    }
}

impl fmt::Debug for LazyPayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LazyPayer({})", self.wallet)
    }
}
