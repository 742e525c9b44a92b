//! The receiving half of a wallet.

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use l402::{Invoice, Msat, Network, PaymentHash};

use crate::WalletError;

/// A wallet that can make invoices. It cannot spend: see [`Payer`](crate::Payer).
pub trait Invoicer: Debug + Send + Sync {
    /// Returns the network the wallet's invoices are payable on.
    ///
    /// A wallet whose credential allows invoices only may make one, of one millisatoshi and
    /// soon expired, to learn its own network.
    ///
    /// # Errors
    ///
    /// [`WalletError`].
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>>;

    /// Creates an invoice.
    ///
    /// Dropping the future is safe: an invoice that was shown to no payer is never paid.
    ///
    /// # Errors
    ///
    /// [`WalletError`].
    fn invoice(&self, terms: InvoiceTerms) -> BoxFuture<'_, Result<Invoice, WalletError>>;

    /// Returns the state of an invoice; `None` when this wallet never issued it.
    ///
    /// # Errors
    ///
    /// [`WalletError`], which is no evidence about the invoice.
    fn lookup(&self, hash: PaymentHash)
    -> BoxFuture<'_, Result<Option<InvoiceState>, WalletError>>;
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
