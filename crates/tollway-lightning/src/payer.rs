//! The paying half of a wallet.
//!
//! Wallets differ in what they guarantee about a payment. A [`Payer`] declares it in
//! [`PayerPromises`], so that a caller decides before it pays and not after it lost an answer.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::BoxFuture;
use l402::{Invoice, Msat, Network, PaymentHash, Preimage};

use crate::{WalletError, WalletIdentity};

/// A wallet that can pay.
pub trait Payer: Debug + Send + Sync {
    /// Returns the network the wallet pays on.
    ///
    /// # Errors
    ///
    /// [`WalletError`]; nothing was paid.
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>>;

    /// Returns which wallet this is, whatever its address.
    ///
    /// # Errors
    ///
    /// [`WalletError`]; nothing was paid.
    fn identity(&self) -> BoxFuture<'_, Result<WalletIdentity, WalletError>>;

    /// Returns what the wallet guarantees about payments.
    ///
    /// # Errors
    ///
    /// [`WalletError`] when the wallet cannot be opened or has to be asked and is not reached.
    fn promises(&self) -> BoxFuture<'_, Result<PayerPromises, WalletError>>;

    /// Pays an invoice, and returns when the payment has settled or failed.
    ///
    /// Where [`promises`](Self::promises) has [`Repeat::PaysOnce`], paying one payment hash
    /// twice moves money at most once: a hash paid already returns the same [`Paid`], and one
    /// that is being paid is waited for. Dropping the future does not stop the payment; use
    /// [`lookup`](Self::lookup) to learn its outcome.
    ///
    /// # Errors
    ///
    /// [`PayError`], by whether money may move for this payment hash.
    fn pay(&self, payment: PaymentTerms) -> BoxFuture<'_, Result<Paid, PayError>>;

    /// Returns the state of a payment; `None` when this wallet never began it.
    ///
    /// # Errors
    ///
    /// [`WalletError`], which is no evidence about the payment.
    fn lookup(&self, hash: PaymentHash)
    -> BoxFuture<'_, Result<Option<PaymentState>, WalletError>>;
}

/// What a wallet guarantees about payments. A new guarantee is a decision of every adapter,
/// therefore every field is written out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PayerPromises {
    /// Whether [`PaymentTerms::fee_max`] binds.
    pub fee_cap: FeeCap,
    /// Whether [`Payer::lookup`] finds payments.
    pub lookup: LookupByHash,
    /// What paying one payment hash again does.
    pub repeat: Repeat,
}

/// Whether a wallet keeps to the fee ceiling it is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FeeCap {
    /// It never spends more on routing.
    Enforced,
    /// It may spend more: the ceiling cannot be handed to it.
    NotEnforced,
}

/// Whether a wallet finds a payment by its hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LookupByHash {
    /// It does, also after a restart of the wallet and of the caller.
    Supported,
    /// It does not: a lost answer stays lost, and [`Payer::lookup`] is always an error.
    Unsupported,
}

/// What a wallet does when it is asked to pay one payment hash again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Repeat {
    /// It may move money again.
    MayPayAgain,
    /// Money moves at most once, however often and however many callers ask.
    PaysOnce,
}

/// What to pay and how much more it may cost.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PaymentTerms {
    /// The invoice; it names its own amount.
    pub invoice: Invoice,
    /// The most that may be spent on routing fees beyond the amount, in millisatoshis.
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

/// How far a payment has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PaymentState {
    /// It failed for good: no money moved.
    Failed {
        /// The wallet's reason.
        reason: String,
    },
    /// Still on its way; it may yet settle or fail.
    InFlight,
    /// It settled.
    Settled(Paid),
}

/// Why a payment did not settle, by whether money may move for its payment hash.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// The wallet has no payment of this hash that settled or can still settle.
    #[error("payment failed: {reason}")]
    Failed {
        /// The wallet's reason.
        reason: String,
    },
    /// The request did not reach the wallet: this call began nothing and will begin nothing.
    /// An earlier call with the same payment hash is as it was, settled or on its way perhaps.
    #[error("payment not sent: {reason}")]
    NotSent {
        /// What happened.
        reason: String,
    },
    /// Money may have moved. Only [`Payer::lookup`] is safe, and paying the same hash again
    /// where the wallet promises [`Repeat::PaysOnce`].
    #[error("payment outcome unknown: {reason}")]
    Unknown {
        /// What happened.
        reason: String,
    },
}
