//! May this be paid, and what happens next?
//!
//! A purchase is a small state machine. Its caller does the work (write a record, pay, look
//! up, keep the credential) and reports what came of it; the machine says what is due. It
//! never asks for a payment before the purchase is recorded, never asks for a second one
//! while the first may have moved money, and holds the reservation until it knows.
//!
//! ```text
//!            begin                recorded                settled
//! (quote) ─────────► Reserved ───────────────► Paying ─────────────► Paid
//!                       │ abandoned              │  │ failed           ▲
//!                       ▼                        │  └───────► Failed   │ settled
//!                    (forgotten)            lost └───► InDoubt ────────┤
//!                                                       ▲  │ failed    ▼
//!                                          restored ────┘  └─────────► Failed
//! ```
//!
//! A failed purchase may be begun again: no money moved. Every other may not.

mod quote;

use std::collections::BTreeMap;

pub use self::quote::{Quote, QuoteError};
use crate::amount::Msat;
use crate::budget::{Budget, Limits, OverLimit};
use crate::credential::Credential;
use crate::hash::{PaymentHash, Preimage};
use crate::time::UnixSeconds;

/// One thing bought or about to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Purchase {
    quote: Quote,
    host: String,
    fee_max: Msat,
    begun_at: UnixSeconds,
    state: PurchaseState,
}

impl Purchase {
    /// What the server asked for.
    #[must_use]
    pub const fn quote(&self) -> &Quote {
        &self.quote
    }

    /// The host it was bought from.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The fee ceiling set aside beyond the price.
    pub const fn fee_max(&self) -> Msat {
        self.fee_max
    }

    /// When it was begun.
    #[must_use]
    pub const fn begun_at(&self) -> UnixSeconds {
        self.begun_at
    }

    /// How far it has come.
    #[must_use]
    pub const fn state(&self) -> &PurchaseState {
        &self.state
    }

    /// The credential, once paid.
    #[must_use]
    pub fn credential(&self) -> Option<Credential> {
        match &self.state {
            PurchaseState::Paid { preimage, .. } => Some(self.quote.credential(preimage.clone())),
            PurchaseState::Reserved
            | PurchaseState::Paying
            | PurchaseState::InDoubt
            | PurchaseState::Failed => None,
        }
    }
}

/// How far a purchase has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PurchaseState {
    /// Money is set aside; nothing is recorded yet.
    Reserved,
    /// Recorded; the wallet has been asked to pay.
    Paying,
    /// Money may have moved. Only looking it up is safe.
    InDoubt,
    /// Paid; the credential is there.
    Paid {
        /// The proof, checked against the payment hash.
        preimage: Preimage,
        /// What routing cost beyond the price.
        fee: Msat,
    },
    /// No money moved.
    Failed,
}

/// What became of what the machine asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PurchaseEvent {
    /// The purchase could not be recorded, and nothing was paid.
    Abandoned,
    /// No money moved, and none will.
    Failed,
    /// The payment's outcome is unknown, or still open.
    Lost,
    /// The purchase is on disk.
    Recorded,
    /// The payment settled.
    Settled {
        /// The proof of payment.
        preimage: Preimage,
        /// What routing cost beyond the price.
        fee: Msat,
    },
}

/// What the caller has to do next.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum PurchaseAction {
    /// Keep this credential, durably, and use it.
    Keep(Credential),
    /// Ask the wallet what became of the payment. Never pay.
    LookUp(PaymentHash),
    /// Nothing: the reservation was given back, or the news was old.
    Nothing,
    /// Pay this once, spending at most `fee_max` on routing.
    Pay {
        /// What was bought; its invoice is the one to pay.
        quote: Box<Quote>,
        /// The fee ceiling that was set aside.
        fee_max: Msat,
    },
    /// Write the purchase down, durably, before anything is paid.
    Record(Box<Purchase>),
}

