//! Invoices: what one asks for, and its status.

use l402::{Msat, PaymentHash, Preimage, UnixSeconds};

/// Terms of a new invoice.
#[derive(Clone, Debug)]
pub struct NewInvoice {
    /// The description shown to the payer.
    pub description: InvoiceDescription,
    /// The price in millisatoshis; `None` lets the payer choose.
    pub amount: Option<Msat>,
    /// Seconds the invoice stays payable; `None` is LND's day.
    pub expiry_secs: Option<u32>,
    /// The preimage that settles it; `None` draws one at random.
    pub preimage: Option<Preimage>,
}

/// The description in an invoice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum InvoiceDescription {
    /// SHA-256 of a description handed over elsewhere. The memo is for the wallet's owner
    /// only and does not appear in the invoice.
    Hash {
        /// SHA-256 of the description.
        hash: [u8; 32],
        /// The owner's own note.
        memo: String,
    },
    /// A text in the invoice itself, at most 639 bytes.
    Memo(String),
}

/// Why an invoice was not created.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddInvoiceError {
    /// The amount is more than an invoice can ask for.
    #[error("an invoice over {amount} cannot be written: ask for at most {max}")]
    AmountTooLarge {
        /// The amount asked for.
        amount: Msat,
        /// The most an invoice can ask for: every bitcoin there can be.
        max: Msat,
    },
    /// An invoice with the same preimage exists; paying either would reveal it.
    #[error("invoice with payment hash already exists")]
    Duplicate {
        /// The hash both would have.
        hash: PaymentHash,
    },
    /// The node's key cannot sign.
    #[error("the invoice could not be signed")]
    Unsigned,
    /// A field does not fit an invoice, such as a memo of more than 639 bytes.
    #[error("the invoice cannot be written: {0}")]
    Unwritable(lightning_invoice::CreationError),
}

/// An invoice of this wallet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvoiceRecord {
    /// 1 for the first invoice, one more for each later one.
    pub add_index: u64,
    /// The description for the payer, and the owner's note.
    pub description: InvoiceDescription,
    /// The secret that settling reveals.
    pub preimage: Preimage,
    /// SHA-256 of the preimage.
    pub hash: PaymentHash,
    /// The payment address: proves to this node that its payer has read the invoice.
    pub payment_secret: [u8; 32],
    /// The price in millisatoshis; `None` if the payer chooses.
    pub amount: Option<Msat>,
    /// When it was created.
    pub created_at: UnixSeconds,
    /// Seconds it stays payable.
    pub expiry_secs: u32,
    /// Blocks the last hop must leave for claiming.
    pub cltv_delta: u16,
    /// The invoice as its payer reads it.
    pub bolt11: Box<str>,
    /// Its status.
    pub status: InvoiceStatus,
}

impl InvoiceRecord {
    /// The first second at which it is no longer payable.
    #[must_use]
    pub fn expires_at(&self) -> UnixSeconds {
        self.created_at.plus_secs(u64::from(self.expiry_secs))
    }
}

/// The status of an invoice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum InvoiceStatus {
    /// Expired unpaid: no longer payable.
    Canceled,
    /// Not paid yet. Includes a payment that has arrived and is being claimed.
    Open,
    /// Paid in full.
    Settled {
        /// 1 for the first invoice settled, one more for each later one.
        settle_index: u64,
        /// When it was settled.
        settled_at: UnixSeconds,
        /// What arrived, in millisatoshis.
        received: Msat,
    },
}

/// A place in the book of invoices: everything up to it has been seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InvoiceCursor {
    /// The last add index seen; zero for none.
    pub add_index: u64,
    /// The last settle index seen; zero for none.
    pub settle_index: u64,
}

/// One change in the book of invoices.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum InvoiceUpdate {
    /// An invoice as it was created; its status is `Open`.
    Added(InvoiceRecord),
    /// An invoice that was paid; its status is `Settled`. Seen once for each.
    Settled(InvoiceRecord),
}
