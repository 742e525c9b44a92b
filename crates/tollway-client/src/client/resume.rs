//! Purchases whose outcome was never recorded: the process died, or the wallet
//! did not report one.
//!
//! Such a purchase may have been paid, so it is looked up. What its outcome is, and that it has
//! none yet, is decided in [`proof`](super::proof). Until it has one, what it may cost stays
//! reserved, and nothing else is bought at its origin and path. A purchase whose process is
//! alive and working is left to it. What a request for the same path does about any other:
//!
//! | the look-up proves | the wallet | then |
//! |---|---|---|
//! | its outcome | | the credential is used, or the reservation given back; the request goes on |
//! | nothing, the wallet is paying it | | an error: it stays open |
//! | nothing, the wallet is not paying it | pays one payment hash at most once | the same invoice is offered again, at once, if it fits the limits of this request |
//! | nothing, the wallet is not paying it | may pay it twice, or another one | an error: it stays open until its invoice is not payable |
//!
//! Whatever arrives late is then the same payment. The error names the purchase, and the moment
//! at which it ends by itself.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use l402::{Msat, PaymentHash, PurchaseState};
use tollway_lightning::{LookupByHash, Repeat};

use super::Inner;
use super::bought::Bought;
use super::call::Call;
use super::pay::{CUT_OFF, Offer, payment, unknown};
use super::proof::{Proof, Source, proof};
use super::wallet::{Reason, Wallet};
use crate::book::{
    BeginError, Owner, Publication, Purchase, StoredCredential, TargetResource, Ticket,
};
use crate::error::{Error, NotPaid, StorageError};
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
    /// Its outcome, as it is recorded.
    Ended(Resumption),
    /// Why it has none. The wallet is paying it, or cannot be asked.
    Open(Reason),
    /// Why it has none. The wallet is not paying it.
    Payable(Reason),
    /// It was paid, and this could not be stored, for this reason.
    Unstored(Box<StoredCredential>, String),
}

impl Inner {
    /// Looks up every open purchase, once.
    pub(super) async fn resume(self: &Arc<Self>) -> Result<Vec<Resumed>, Error> {
        let open = self.with_book(|book| book.open_purchases()).await??;
        let found = self.look_up_all(open).await?;
        let resumed = found
            .into_iter()
            .map(|(purchase, found)| self.resumed(&purchase, found.into_resumption()));
        Ok(resumed.collect())
    }

    /// Looks up, once, what earlier purchases from this seller for other things left open;
    /// returns true when one was paid: its credential may be good for this path too.
    pub(super) async fn look_up_near(&self, resource: &TargetResource) -> Result<bool, Error> {
        let wanted = resource.origin.clone();
        let mut open = self.with_book(move |book| book.open_at(&wanted)).await??;
        open.retain(|(purchase, owner)| {
            purchase.resource.path != resource.path && *owner == Owner::Gone
        });
        let mut is_any_kept = false;
        for (purchase, found) in self.look_up_all(open).await? {
            is_any_kept |= matches!(found, Found::Ended(Resumption::Kept));
            if !matches!(found, Found::Payable(_)) {
                self.resumed(&purchase, found.into_resumption());
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
        let reason = match promises.lookup {
            LookupByHash::Supported => match self.look_up(purchase.clone(), Owner::Gone).await? {
                Found::Ended(outcome @ (Resumption::Kept | Resumption::NotPaid { .. })) => {
                    self.resumed(&purchase, outcome);
                    return Ok(None);
                }
                Found::Ended(Resumption::Open { reason }) => {
                    return Err(unknown(&purchase, reason, None));
                }
                Found::Open(reason) => return Err(unknown(&purchase, reason, None)),
                Found::Payable(reason) => reason.text,
                Found::Unstored(credential, _reason) => {
                    let payment = payment(&purchase.resource, &purchase.payable);
                    let (book, tasks) = (self.book.clone(), self.tasks.clone());
                    return Ok(Some(Bought::new(*credential, payment, book, tasks)));
                }
            },
            LookupByHash::Unsupported => "its wallet cannot look payments up".to_owned(),
        };
        match promises.repeat {
            Repeat::PaysOnce => self.offer_again(call, purchase, wallet, reason).await,
            Repeat::MayPayAgain => {
                let reason = format!("{reason}; the wallet may pay twice if asked again");
                Err(unknown(&purchase, reason, blocks_until))
            }
        }
    }

    async fn offer_again(
        self: &Arc<Self>,
        call: &mut Call,
        purchase: Purchase,
        wallet: Arc<Wallet>,
        reason: String,
    ) -> Result<Option<Bought>, Error> {
        let taken = self.take_over(&purchase, &wallet).await?;
        let (purchase, ticket) = match taken {
            Ok(Some(taken)) => taken,
            Ok(None) => return Ok(None),
            Err(refused) => {
                let blocks_until = Some(purchase.blocks_until());
                let reason = format!("{reason}; it is not offered again: {refused}");
                return Err(unknown(&purchase, reason, blocks_until));
            }
        };
        let hash = purchase.payment_hash();
        self.emit(&Event::Reoffered {
            payment_hash: hash,
            price: purchase.payable.price(),
        });
        let cut_off = unknown(&purchase, CUT_OFF, None);
        let start = call.await_payment(payment(&purchase.resource, &purchase.payable));
        let inner = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            let paid = inner.pay(purchase, ticket, &wallet, Offer::Again, &start);
            paid.await
        });
        let ended = task.await;
        call.awaited = None;
        ended.unwrap_or(Err(cut_off)).map(Some)
    }

