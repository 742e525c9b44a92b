//! Purchases whose outcome was never recorded: the process died, or the wallet
//! did not report one.
//!
//! Such a purchase may have been paid, so it is looked up. Until its outcome is known, what it
//! may cost stays reserved, and nothing else is bought at its origin and path.
//!
//! | the wallet reports | then |
//! |---|---|
//! | settled, with the preimage | the credential is stored |
//! | failed | no money moved; the reservation is given back |
//! | in flight | it stays open |
//! | not found | see below |
//! | nothing, or the wallet is another one | it stays open |
//!
//! A purchase whose process is alive and working is left to it. Once the process is dead, or has
//! recorded that it does not know, nothing sends that payment any more; only what is already on
//! its way might still arrive. So for "not found":
//!
//! - a request for the same path offers the *same* invoice to the *same* wallet again, if the
//!   wallet pays one payment hash at most once. Whatever arrives late is then the same payment;
//! - otherwise it is final when the wallet does not know the payment at two look-ups, the second
//!   at least [`Pauses::absence`](crate::Pauses::absence) after the first.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use l402::{Msat, PaymentHash, PurchaseState};
use tollway_lightning::{LookupByHash, PayerError, PayerPromises, Repeat};

use super::Inner;
use super::bought::Bought;
use super::call::Call;
use super::pay::{CUT_OFF, Offer, payment, unknown};
use super::wallet::{NotFound, PaymentUpdate, Reason, Wallet};
use crate::book::{Owner, Publication, Purchase, TargetResource};
use crate::error::{Error, StorageError};
use crate::event::{Event, Resumption};
use crate::origin::Origin;

/// An earlier purchase and its outcome.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resumed {
    /// The payment's hash.
    pub payment_hash: PaymentHash,
    /// The seller.
    pub origin: Origin,
    /// The path it was for.
    pub path: String,
    /// The price, in millisatoshis.
    pub price: Msat,
    /// Its outcome.
    pub outcome: Resumption,
}

/// What one look-up found.
enum Found {
    /// Its outcome, or why there is none.
    Outcome(Outcome),
    /// The wallet does not know it, and did not before or not for long.
    Absent,
}

struct Outcome {
    resumption: Resumption,
    /// What the wallet failed with, when it did not reply.
    wallet_error: Option<PayerError>,
}

impl Inner {
    /// Looks up every open purchase; those the wallet does not know, twice.
    pub(super) async fn resume(self: &Arc<Self>) -> Result<Vec<Resumed>, Error> {
        let open = self.with_book(|book| book.open_purchases()).await??;
        let mut resumed = Vec::new();
        let mut absent = Vec::new();
        for (purchase, found) in self.look_up_all(open).await? {
            match found {
                Found::Outcome(outcome) => {
                    resumed.push(self.resumed(&purchase, outcome.resumption));
                }
                Found::Absent => absent.push((purchase, Owner::Gone)),
            }
        }
        if absent.is_empty() {
            return Ok(resumed);
        }
        tokio::time::sleep(self.policy.pauses.absence).await;
        for (purchase, found) in self.look_up_all(absent).await? {
            let outcome = match found {
                Found::Outcome(outcome) => outcome,
                Found::Absent => self.end_absent(purchase.clone()).await,
            };
            resumed.push(self.resumed(&purchase, outcome.resumption));
        }
        Ok(resumed)
    }

    /// Looks up, once, what earlier purchases from this seller for other things left open;
    /// returns true when one was paid: its credential may be good for this path too.
    pub(super) async fn look_up_near(&self, resource: &TargetResource) -> Result<bool, Error> {
        let wanted = resource.origin.clone();
        let mut open = self.with_book(move |book| book.open_at(&wanted)).await??;
        open.retain(|(purchase, _)| purchase.resource.path != resource.path);
        let mut is_any_kept = false;
        for (purchase, found) in self.look_up_all(open).await? {
            if let Found::Outcome(outcome) = found {
                is_any_kept |= outcome.resumption == Resumption::Kept;
                self.resumed(&purchase, outcome.resumption);
            }
        }
        Ok(is_any_kept)
    }

    /// Ends a purchase for the very thing that is asked for now; its process is gone. Returns
    /// what it bought if the same invoice had to be offered again, `None` when the rest is in the
    /// book.
    pub(super) async fn recover(
        self: &Arc<Self>,
        call: &mut Call,
        purchase: Purchase,
    ) -> Result<Option<Bought>, Error> {
        let blocks_until = Some(purchase.blocks_until());
        let wallet = match self.own_wallet(&purchase).await {
            Ok(wallet) => wallet,
            Err(reason) => return Err(unknown(&purchase, reason, blocks_until)),
        };
        let promises = wallet.facts().await?.promises;
        if promises.lookup == LookupByHash::Unsupported && !self.may_reoffer(&purchase, promises) {
            let reason = "its wallet cannot look payments up: resolve it by hand";
            return Err(unknown(&purchase, reason, blocks_until));
        }
        if promises.lookup == LookupByHash::Unsupported {
            return self.offer_again(call, purchase, wallet).await;
        }
        let mut found = self.look_up(purchase.clone(), Owner::Gone).await?;
        if matches!(found, Found::Absent) {
            if self.may_reoffer(&purchase, promises) {
                return self.offer_again(call, purchase, wallet).await;
            }
            tokio::time::sleep(self.policy.pauses.absence).await;
            found = self.look_up(purchase.clone(), Owner::Gone).await?;
        }
        let outcome = match found {
            Found::Outcome(outcome) => outcome,
            Found::Absent => self.end_absent(purchase.clone()).await,
        };
        match outcome.resumption {
            Resumption::Kept | Resumption::NotPaid { .. } => Ok(None),
            Resumption::Open { reason: text } => {
                let wallet_error = outcome.wallet_error;
                Err(unknown(&purchase, Reason { text, wallet_error }, None))
            }
        }
    }

