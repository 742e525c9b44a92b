//! What the journal knows about one purchase.

use std::fmt;

use l402::{Msat, PaymentHash, Preimage, PurchaseEvent, SchemeName, Token, UnixSeconds};

use crate::origin::Origin;

/// A purchase as it is decided, before any money moves.
#[derive(Clone, Debug)]
pub struct Order {
    /// What the payment settles; names the purchase.
    pub payment_hash: PaymentHash,
    /// Who sells.
    pub origin: Origin,
    /// The path that was asked for. Never the query.
    pub path: String,
    /// Whose money it is.
    pub wallet: WalletName,
    /// The invoice's amount, in millisatoshis.
    pub price: Msat,
    /// The most the payment may cost beyond the price, in millisatoshis.
    pub fee_max: Msat,
    /// The invoice as received.
    pub invoice: String,
    /// The first second at which the invoice is no longer payable.
    pub invoice_expires_at: UnixSeconds,
    /// How the seller spelled the scheme, and wants it spelled back.
    pub scheme: SchemeName,
    /// What the payment turns into a credential.
    pub token: Token,
    /// When it was decided; its UTC day is the day it counts against.
    pub begun_at: UnixSeconds,
    /// From this second on no process may still be about to ask the wallet for it.
    pub pay_until: UnixSeconds,
}

/// Names the wallet that pays, so that no other wallet is asked what became of it.
///
/// It is written to disk and shown in errors: a name like `sandbox:buyer`, never an
/// address that holds a secret.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct WalletName(String);

impl WalletName {
    /// A wallet of this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WalletName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A purchase and what became of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What was decided.
    pub order: Order,
    /// What became of it.
    pub state: EntryState,
    /// Whether somebody is still at it.
    pub owner: Owner,
}

/// What became of a purchase.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EntryState {
    /// Written down. The wallet may or may not have been asked.
    Begun,
    /// The wallet was asked and could not say. Only a look-up is safe.
    InDoubt {
        /// What the wallet said.
        reason: String,
    },
    /// No money moved and none will.
    Failed {
        /// What the wallet said.
        reason: String,
    },
    /// Paid; the token is not known to be in the store yet.
    Paid(Receipt),
    /// Paid, and the token is in the store.
    Kept(Receipt),
}

/// The proof of a payment and what it cost beyond the price.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The proof.
    pub preimage: Preimage,
    /// What routing cost, in millisatoshis.
    pub fee: Msat,
}

impl Receipt {
    /// The receipt in the news of a settled payment.
    pub(crate) fn of(event: &PurchaseEvent) -> Option<Self> {
        match event {
            PurchaseEvent::Settled { preimage, fee } => Some(Self {
                preimage: preimage.clone(),
                fee: *fee,
            }),
            PurchaseEvent::Abandoned
            | PurchaseEvent::Failed
            | PurchaseEvent::Lost
            | PurchaseEvent::Recorded => None,
        }
    }
}

/// Whether the one who began a purchase is still working on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// Finished with it, or dead.
    Gone,
    /// Alive, and about to ask the wallet or waiting for its answer.
    Working,
}

impl Entry {
    /// True while it is not known whether money moved.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        match self.state {
            EntryState::Begun | EntryState::InDoubt { .. } => true,
            EntryState::Failed { .. } | EntryState::Paid(_) | EntryState::Kept(_) => false,
        }
    }
}
