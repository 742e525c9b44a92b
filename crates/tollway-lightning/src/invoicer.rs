//! Asking to be paid.

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use l402::{Invoice, Msat, Network, PaymentHash};

/// A wallet that can ask to be paid. It cannot spend: see [`Payer`](crate::Payer).
pub trait Invoicer: Debug + Send + Sync {
    /// The network the wallet's invoices are payable on.
    fn network(&self) -> BoxFuture<'_, Result<Network, InvoicerError>>;

    /// Creates an invoice.
    ///
    /// Dropping the future is safe: an invoice nobody has seen is never paid.
    ///
    /// # Errors
    ///
    /// [`InvoicerError`]: always our failure, never the client's.
    fn invoice(&self, terms: InvoiceTerms) -> BoxFuture<'_, Result<Invoice, InvoicerError>>;

    /// What became of an invoice of this wallet; `None` when the wallet never issued it.
    ///
    /// # Errors
    ///
    /// [`InvoicerError`] when the wallet cannot be asked; this says nothing about the invoice.
    fn lookup(
        &self,
        hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<InvoiceState>, InvoicerError>>;
}

/// What an invoice asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvoiceTerms {
    /// The price in millisatoshis; never zero.
    pub amount: Msat,
    /// What the payer reads in its wallet; at most 639 bytes, BOLT 11's limit.
    pub memo: String,
    /// Seconds the invoice stays payable.
    pub expiry_secs: u32,
}

/// What became of an invoice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InvoiceState {
    /// Not paid, and no longer payable.
    Canceled,
    /// Not paid yet. Includes payments on their way.
    Open,
    /// Paid in full.
    Settled {
        /// What arrived, in millisatoshis.
        received: Msat,
    },
}

/// Why a wallet did not answer. Retrying later is always safe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvoicerError {
    /// The wallet answered and refused; the same request will be refused again.
    #[error("the wallet refused: {reason}")]
    Refused {
        /// What the wallet said. For the log, not for clients.
        reason: String,
    },
    /// The wallet did not answer, or not in time.
    #[error("the wallet cannot be reached: {reason}")]
    Unavailable {
        /// What happened. For the log, not for clients.
        reason: String,
    },
}