    async fn offer_again(
        self: &Arc<Self>,
        call: &mut Call,
        purchase: Purchase,
        wallet: Arc<Wallet>,
    ) -> Result<Option<Bought>, Error> {
        let hash = purchase.payment_hash();
        let Some(ticket) = self.with_book(move |book| book.take_over(&hash)).await?? else {
            return Ok(None);
        };
        self.emit(&Event::Reoffered { payment_hash: hash });
        let cut_off = unknown(&purchase, CUT_OFF, None);
        let start = call.await_payment(payment(&purchase.resource, &purchase.payable));
        let inner = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            let purchase = Purchase {
                state: PurchaseState::Paying,
                ..purchase
            };
            let paid = inner.pay(purchase, ticket, &wallet, Offer::Again, &start);
            paid.await
        });
        let ended = task.await;
        call.awaited = None;
        match ended {
            Ok(Ok(bought)) => Ok(Some(bought)),
            // No money moved: the request goes on as if it had never been begun.
            Ok(Err(Error::PaymentFailed { .. })) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_cut_off) => Err(cut_off),
        }
    }

    fn may_reoffer(&self, purchase: &Purchase, promises: PayerPromises) -> bool {
        promises.repeat == Repeat::PaysOnce
            && self.policy.may_pay_with(promises)
            && self.now() < purchase.payable.expires_at()
            && purchase.payable.price() <= self.policy.limits.price_max
            && !self.kill_switch.is_pulled()
    }

    async fn look_up_all(
        &self,
        open: Vec<(Purchase, Owner)>,
    ) -> Result<Vec<(Purchase, Found)>, StorageError> {
        let look_ups = open.into_iter().map(async |(purchase, owner)| {
            let found = self.look_up(purchase.clone(), owner).await?;
            Ok((purchase, found))
        });
        let found: Vec<Result<_, StorageError>> = stream::iter(look_ups)
            .buffered(LOOK_UPS_AT_ONCE)
            .collect()
            .await;
        found.into_iter().collect()
    }

    /// Looks a purchase up and records what was found.
    async fn look_up(&self, mut purchase: Purchase, owner: Owner) -> Result<Found, StorageError> {
        if owner == Owner::Working {
            return Ok(open("a running process is waiting for the wallet"));
        }
        let wallet = match self.own_wallet(&purchase).await {
            Ok(wallet) => wallet,
            Err(reason) => return Ok(open(reason)),
        };
        // Read before asking: a wallet that does not know a payment may learn of it later.
        let now = self.now();
        let update = wallet.look_up(purchase.payment_hash()).await;
        let not_found = match purchase.absent_at {
            Some(at) if now.secs_since(at) >= self.policy.pauses.absence.as_secs() => {
                NotFound::Final
            }
            Some(_) | None => NotFound::Tentative,
        };
        if matches!(update, PaymentUpdate::NotFound) && not_found == NotFound::Tentative {
            let hash = purchase.payment_hash();
            self.with_book(move |book| book.mark_absent(&hash, now))
                .await??;
            return Ok(Found::Absent);
        }
        let outcome = self.end(&mut purchase, update, not_found).await;
        Ok(Found::Outcome(outcome))
    }

    /// Ends a purchase that the wallet did not know at two look-ups.
    async fn end_absent(&self, mut purchase: Purchase) -> Outcome {
        let update = PaymentUpdate::NotFound;
        self.end(&mut purchase, update, NotFound::Final).await
    }

    async fn end(
        &self,
        purchase: &mut Purchase,
        update: PaymentUpdate,
        not_found: NotFound,
    ) -> Outcome {
        let (event, reason) = update.event(not_found);
        let recorded = self.record(purchase, event, &reason.text, Publication::AtOnce);
        let recorded = recorded.await;
        let text = reason.text;
        let resumption = match purchase.state {
            PurchaseState::Paid { .. } => {
                self.emit_stored(purchase.payment_hash(), recorded);
                Resumption::Kept
            }
            PurchaseState::Failed => Resumption::NotPaid { reason: text },
            PurchaseState::Offered
            | PurchaseState::Paying
            | PurchaseState::Reserved
            | PurchaseState::Unknown => Resumption::Open { reason: text },
        };
        Outcome {
            resumption,
            wallet_error: reason.wallet_error,
        }
    }

    /// Returns the wallet, if it is the one that was asked to pay, or why it cannot be asked. A
    /// wallet whose identity cannot be read is not that one.
    async fn own_wallet(&self, purchase: &Purchase) -> Result<Arc<Wallet>, Reason> {
        if let Some(wallet) = &self.wallet
            && wallet.facts().await?.identity == purchase.wallet
        {
            return Ok(Arc::clone(wallet));
        }
        Err(Reason::from(format!(
            "it was begun with the wallet {} ({}): request it once with that wallet, or resolve it by hand",
            purchase.wallet_name, purchase.wallet
        )))
    }

    fn resumed(&self, purchase: &Purchase, outcome: Resumption) -> Resumed {
        self.emit(&Event::Resumed {
            payment_hash: purchase.payment_hash(),
            outcome: outcome.clone(),
        });
        Resumed {
            payment_hash: purchase.payment_hash(),
            origin: purchase.resource.origin.clone(),
            path: purchase.resource.path.clone(),
            price: purchase.payable.price(),
            outcome,
        }
    }
}

fn open(reason: impl Into<Reason>) -> Found {
    let Reason { text, wallet_error } = reason.into();
    Found::Outcome(Outcome {
        resumption: Resumption::Open { reason: text },
        wallet_error,
    })
}

const LOOK_UPS_AT_ONCE: usize = 8;
