//! Lazily opened payer.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use l402::{Network, PaymentHash};
use tokio::sync::OnceCell;

use super::NamedWallet;
use crate::{
    Paid, PayError, Payer, PayerPromises, PaymentState, PaymentTerms, WalletError, WalletIdentity,
};

/// Opens its wallet with the first call. Concurrent first calls open it once.
pub(super) struct LazyPayer {
    wallet: Arc<dyn NamedWallet>,
    opened: OnceCell<Arc<dyn Payer>>,
}

impl LazyPayer {
    pub(super) fn new(wallet: Arc<dyn NamedWallet>) -> Self {
        Self {
            wallet,
            opened: OnceCell::new(),
        }
    }

    async fn opened(&self) -> Result<&dyn Payer, WalletError> {
        let payer = self.opened.get_or_try_init(|| self.wallet.payer()).await?;
        Ok(payer.as_ref())
    }
}

impl Payer for LazyPayer {
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>> {
        async { self.opened().await?.network().await }.boxed()
    }

    fn identity(&self) -> BoxFuture<'_, Result<WalletIdentity, WalletError>> {
        async { self.opened().await?.identity().await }.boxed()
    }

    fn promises(&self) -> BoxFuture<'_, Result<PayerPromises, WalletError>> {
        async { self.opened().await?.promises().await }.boxed()
    }

    fn pay(&self, payment: PaymentTerms) -> BoxFuture<'_, Result<Paid, PayError>> {
        async {
            let opened = self.opened().await.map_err(|error| PayError::NotSent {
                reason: error.to_string(),
            });
            opened?.pay(payment).await
        }
        .boxed()
    }

    fn lookup(
        &self,
        hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<PaymentState>, WalletError>> {
        async move { self.opened().await?.lookup(hash).await }.boxed()
    }
}

impl fmt::Debug for LazyPayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LazyPayer({})", self.wallet.name())
    }
}
