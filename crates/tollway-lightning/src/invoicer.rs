//! The receiving half of a wallet.

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use l402::{Invoice, Msat, Network, PaymentHash};

/// A wallet that can make invoices. It cannot spend: see [`Payer`](crate::Payer).
pub trait Invoicer: Debug + Send + Sync {
    /// Returns the network the wallet's invoices are payable on.
    ///
    /// A wallet whose credential allows invoices only may make one, of one millisatoshi and
    /// soon expired, to learn its own network.
    ///
    /// # Errors
    ///
    /// [`InvoicerError`]: always our failure, never the client's.
    fn network(&self) -> BoxFuture<'_, Result<Network, InvoicerError>>;

    /// Creates an invoice.
    ///
    /// Dropping the future is safe: an invoice that was shown to no payer is never paid.
    ///
    /// # Errors
    ///
    /// [`InvoicerError`]: always our failure, never the client's.
    fn invoice(&self, terms: InvoiceTerms) -> BoxFuture<'_, Result<Invoice, InvoicerError>>;

    /// Returns the state of an invoice; `None` when this wallet never issued it.
    ///
    /// # Errors
    ///
    /// [`InvoicerError`] when the wallet does not tell; this says nothing about the invoice.
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

/// Whether an invoice was paid.
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

/// Why a receiving wallet did not do what was asked. Trying again later is always safe.
///
/// Reasons are for the log, not for clients, and contain no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvoicerError {
    /// The wallet's credential does not allow the call: the configuration has to change.
    #[error("the wallet's credential lacks the permission {permission}: {remedy}")]
    Denied {
        /// The permission, as the wallet calls it.
        permission: String,
        /// Where to get a credential that has it.
        remedy: String,
    },
    /// The wallet cannot be opened as configured.
    #[error("the wallet cannot be opened: {reason}")]
    Misconfigured {
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// The wallet responded with a refusal or with something unreadable; the same call will
    /// end the same way.
    #[error("the wallet refused: {reason}")]
    Refused {
        /// The wallet's reason.
        reason: String,
    },
    /// The wallet did not respond, or not in time.
    #[error("the wallet cannot be reached: {reason}")]
    Unreachable {
        /// What happened.
        reason: String,
    },
}
