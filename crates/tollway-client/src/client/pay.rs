//! Payment of a committed purchase. The only module that asks a wallet to pay.
//!
//! What each step leaves in the book when the process dies right after it:
//!
//! | step | state | the next process |
//! |---|---|---|
//! | committed | paying | looks it up, and offers the same invoice again where that is safe |
//! | wallet asked | paying | the same |
//! | outcome unknown | unknown | the same |
//! | settled | paid, with proof and credential | presents the credential |

use l402::{Payable, PaymentHash, PurchaseEvent, PurchaseState, UnixSeconds};
use tollway_lightning::WalletError;

use super::Inner;
use super::bought::Bought;
use super::proof::{Source, proof};
use super::start::PaymentStart;
use super::wallet::{Reason, Wallet};
use crate::book::{Publication, Purchase, TargetResource, Ticket};
use crate::error::{Error, Payment, StorageError};
use crate::event::Event;

impl Inner {
    /// Pays a committed purchase. A reply that does not prove its outcome is followed by one
    /// look-up.
    pub(super) async fn pay(
        &self,
        mut purchase: Purchase,
        _ticket: Ticket,
        wallet: &Wallet,
        offer: Offer,
        start: &PaymentStart,
    ) -> Result<Bought, Error> {
        let hash = purchase.payment_hash();
        if !start.start() {
            return Err(self.end_unstarted(purchase, offer).await);
        }
        self.emit(&Event::Paying { payment_hash: hash });
        let invoice = purchase.payable.invoice().clone();
        let timeout = self.policy.pay_timeout;
        let fee_max = self.policy.limits.fee_max;
        let update = wallet.pay(invoice, fee_max, timeout).await;
        let source = match offer {
            Offer::First => Source::OnlyRequest,
            Offer::Again => Source::OneOfSeveral,
        };
        let (event, reason) = proof(&purchase, source, update).event();
        let publication = Publication::AfterPresenting;
        let mut stored = self
            .record(&mut purchase, event, &reason.text, publication)
            .await;
        let mut wallet_error = reason.wallet_error;
        if purchase.state == PurchaseState::Unknown {
            let source = Source::LookUp(self.now());
            let update = wallet.look_up(hash).await;
            let (event, reason) = proof(&purchase, source, update).event();
            stored = self
                .record(&mut purchase, event, &reason.text, publication)
                .await;
            wallet_error = reason.wallet_error;
        }
        let Some(credential) = purchase.credential() else {
            let blocks_until = (offer == Offer::Again).then(|| purchase.blocks_until());
            // Unrecorded, it reads as still being paid by a dead process, and is looked up.
            return Err(unpaid(&purchase, wallet_error, blocks_until));
        };
        self.emit(&Event::Paid {
            payment_hash: hash,
            price: credential.price,
            fee: credential.fee,
            fee_max: purchase.fee_max,
        });
        self.emit_stored(hash, stored);
        let payment = payment(&purchase.resource, &purchase.payable);
        let (book, tasks) = (self.book.clone(), self.tasks.clone());
        Ok(Bought::new(credential, payment, book, tasks))
    }

    /// Ends a purchase whose request was out of time before the wallet was asked. One that an
    /// earlier process began stays open.
    async fn end_unstarted(&self, mut purchase: Purchase, offer: Offer) -> Error {
        if offer == Offer::First {
            let reason = "the time for the request was up before the wallet was asked";
            let event = PurchaseEvent::Failed;
            // Unrecorded, it is looked up like any other whose process is gone.
            let _ = self
                .record(&mut purchase, event, reason, Publication::AtOnce)
                .await;
        }
        unpaid(&purchase, None, None)
    }

    /// Records what happened to a purchase. A credential is usable even if the disk is not:
    /// what was committed before the payment is then enough to look it up again.
    pub(super) async fn record(
        &self,
        purchase: &mut Purchase,
        event: PurchaseEvent,
        reason: &str,
        publication: Publication,
    ) -> Result<(), StorageError> {
        let hash = purchase.payment_hash();
        if let Ok((state, _action)) = l402::step(&hash, &purchase.state, event.clone()) {
            purchase.state = state;
            reason.clone_into(&mut purchase.reason);
        }
        let reason = reason.to_owned();
        self.with_book(move |book| book.settle(&hash, event, &reason, publication))
            .await??;
        Ok(())
    }

    /// Emits whether a paid credential is stored.
    pub(super) fn emit_stored(&self, payment_hash: PaymentHash, stored: Result<(), StorageError>) {
        match stored {
            Ok(()) => self.emit(&Event::Kept { payment_hash }),
            Err(error) => self.emit(&Event::NotKept {
                payment_hash,
                reason: error.to_string(),
            }),
        }
    }
}

/// Whether an invoice may have been offered to the wallet before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Offer {
    Again,
    First,
}

pub(super) fn payment(resource: &TargetResource, payable: &Payable) -> Payment {
    Payment {
        payment_hash: payable.payment_hash(),
        origin: resource.origin.clone(),
        path: resource.path.clone(),
        price: payable.price(),
    }
}

/// The error for a purchase without a credential.
fn unpaid(
    purchase: &Purchase,
    wallet_error: Option<WalletError>,
    blocks_until: Option<UnixSeconds>,
) -> Error {
    match purchase.state {
        PurchaseState::Failed => Error::PaymentFailed {
            payment: Box::new(payment(&purchase.resource, &purchase.payable)),
            reason: purchase.reason.clone(),
        },
        PurchaseState::Offered
        | PurchaseState::Paid { .. }
        | PurchaseState::Paying
        | PurchaseState::Reserved
        | PurchaseState::Unknown => {
            let text = purchase.reason.clone();
            unknown(purchase, Reason { text, wallet_error }, blocks_until)
        }
    }
}

/// The error for a purchase of which it is not known whether money moved.
pub(super) fn unknown(
    purchase: &Purchase,
    reason: impl Into<Reason>,
    blocks_until: Option<UnixSeconds>,
) -> Error {
    let Reason { text, wallet_error } = reason.into();
    Error::PaymentUnknown {
        payment: Box::new(payment(&purchase.resource, &purchase.payable)),
        reason: text,
        wallet_error,
        blocks_until,
    }
}

pub(super) const CUT_OFF: &str = "the payment was cut off";