/// Why a purchase was not begun. No money moved and none is set aside.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// This very challenge was paid before.
    #[error("payment {payment_hash} was already made: use the credential it bought")]
    AlreadyPaid {
        /// Its payment hash.
        payment_hash: PaymentHash,
    },
    /// This very challenge is being paid, or may have been.
    #[error(
        "payment {payment_hash} is under way or its outcome is unknown: look it up instead of paying again"
    )]
    InProgress {
        /// Its payment hash.
        payment_hash: PaymentHash,
    },
    /// A limit stands in the way.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
}

/// An event that does not fit what is known. The purchase is unchanged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PurchaseError {
    /// The event cannot follow the state the purchase is in.
    #[error("payment {payment_hash}: this cannot happen in its state")]
    OutOfOrder {
        /// Its payment hash.
        payment_hash: PaymentHash,
    },
    /// Nobody began this purchase.
    #[error("payment {payment_hash} is not known")]
    Unknown {
        /// Its payment hash.
        payment_hash: PaymentHash,
    },
}

/// All purchases of one buyer, and the budget they share.
#[derive(Clone, Debug)]
pub struct Purchases {
    budget: Budget,
    known: BTreeMap<PaymentHash, Purchase>,
}

impl Purchases {
    /// None yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            budget: Budget::new(limits),
            known: BTreeMap::new(),
        }
    }

    /// What was spent and set aside.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The purchase with this payment hash.
    #[must_use]
    pub fn get(&self, hash: &PaymentHash) -> Option<&Purchase> {
        self.known.get(hash)
    }

    /// Every purchase, by payment hash.
    pub fn iter(&self) -> impl Iterator<Item = &Purchase> {
        self.known.values()
    }

    /// Counts money that earlier runs, or other processes, spent or set aside.
    ///
    /// It counts against every limit and is never given back here. `utc_day` is the
    /// [day](UnixSeconds::utc_day) it counts against.
    pub fn count_earlier(&mut self, host: &str, utc_day: u64, amount: Msat) {
        self.budget.count_earlier(host, utc_day, amount);
    }

    /// Sets the money for a purchase aside and asks for it to be recorded.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; nothing is then set aside, and the caller must not pay.
    pub fn begin(
        &mut self,
        quote: Quote,
        host: &str,
        now: UnixSeconds,
    ) -> Result<PurchaseAction, Refusal> {
        let payment_hash = quote.payment_hash();
        match self.known.get(&payment_hash).map(Purchase::state) {
            None | Some(PurchaseState::Failed) => {}
            Some(PurchaseState::Paid { .. }) => return Err(Refusal::AlreadyPaid { payment_hash }),
            Some(PurchaseState::Reserved | PurchaseState::Paying | PurchaseState::InDoubt) => {
                return Err(Refusal::InProgress { payment_hash });
            }
        }
        self.budget
            .reserve(payment_hash, host, quote.price(), now)?;
        let fee_max = self.budget.limits().fee_max;
        let state = PurchaseState::Reserved;
        let purchase = Purchase {
            quote,
            host: host.to_owned(),
            fee_max,
            begun_at: now,
            state,
        };
        self.known.insert(payment_hash, purchase.clone());
        Ok(PurchaseAction::Record(Box::new(purchase)))
    }

    /// Takes up a purchase that an earlier run recorded and whose outcome it did not.
    ///
    /// It may or may not have been paid, so it is looked up and never paid again, unless its
    /// credential is known already. Its price
    /// and `fee_max` count against the budget, whatever the limits are today.
    pub fn restore(
        &mut self,
        quote: Quote,
        host: &str,
        fee_max: Msat,
        begun_at: UnixSeconds,
    ) -> PurchaseAction {
        let hash = quote.payment_hash();
        if let Some(credential) = self.get(&hash).and_then(Purchase::credential) {
            return PurchaseAction::Keep(credential);
        }
        let amount = quote.price().checked_add(fee_max).unwrap_or(Msat::MAX);
        self.budget.release(&hash);
        self.budget
            .reserve_unchecked(hash, host, quote.price(), amount, begun_at);
        let state = PurchaseState::InDoubt;
        self.known.insert(
            hash,
            Purchase {
                quote,
                host: host.to_owned(),
                fee_max,
                begun_at,
                state,
            },
        );
        PurchaseAction::LookUp(hash)
    }

    /// Takes in what happened and says what is due.
    ///
    /// A settlement is believed only with a preimage that hashes to the payment hash; with
    /// any other the purchase is in doubt. A settlement that arrives after a failure was
    /// reported is kept: a paid token is never lost.
    ///
    /// # Errors
    ///
    /// [`PurchaseError`] when the event does not fit; nothing has changed.
    pub fn on(
        &mut self,
        hash: &PaymentHash,
        event: PurchaseEvent,
    ) -> Result<PurchaseAction, PurchaseError> {
        let purchase = self.known.get_mut(hash).ok_or(PurchaseError::Unknown {
            payment_hash: *hash,
        })?;
        let out_of_order = Err(PurchaseError::OutOfOrder {
            payment_hash: *hash,
        });
        match (&purchase.state, event) {
            (PurchaseState::Reserved, PurchaseEvent::Recorded) => {
                purchase.state = PurchaseState::Paying;
                Ok(PurchaseAction::Pay {
                    quote: Box::new(purchase.quote.clone()),
                    fee_max: purchase.fee_max,
                })
            }
            (PurchaseState::Reserved, PurchaseEvent::Abandoned) => {
                self.known.remove(hash);
                self.budget.release(hash);
                Ok(PurchaseAction::Nothing)
            }
            (PurchaseState::Reserved, _) => out_of_order,
            (
                PurchaseState::Paying | PurchaseState::InDoubt | PurchaseState::Failed,
                PurchaseEvent::Settled { preimage, fee },
            ) => Ok(self.settled(hash, preimage, fee)),
            (PurchaseState::Paying | PurchaseState::InDoubt, PurchaseEvent::Failed) => {
                purchase.state = PurchaseState::Failed;
                self.budget.release(hash);
                Ok(PurchaseAction::Nothing)
            }
            (PurchaseState::Paying | PurchaseState::InDoubt, PurchaseEvent::Lost) => {
                purchase.state = PurchaseState::InDoubt;
                Ok(PurchaseAction::LookUp(*hash))
            }
            (PurchaseState::Paid { .. }, PurchaseEvent::Settled { .. })
            | (PurchaseState::Failed, PurchaseEvent::Failed) => Ok(PurchaseAction::Nothing),
            (
                PurchaseState::Paying
                | PurchaseState::InDoubt
                | PurchaseState::Failed
                | PurchaseState::Paid { .. },
                PurchaseEvent::Recorded
                | PurchaseEvent::Abandoned
                | PurchaseEvent::Failed
                | PurchaseEvent::Lost,
            ) => out_of_order,
        }
    }

    fn settled(&mut self, hash: &PaymentHash, preimage: Preimage, fee: Msat) -> PurchaseAction {
        let Some(purchase) = self.known.get_mut(hash) else {
            return PurchaseAction::Nothing;
        };
        if !preimage.matches(hash) {
            if purchase.state == PurchaseState::Failed {
                return PurchaseAction::Nothing;
            }
            purchase.state = PurchaseState::InDoubt;
            return PurchaseAction::LookUp(*hash);
        }
        if purchase.state == PurchaseState::Failed {
            let price = purchase.quote.price();
            self.budget
                .reserve_unchecked(*hash, &purchase.host, price, price, purchase.begun_at);
        }
        self.budget.settle(hash, fee);
        let credential = purchase.quote.credential(preimage.clone());
        purchase.state = PurchaseState::Paid { preimage, fee };
        PurchaseAction::Keep(credential)
    }
}
