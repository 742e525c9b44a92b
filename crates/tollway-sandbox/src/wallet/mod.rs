//! What does the owner of one node see and do?
//!
//! A [`Wallet`] is a cheap handle; clones are the same wallet. Its terms are LND's, because
//! an LND-compatible API stands in front of it, but its values are parsed: amounts are
//! [`Msat`], hashes are [`PaymentHash`], and a status carries what belongs to it.

mod clock;
mod invoice;
mod payment;
mod report;

use std::sync::Arc;

use bitcoin::secp256k1::PublicKey;
use l402::{Msat, PaymentHash};

pub use clock::Clock;
pub use invoice::{
    AddInvoiceError, InvoiceCursor, InvoiceDescription, InvoiceRecord, InvoiceStatus,
    InvoiceUpdate, InvoiceUpdates, NewInvoice,
};
pub use payment::{
    Attempt, AttemptStatus, EstimateError, FailureReason, FeeEstimate, Hop, NewPayment, PayError,
    PaymentRecord, PaymentStatus, PaymentWatch, SelfPayment,
};
pub use report::{BlockTip, Channel, ChannelBalance, Initiator, NodeInfo};

/// One node's wallet. Cloning is cheap, and every clone is the same wallet.
#[derive(Clone, Debug)]
pub struct Wallet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {}

impl Wallet {
    /// The name the network knows this wallet by, and its node's alias.
    #[must_use]
    pub fn name(&self) -> &str {
        todo!()
    }

    /// The clock this wallet lives by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        todo!()
    }

    /// What the node is and where its chain stands.
    #[must_use]
    pub fn info(&self) -> NodeInfo {
        todo!()
    }

    /// The node's channels, oldest first.
    #[must_use]
    pub fn channels(&self) -> Vec<Channel> {
        todo!()
    }

    /// The sums of every channel's two sides.
    #[must_use]
    pub fn channel_balance(&self) -> ChannelBalance {
        todo!()
    }

    /// Confirmed coins on the chain, in channels not counted.
    pub fn onchain_balance(&self) -> bitcoin::Amount {
        todo!()
    }

    /// Derives a 32-byte secret of this wallet, for `purpose` only, the same on each start.
    #[must_use]
    pub fn derive_secret(&self, purpose: &str) -> [u8; 32] {
        todo!("{purpose}")
    }

    /// Creates an invoice.
    ///
    /// # Errors
    ///
    /// [`AddInvoiceError`]; the book of invoices is then unchanged.
    pub fn add_invoice(&self, new: NewInvoice) -> Result<InvoiceRecord, AddInvoiceError> {
        todo!("{new:?}")
    }

    /// The invoice with this hash, if this wallet issued it.
    #[must_use]
    pub fn invoice(&self, hash: &PaymentHash) -> Option<InvoiceRecord> {
        todo!("{hash}")
    }

    /// Every invoice whose add index is greater than `after`, oldest first, at most `limit`.
    #[must_use]
    pub fn invoices(&self, after: u64, limit: usize) -> Vec<InvoiceRecord> {
        todo!("{after}{limit}")
    }

    /// Where the book of invoices stands: a subscription from here sees only what comes.
    #[must_use]
    pub fn invoice_cursor(&self) -> InvoiceCursor {
        todo!()
    }

    /// Every invoice added and settled after `from`, those already there first.
    ///
    /// Nothing is lost between a listing and a subscription, and a slow reader loses
    /// nothing either: the subscription is a place in the book, not a queue.
    #[must_use]
    pub fn subscribe_invoices(&self, from: InvoiceCursor) -> InvoiceUpdates {
        todo!("{from:?}")
    }

    /// Begins a payment, and answers with a watch on it at once.
    ///
    /// The payment goes on by itself: dropping the watch does not stop it.
    ///
    /// # Errors
    ///
    /// [`PayError`]: nothing was begun and no money moves for this call.
    pub fn pay(&self, new: &NewPayment) -> Result<PaymentWatch, PayError> {
        todo!("{new:?}")
    }

    /// The payment with this hash, if this wallet ever began it.
    #[must_use]
    pub fn payment(&self, hash: &PaymentHash) -> Option<PaymentRecord> {
        todo!("{hash}")
    }

    /// Every payment whose payment index is greater than `after`, oldest first, at most `limit`.
    #[must_use]
    pub fn payments(&self, after: u64, limit: usize) -> Vec<PaymentRecord> {
        todo!("{after}{limit}")
    }

    /// A watch on the payment with this hash, if this wallet ever began it.
    #[must_use]
    pub fn watch_payment(&self, hash: &PaymentHash) -> Option<PaymentWatch> {
        todo!("{hash}")
    }

    /// What routing `amount` to `destination` would cost and how long it could be locked.
    ///
    /// # Errors
    ///
    /// [`EstimateError`] when no route can carry it.
    pub fn estimate_fee(
        &self,
        destination: PublicKey,
        amount: Msat,
    ) -> Result<FeeEstimate, EstimateError> {
        todo!("{destination}{amount}")
    }
}
