//! What became of purchases that were cut off?
//!
//! A purchase is open when its outcome was never written down: the process died, or the
//! wallet could not say. It may have been paid, so it is looked up and **never paid again**.
//! Until its outcome is known, what it may cost stays set aside, and nothing else is bought
//! at its origin and path.
//!
//! | the wallet says | then |
//! |---|---|
//! | settled, with the preimage | the credential goes to the store |
//! | failed | no money moved; what was set aside comes back |
//! | on its way | it stays open |
//! | never heard of it | it stays open until that is final, then as failed |
//! | nothing, or the wallet is another one | it stays open |
//!
//! "Never heard of it" is final when all of this holds at the moment of asking: the one who
//! began the purchase is not working on it, being dead or having recorded its doubt; and the
//! time it allowed the wallet, with a margin, is over, or the invoice has expired. Before
//! that, a request already sent might still reach the wallet.
//!
//! A purchase whose owner is alive and waiting is left to its owner.

use std::sync::Arc;

use l402::{
    Challenge, Msat, PaymentHash, PurchaseAction, PurchaseEvent, Purchases, Quote, UnixSeconds,
};

use crate::client::wallet::Absence;
use crate::client::{Inner, on_disk};
use crate::error::{Error, StorageError};
use crate::event::{Event, Resumption};
use crate::journal::{Entry, EntryState, Journal, Order, Outcome, Owner, Receipt};
use crate::origin::Origin;

/// An earlier purchase and what became of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resumed {
    /// The payment's hash.
    pub payment_hash: PaymentHash,
    /// Who sells.
    pub origin: Origin,
    /// The path it was for.
    pub path: String,
    /// The price, in millisatoshis.
    pub price: Msat,
    /// What became of it.
    pub outcome: Resumption,
}

impl Inner {
    /// Resumes every purchase whose order is `wanted`.
    pub(crate) async fn resume(
        self: &Arc<Self>,
        wanted: impl Fn(&Order) -> bool,
    ) -> Result<Vec<Resumed>, Error> {
        let journal = self.journal()?;
        let log = journal.clone();
        let entries = on_disk(move || {
            let mut entries = log.unkept_entries()?;
            entries.extend(log.open_entries()?);
            Ok::<_, StorageError>(entries)
        });
        let mut resumed = Vec::new();
        for entry in entries.await? {
            if wanted(&entry.order) {
                let outcome = self.resume_one(&journal, &entry).await?;
                self.tell(&Event::Resumed {
                    payment_hash: entry.order.payment_hash,
                    outcome: outcome.clone(),
                });
                resumed.push(Resumed {
                    payment_hash: entry.order.payment_hash,
                    origin: entry.order.origin,
                    path: entry.order.path,
                    price: entry.order.price,
                    outcome,
                });
            }
        }
        Ok(resumed)
    }

    async fn resume_one(
        &self,
        journal: &Journal,
        entry: &Entry,
    ) -> Result<Resumption, StorageError> {
        match &entry.state {
            EntryState::Paid(receipt) | EntryState::Kept(receipt) => {
                self.keep(journal, &entry.order, receipt).await?;
                Ok(Resumption::Kept)
            }
            EntryState::Failed { reason } => Ok(Resumption::NotPaid {
                reason: reason.clone(),
            }),
            EntryState::Begun | EntryState::InDoubt { .. } => self.look_up(journal, entry).await,
        }
    }

    async fn look_up(&self, journal: &Journal, entry: &Entry) -> Result<Resumption, StorageError> {
        let hash = entry.order.payment_hash;
        // Read before asking: a wallet that does not know a payment may learn of it later.
        let now = self.now();
        let Some(wallet) = &self.wallet else {
            return Ok(open("there is no wallet to ask"));
        };
        if *wallet.name() != entry.order.wallet {
            return Ok(open(format!("it was paid from {}", entry.order.wallet)));
        }
        if entry.owner == Owner::Working {
            return Ok(open("somebody is waiting for the wallet"));
        }
        let news = wallet.look_up(hash, absence(entry, now)).await;
        let receipt = Receipt::of(&news.event);
        let reason = news.reason;
        match (self.decide(&entry.order, news.event), receipt) {
            (Ok(PurchaseAction::Keep(_)), Some(receipt)) => {
                // The credential goes to the store even if the record cannot be written.
                let recorded = self.record(journal, hash, Outcome::Paid(receipt.clone()));
                let recorded = recorded.await;
                self.keep(journal, &entry.order, &receipt).await?;
                recorded.map(|()| Resumption::Kept)
            }
            (Ok(PurchaseAction::Nothing), _) => {
                let failed = Outcome::Failed {
                    reason: reason.clone(),
                };
                self.record(journal, hash, failed).await?;
                Ok(Resumption::NotPaid { reason })
            }
            (
                Ok(
                    PurchaseAction::Keep(_)
                    | PurchaseAction::LookUp(_)
                    | PurchaseAction::Pay { .. }
                    | PurchaseAction::Record(_),
                ),
                _,
            ) => Ok(open(reason)),
            (Err(reason), _) => Ok(open(reason)),
        }
    }

    /// What the machine makes of the news about a purchase it takes up again.
    fn decide(&self, order: &Order, event: PurchaseEvent) -> Result<PurchaseAction, String> {
        let challenge = Challenge {
            name: order.scheme,
            token: order.token.clone(),
            invoice: order.invoice.clone(),
        };
        let quote = Quote::read_recorded(&challenge).map_err(|error| error.to_string())?;
        let mut purchases = Purchases::new(self.policy.limits);
        let _look_up = purchases.restore(quote, order.origin.host(), order.fee_max, order.begun_at);
        purchases
            .on(&order.payment_hash, event)
            .map_err(|error| error.to_string())
    }

    async fn record(
        &self,
        journal: &Journal,
        hash: PaymentHash,
        outcome: Outcome,
    ) -> Result<(), StorageError> {
        let journal = journal.clone();
        on_disk(move || journal.settle(&hash, outcome)).await
    }
}

/// What a wallet's ignorance means at `now`: final when nobody can make it begin any more.
fn absence(entry: &Entry, now: UnixSeconds) -> Absence {
    let expired = entry.order.invoice_expires_at.plus_secs(CLOCK_MARGIN_SECS);
    match entry.owner {
        Owner::Gone if now >= entry.order.pay_until || now >= expired => Absence::Final,
        Owner::Gone | Owner::Working => Absence::Open,
    }
}

fn open(reason: impl Into<String>) -> Resumption {
    Resumption::Open {
        reason: reason.into(),
    }
}

/// How far the wallet's clock may be from ours.
const CLOCK_MARGIN_SECS: u64 = 60;
