//! What a wallet's answer means for a purchase.
//!
//! A wallet that fails, hangs or contradicts itself is never taken to say that no money
//! moved. Only "failed" means that, and "never heard of it" once nothing can change it.

use std::sync::Arc;
use std::time::Duration;

use l402::{Invoice, Msat, Network, PaymentHash, PurchaseEvent};
use tokio::sync::OnceCell;
use tollway_lightning::{Paid, PayError, Payer, PaymentState, PaymentTerms};

use crate::error::Error;
use crate::journal::WalletName;

/// Who pays.
pub(crate) struct Wallet {
    payer: Arc<dyn Payer>,
    name: WalletName,
    network: OnceCell<Network>,
}

/// What a wallet said.
pub(crate) struct News {
    /// What it means.
    pub(crate) event: PurchaseEvent,
    /// For a person, should it not mean success.
    pub(crate) reason: String,
}

/// What it means that a wallet has never heard of a payment.
#[derive(Clone, Copy)]
pub(crate) enum Absence {
    /// It never will.
    Final,
    /// A request for it may still be on its way.
    Open,
}

impl Wallet {
    pub(super) fn new(payer: Arc<dyn Payer>, name: WalletName) -> Self {
        Self {
            payer,
            name,
            network: OnceCell::new(),
        }
    }

    pub(crate) const fn name(&self) -> &WalletName {
        &self.name
    }

    /// The network it pays on; asked once.
    pub(super) async fn network(&self) -> Result<Network, Error> {
        let network = self.network.get_or_try_init(|| self.payer.network()).await;
        network.copied().map_err(|error| Error::Wallet {
            reason: error.to_string(),
        })
    }

    /// Asks it to pay. Called once for a purchase, and only from there.
    pub(super) async fn pay(&self, invoice: Invoice, fee_max: Msat, timeout: Duration) -> News {
        let payment = self.payer.pay(PaymentTerms {
            invoice,
            fee_max,
            timeout,
        });
        let patience = timeout.saturating_add(ANSWER_MARGIN);
        match tokio::time::timeout(patience, payment).await {
            Ok(Ok(paid)) => News::settled(paid),
            Ok(Err(PayError::Failed { reason } | PayError::NotSent { reason })) => {
                News::failed(reason)
            }
            Ok(Err(PayError::Unknown { reason })) => News::lost(reason),
            Err(_elapsed) => News::lost("the wallet did not answer in time"),
        }
    }

    /// Asks it what became of a payment.
    pub(crate) async fn look_up(&self, hash: PaymentHash, absence: Absence) -> News {
        let answer = tokio::time::timeout(ANSWER_MARGIN, self.payer.lookup(hash)).await;
        match (answer, absence) {
            (Ok(Ok(Some(PaymentState::Settled(paid)))), _) => News::settled(paid),
            (Ok(Ok(Some(PaymentState::Failed { reason }))), _) => News::failed(reason),
            (Ok(Ok(Some(PaymentState::InFlight))), _) => News::lost("the payment is on its way"),
            (Ok(Ok(None)), Absence::Final) => News::failed("the wallet never began it"),
            (Ok(Ok(None)), Absence::Open) => {
                News::lost("the wallet has not heard of it, and still might")
            }
            (Ok(Err(error)), _) => News::lost(error.to_string()),
            (Err(_elapsed), _) => News::lost("the wallet did not answer in time"),
        }
    }
}

impl News {
    fn settled(paid: Paid) -> Self {
        let (preimage, fee) = (paid.preimage, paid.fee);
        Self {
            event: PurchaseEvent::Settled { preimage, fee },
            reason: "the wallet's preimage does not match".to_owned(),
        }
    }

    fn failed(reason: impl Into<String>) -> Self {
        Self {
            event: PurchaseEvent::Failed,
            reason: reason.into(),
        }
    }

    fn lost(reason: impl Into<String>) -> Self {
        Self {
            event: PurchaseEvent::Lost,
            reason: reason.into(),
        }
    }
}

/// How much longer than its own timeout a wallet may take to answer.
pub(super) const ANSWER_MARGIN: Duration = Duration::from_secs(30);
