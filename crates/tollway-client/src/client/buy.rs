//! Buys a credential. The only module that pays.
//!
//! The steps are [`l402::step`]'s; here they are carried out, in a task of its own, so that a
//! caller that goes away takes nothing with it. What each step leaves in the book when the
//! process dies right after it:
//!
//! | step | state | the next process |
//! |---|---|---|
//! | committed | paying | looks it up; offers the same invoice again, or waits and looks again |
//! | wallet asked | paying | the same |
//! | outcome unknown | unknown | the same |
//! | settled | paid, with proof and credential | presents the credential |

use std::sync::Arc;

use l402::{
    Challenge, Payable, PaymentHash, PurchaseEvent, PurchaseState, Quote, QuoteError, UnixSeconds,
};
use tollway_lightning::PayerError;

use super::Inner;
use super::answer::Challenged;
use super::bought::Bought;
use super::call::Call;
use super::progress::Progress;
use super::start::PaymentStart;
use super::wallet::{NotFound, PaymentUpdate, Reason, Wallet};
use crate::book::{
    Admission, BeginError, Publication, Purchase, SoldToken, TargetResource, Ticket,
};
use crate::error::{Error, NotPaid, Payment, StorageError};
use crate::event::Event;
use crate::policy::{Approval, Paying, PurchaseRequest};

/// Why there is no credential.
pub(super) enum Unbought {
    /// The book has changed since it was read: decide again.
    Changed,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Unbought {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Inner {
    /// Everything that can be refused without any request.
    pub(super) fn check(&self, call: &Call, challenged: &Challenged) -> Result<(), Error> {
        if let Some(receipt) = call.receipt() {
            return Err(Error::PaidButRefused {
                receipt: Box::new(receipt.clone()),
                status: challenged.status,
            });
        }
        let origin = call.origin().clone();
        let host = origin.host();
        // Deadlines are checked before paying. What an earlier purchase has bought must be found
        // even if this challenge came too late.
        let any_time = UnixSeconds::new(0);
        let quote = self.choose(challenged, |challenge| {
            Quote::read_any_network(challenge, any_time)
        })?;
        let price = quote.price();
        match self.policy.paying {
            Paying::Off => {
                let invoice = Box::new(quote.invoice().clone());
                let refused = NotPaid::PayingIsOff {
                    origin,
                    price,
                    invoice,
                };
                return Err(refused.into());
            }
            Paying::On => {}
        }
        if !self.policy.may_expose_to(&origin) {
            return Err(NotPaid::ClearText { origin }.into());
        }
        if !self.policy.hosts.allow(host) {
            let host = host.to_owned();
            return Err(NotPaid::HostNotAllowed { host }.into());
        }
        if !call.is_where_addressed() && !self.policy.hosts.name(host) {
            return Err(NotPaid::Redirected { origin }.into());
        }
        if !call.is_replayable() {
            return Err(NotPaid::BodyNotReplayable { origin }.into());
        }
        if self.wallet.is_none() {
            return Err(NotPaid::NoWallet { origin, price }.into());
        }
        if self.kill_switch.is_pulled() {
            let file = self.kill_switch.file().to_owned();
            return Err(NotPaid::Stopped { file }.into());
        }
        Ok(())
    }

    pub(super) async fn buy(
        self: &Arc<Self>,
        call: &mut Call,
        challenged: &Challenged,
        progress: &Progress,
    ) -> Result<Bought, Unbought> {
        self.check(call, challenged)?;
        let Some(wallet) = self.wallet.clone() else {
            return Err(Unbought::Changed);
        };
        let facts = wallet.facts().await?;
        if !self.policy.may_pay_with(facts.promises) {
            let wallet = wallet.name().clone();
            return Err(NotPaid::FeeNotCapped { wallet }.into());
        }
        let network = facts.identity.network();
        let now = self.now();
        let quote = self.choose(challenged, |challenge| Quote::read(challenge, network, now))?;
        self.tell(&Event::Quoted {
            payment_hash: quote.payment_hash(),
            price: quote.price(),
            network,
            expires_at: quote.invoice().expires_at(),
            scheme: quote.challenge().name(),
        });
        self.approve(&progress.resource, &quote).await?;
        let presented = progress.presented.clone();
        let order = Order {
            resource: progress.resource.clone(),
            payable: quote.payable(call.origin().host()),
            token: SoldToken::L402 {
                name: quote.challenge().name(),
                token: quote.challenge().token().clone(),
            },
            presented,
        };
        let payment = payment(&order.resource, &order.payable);
        let start = call.await_payment(payment.clone());
        let inner = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            let (purchase, ticket) = inner.begin(order, &wallet).await?;
            let paid = inner.pay(purchase, ticket, &wallet, Offer::First, &start);
            Ok(paid.await?)
        });
        let ended = task.await;
        call.awaited = None;
        ended.unwrap_or_else(|_cut_off| {
            Err(Unbought::Failed(Error::PaymentUnknown {
                payment: Box::new(payment),
                reason: CUT_OFF.to_owned(),
                wallet_error: None,
                blocks_until: None,
            }))
        })
    }