    /// Takes an open purchase over, within the rules in force; the inner error is the rule in
    /// the way.
    async fn take_over(
        self: &Arc<Self>,
        purchase: &Purchase,
        wallet: &Wallet,
    ) -> Result<Result<Option<(Purchase, Ticket)>, NotPaid>, Error> {
        if !self.policy.may_pay_with(wallet.facts().await?.promises) {
            let wallet = wallet.name().clone();
            return Ok(Err(NotPaid::FeeNotCapped { wallet }));
        }
        let (inner, hash) = (Arc::clone(self), purchase.payment_hash());
        let taken = self
            .with_book(move |book| book.take_over(&hash, &inner.rules()))
            .await?;
        match taken {
            Ok(taken) => Ok(Ok(taken)),
            Err(BeginError::NotPaid(refused)) => Ok(Err(refused)),
            Err(BeginError::Book(error)) => Err(error.into()),
            Err(BeginError::Blocked | BeginError::Bought) => Ok(Ok(None)),
        }
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
            let reason = "a running process is waiting for the wallet";
            return Ok(Found::Open(reason.into()));
        }
        let wallet = match self.own_wallet(&purchase).await {
            Ok(wallet) => wallet,
            Err(reason) => return Ok(Found::Open(reason)),
        };
        let source = Source::LookUp(self.now());
        let update = wallet.look_up(purchase.payment_hash()).await;
        let (event, reason) = match proof(&purchase, source, update) {
            Proof::Ended(event, reason) => (event, reason),
            Proof::Open(reason) => return Ok(Found::Open(reason)),
            Proof::Payable(reason) => return Ok(Found::Payable(reason)),
        };
        let recorded = self.record(&mut purchase, event, &reason.text, Publication::AtOnce);
        let recorded = recorded.await;
        Ok(Found::Ended(match purchase.state {
            PurchaseState::Paid { .. } => {
                let failure = recorded.as_ref().err().map(ToString::to_string);
                self.emit_stored(purchase.payment_hash(), recorded);
                if let Some((credential, failure)) = purchase.credential().zip(failure) {
                    return Ok(Found::Unstored(Box::new(credential), failure));
                }
                Resumption::Kept
            }
            PurchaseState::Failed => {
                recorded?;
                Resumption::NotPaid {
                    reason: reason.text,
                }
            }
            PurchaseState::Offered
            | PurchaseState::Paying
            | PurchaseState::Reserved
            | PurchaseState::Unknown => Resumption::Open {
                reason: reason.text,
            },
        }))
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
            price: purchase.payable.price(),
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

impl Found {
    fn into_resumption(self) -> Resumption {
        match self {
            Self::Ended(resumption) => resumption,
            Self::Open(reason) | Self::Payable(reason) => Resumption::Open {
                reason: reason.text,
            },
            Self::Unstored(_credential, failure) => Resumption::Open {
                reason: format!("it was paid, and that cannot be stored: {failure}"),
            },
        }
    }
}

const LOOK_UPS_AT_ONCE: usize = 8;
