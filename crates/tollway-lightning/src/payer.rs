//! Paying.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::BoxFuture;
use l402::{Invoice, Msat, Network, PaymentHash, Preimage};

/// A wallet that can pay.
pub trait Payer: Debug + Send + Sync {
    /// The network the wallet pays on.
    ///
    /// # Errors
    ///
    /// [`PayerError`] when the wallet cannot be asked.
    fn network(&self) -> BoxFuture<'_, Result<Network, PayerError>>;

    /// Pays an invoice, and answers when the payment has settled or failed.
    ///
    /// Paying the same payment hash twice moves money at most once: a wallet that has
    /// already paid it answers the same [`Paid`]. Dropping the future does not stop the
    /// payment; ask [`lookup`](Self::lookup) what became of it.
    ///
    /// # Errors
    ///
    /// [`PayError::Failed`] when no money moved or ever will for this attempt;
    /// [`PayError::Unknown`] when it may have.
    fn pay(&self, payment: PaymentTerms) -> BoxFuture<'_, Result<Paid, PayError>>;

    /// What became of a payment; `None` when this wallet never began it.
    ///
    /// # Errors
    ///
    /// [`PayerError`] when the wallet cannot be asked; this says nothing about the payment.
    fn lookup(&self, hash: PaymentHash) -> BoxFuture<'_, Result<Option<PaymentState>, PayerError>>;
}

/// What to pay and how much more it may cost.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PaymentTerms {
    /// The invoice; it names its own amount.
    pub invoice: Invoice,
    /// The most that may be spent on routing fees beyond the amount.
    pub fee_max: Msat,
    /// How long the wallet may keep trying before it reports failure.
    pub timeout: Duration,
}

/// A settled payment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Paid {
    /// The proof. Adapters check it against the invoice's hash before returning it.
    pub preimage: Preimage,
    /// What routing cost beyond the amount, in millisatoshis.
    pub fee: Msat,
}

/// What became of a payment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PaymentState {
    /// It failed for good: no money moved.
    Failed {
        /// What the wallet said.
        reason: String,
    },
    /// Still on its way; it may yet settle or fail.
    InFlight,
    /// It settled.
    Settled(Paid),
}

/// Why a payment did not settle, by whether money may have moved.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// No money moved and none will for this attempt. Paying again is safe.
    #[error("payment failed: {reason}")]
    Failed {
        /// What the wallet said.
        reason: String,
    },
    /// Money may have moved. Only [`Payer::lookup`] is safe; paying again is not.
    #[error("payment outcome unknown: {reason}")]
    Unknown {
        /// What happened.
        reason: String,
    },
}

/// The wallet cannot be asked. Says nothing about any payment.
#[derive(Debug, thiserror::Error)]
#[error("the wallet cannot be reached: {reason}")]
pub struct PayerError {
    /// What happened. For the log and the person who configured the wallet.
    pub reason: String,
}
