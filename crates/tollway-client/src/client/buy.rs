//! One purchase: checked, committed, then paid.
//!
//! The steps are [`l402::step`]'s; here they are carried out. Everything from the commit on runs in
//! a task of its own, so that a caller that goes away takes nothing with it.

use std::collections::HashSet;
use std::sync::Arc;

use l402::{Payable, PaymentHash, Quote};

use super::Inner;
use super::answer::Challenged;
use super::bought::Bought;
use super::call::Call;
use super::checks::choose;
use super::pay::{CUT_OFF, Offer, payment};
use super::progress::Progress;
use super::wallet::Wallet;
use crate::book::{Admission, BeginError, Purchase, Rules, SoldToken, TargetResource, Ticket};
use crate::error::{Error, NotPaid, StorageError};
use crate::event::Event;
use crate::fit::TokenTerms;
use crate::origin::Origin;

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
        let read = |challenge: &_| Quote::read(challenge, network, now);
        let quote = choose(challenged, &progress.resource, read)?;
        self.emit(&Event::Quoted {
            payment_hash: quote.payment_hash(),
            price: quote.price(),
            network,
            expires_at: quote.invoice().expires_at(),
            scheme: quote.challenge().name(),
            terms: TokenTerms::of(&SoldToken::offered(quote.challenge())),
        });
        if call.brings_authorization() {
            self.emit(&Event::SecondAuthorization {
                origin: call.origin().clone(),
            });
        }
        self.approve(&progress.resource, &quote).await?;
        let presented = progress.considered();
        let order = Order {
            resource: progress.resource.clone(),
            addressed: call.addressed().clone(),
            payable: quote.payable(call.origin().host()),
            token: SoldToken::offered(quote.challenge()),
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
                addressed: &order.addressed,
                payable: &order.payable,
                token: &order.token,
                wallet: &facts,
                wallet_name: &name,
                rules: inner.rules(),
                presented: &order.presented,
            })
        });
        let (purchase, ticket) = match begun.await? {
            Ok(begun) => begun,
            Err(BeginError::Book(error)) => return Err(StorageError::from(error).into()),
            Err(BeginError::Blocked | BeginError::Bought) => return Err(Unbought::Changed),
            Err(BeginError::NotPaid(refused)) => return Err(refused.into()),
        };
        self.emit(&Event::Reserved {
            payment_hash: purchase.payment_hash(),
            price: purchase.payable.price(),
            fee_max: purchase.fee_max,
        });
        Ok((purchase, ticket))
    }

    /// Returns the rules for requests to pay.
    pub(super) fn rules(&self) -> Rules<'_> {
        Rules {
            limits: &self.policy.limits,
            after_refusal: self.policy.after_refusal,
            kill_switch: &self.kill_switch,
            clock: &*self.clock,
        }
    }
}

/// What is to be bought.
struct Order {
    resource: TargetResource,
    addressed: Origin,
    payable: Payable,
    token: SoldToken,
    presented: HashSet<PaymentHash>,
}
