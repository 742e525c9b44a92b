//! The wallet that pays, and what it reports about payments.
//!
//! What a report proves is decided in [`proof`](super::proof). A wallet that fails, hangs or
//! contradicts itself reports nothing.

use std::sync::Arc;
use std::time::Duration;

use l402::{Invoice, Msat, PaymentHash};
use tokio::sync::OnceCell;
use tollway_lightning::{
    Paid, PayError, Payer, PayerPromises, PaymentState, PaymentTerms, WalletError, WalletIdentity,
};

use crate::book::WalletName;

/// A wallet.
pub(crate) struct Wallet {
    payer: Arc<dyn Payer>,
    name: WalletName,
    facts: OnceCell<WalletFacts>,
}

/// What a wallet reports about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalletFacts {
    /// Which wallet it is. No other is asked about its payments.
    pub(crate) identity: WalletIdentity,
    pub(crate) promises: PayerPromises,
}

/// What a wallet reported about a payment.
#[derive(Debug)]
pub(crate) enum PaymentUpdate {
    /// A request for it failed, and no money moved for that one.
    Failed {
        /// Why.
        reason: String,
    },
    /// The wallet does not know the payment.
    NotFound,
    /// The request to pay did not reach the wallet.
    NotSent {
        /// Why.
        reason: String,
    },
    /// It settled.
    Settled(Paid),
    /// It may have moved money, or still may.
    Unknown(Reason),
}

/// Why a payment has the outcome it has, or none.
#[derive(Debug)]
pub(crate) struct Reason {
    /// For people, and for the book.
    pub(crate) text: String,
    /// What the wallet failed with, when it was asked about the payment and did not reply.
    pub(crate) wallet_error: Option<WalletError>,
}

impl Reason {
    fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            wallet_error: None,
        }
    }
}

impl From<WalletError> for Reason {
    fn from(error: WalletError) -> Self {
        Self {
            text: error.to_string(),
            wallet_error: Some(error),
        }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl Wallet {
    pub(super) fn new(payer: Arc<dyn Payer>, name: WalletName) -> Self {
        Self {
            payer,
            name,
            facts: OnceCell::new(),
        }
    }

    pub(crate) const fn name(&self) -> &WalletName {
        &self.name
    }

    /// Returns what it reports about itself; asked once.
    pub(super) async fn facts(&self) -> Result<WalletFacts, WalletError> {
        let ask = || async {
            Ok(WalletFacts {
                identity: self.payer.identity().await?,
                promises: self.payer.promises().await?,
            })
        };
        self.facts.get_or_try_init(ask).await.copied()
    }

    /// Asks it to pay.
    pub(super) async fn pay(
        &self,
        invoice: Invoice,
        fee_max: Msat,
        timeout: Duration,
    ) -> PaymentUpdate {
        let payment = self.payer.pay(PaymentTerms {
            invoice,
            fee_max,
            timeout,
        });
        let patience = timeout.saturating_add(REPLY_MARGIN);
        match tokio::time::timeout(patience, payment).await {
            Ok(Ok(paid)) => PaymentUpdate::Settled(paid),
            Ok(Err(PayError::Failed { reason })) => PaymentUpdate::Failed { reason },
            Ok(Err(PayError::NotSent { reason })) => PaymentUpdate::NotSent { reason },
            Ok(Err(PayError::Unknown { reason })) => unknown(reason),
            Err(_elapsed) => unknown(NO_REPLY),
        }
    }

    /// Looks a payment up.
    pub(crate) async fn look_up(&self, hash: PaymentHash) -> PaymentUpdate {
        match tokio::time::timeout(LOOK_UP_TIMEOUT, self.payer.lookup(hash)).await {
            Ok(Ok(Some(PaymentState::Settled(paid)))) => PaymentUpdate::Settled(paid),
            Ok(Ok(Some(PaymentState::Failed { reason }))) => PaymentUpdate::Failed { reason },
            Ok(Ok(Some(PaymentState::InFlight))) => unknown("the payment is in flight"),
            Ok(Ok(None)) => PaymentUpdate::NotFound,
            Ok(Err(error)) => unknown(error),
            Err(_elapsed) => unknown(NO_REPLY),
        }
    }
}

fn unknown(reason: impl Into<Reason>) -> PaymentUpdate {
    PaymentUpdate::Unknown(reason.into())
}

const NO_REPLY: &str = "the wallet did not reply in time";

/// How much longer than its own timeout a wallet may take to reply.
const REPLY_MARGIN: Duration = Duration::from_secs(30);
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);