    /// Returns the first challenge that is fit to be paid and affordable, or why the first one
    /// is not.
    fn choose(
        &self,
        challenged: &Challenged,
        read: impl Fn(&Challenge) -> Result<Quote, QuoteError>,
    ) -> Result<Quote, NotPaid> {
        let challenges = challenged.challenges.as_ref();
        let challenges = challenges.map_err(|error| NotPaid::Challenge(error.clone()))?;
        let mut dear = None;
        let mut first_error = None;
        for challenge in challenges {
            match read(challenge) {
                Ok(quote) if quote.price() <= self.policy.limits.price_max => return Ok(quote),
                Ok(quote) => dear = dear.or(Some(quote)),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        // One that is too dear is refused later, by its limit.
        dear.ok_or_else(|| first_error.map_or(NotPaid::NoChallenge, NotPaid::Quote))
    }

    async fn approve(&self, resource: &TargetResource, quote: &Quote) -> Result<(), Error> {
        let Some(approve) = &self.approve else {
            return Ok(());
        };
        let request = PurchaseRequest {
            origin: resource.origin.clone(),
            path: resource.path.clone(),
            payment_hash: quote.payment_hash(),
            price: quote.price(),
            fee_max: self.policy.limits.fee_max,
        };
        match approve.approve(&request).await {
            Approval::Approved => Ok(()),
            Approval::Declined => {
                let (origin, price) = (request.origin, request.price);
                Err(NotPaid::Declined { origin, price }.into())
            }
        }
    }

    /// Commits the purchase. Nothing is paid before that.
    async fn begin(
        self: &Arc<Self>,
        order: Order,
        wallet: &Arc<Wallet>,
    ) -> Result<(Purchase, Ticket), Unbought> {
        let facts = wallet.facts().await?;
        let (inner, name) = (Arc::clone(self), wallet.name().clone());
        let begun = self.with_book(move |book| {
            book.begin(&Admission {
                resource: &order.resource,
                payable: &order.payable,
                token: &order.token,
                wallet: &facts,
                wallet_name: &name,
                limits: &inner.policy.limits,
                after_refusal: inner.policy.after_refusal,
                kill_switch: &inner.kill_switch,
                presented: &order.presented,
                clock: &*inner.clock,
            })
        });
        let (purchase, ticket) = match begun.await? {
            Ok(begun) => begun,
            Err(BeginError::Book(error)) => return Err(StorageError::from(error).into()),
            Err(BeginError::Blocked | BeginError::Bought) => return Err(Unbought::Changed),
            Err(BeginError::NotPaid(refused)) => return Err(refused.into()),
        };
        self.tell(&Event::Reserved {
            payment_hash: purchase.payment_hash(),
            price: purchase.payable.price(),
            fee_max: purchase.fee_max,
        });
        Ok((purchase, ticket))
    }

    /// Pays a committed purchase. An outcome that is unknown is followed by one look-up.
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
        self.tell(&Event::Paying { payment_hash: hash });
        let invoice = purchase.payable.invoice().clone();
        let timeout = self.policy.pay_timeout;
        let mut update = wallet.pay(invoice, purchase.fee_max, timeout).await;
        if offer == Offer::Again && matches!(update, PaymentUpdate::NotSent { .. }) {
            // The first request may have reached the wallet all the same.
            update = wallet.look_up(hash).await;
        }
        let (event, reason) = update.event(NotFound::Final);
        let publication = Publication::AfterPresenting;
        let mut stored = self
            .record(&mut purchase, event, &reason.text, publication)
            .await;
        let mut wallet_error = reason.wallet_error;
        if purchase.state == PurchaseState::Unknown {
            let (event, reason) = wallet.look_up(hash).await.event(NotFound::Tentative);
            stored = self
                .record(&mut purchase, event, &reason.text, publication)
                .await;
            wallet_error = reason.wallet_error;
        }
        let Some(credential) = purchase.credential() else {
            // Unrecorded, it reads as still being paid by a dead process, and is looked up.
            return Err(unpaid(&purchase, wallet_error));
        };
        self.tell(&Event::Paid {
            payment_hash: hash,
            price: credential.price,
            fee: credential.fee,
            fee_max: purchase.fee_max,
        });
        self.tell_stored(hash, stored);
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
        unpaid(&purchase, None)
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

    /// Tells the observer whether a paid credential is stored.
    pub(super) fn tell_stored(&self, payment_hash: PaymentHash, stored: Result<(), StorageError>) {
        match stored {
            Ok(()) => self.tell(&Event::Kept { payment_hash }),
            Err(error) => self.tell(&Event::NotKept {
                payment_hash,
                reason: error.to_string(),
            }),
        }
    }
}

/// What is to be bought.
struct Order {
    resource: TargetResource,
    payable: Payable,
    token: SoldToken,
    presented: std::collections::HashSet<PaymentHash>,
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
fn unpaid(purchase: &Purchase, wallet_error: Option<PayerError>) -> Error {
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
            unknown(purchase, Reason { text, wallet_error }, None)
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
