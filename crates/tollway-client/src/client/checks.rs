//! What forbids a purchase before anything is committed.
//!
//! The limits that count earlier purchases are checked with the commit, in the book.

use l402::{Challenge, Quote, QuoteError, UnixSeconds};

use super::Inner;
use super::answer::Challenged;
use super::call::Call;
use crate::book::{SoldToken, TargetResource};
use crate::error::{Error, NotPaid};
use crate::fit::{self, TokenTerms};
use crate::policy::{Approval, Paying, PurchaseRequest};

impl Inner {
    /// Everything that can be refused without any request.
    pub(super) fn check(&self, call: &Call, challenged: &Challenged) -> Result<(), Error> {
        if let Some(receipt) = call.receipt() {
            return Err(Error::PaidButRefused {
                receipt: Box::new(receipt.clone()),
                status: challenged.status,
                redirected_to: None,
            });
        }
        let origin = call.origin().clone();
        let host = origin.host();
        // Deadlines are checked before paying. What an earlier purchase has bought must be found
        // even if this challenge came too late.
        let any_time = UnixSeconds::new(0);
        let quote = choose(challenged, &call.resource(), |challenge| {
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
                    terms: TokenTerms::of(&SoldToken::offered(quote.challenge())),
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

    pub(super) async fn approve(
        &self,
        resource: &TargetResource,
        quote: &Quote,
    ) -> Result<(), Error> {
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
}

/// Returns the cheapest challenge that is fit to be paid, the first of several, or why the
/// first one is not fit. One whose token would not be presented for the request is not.
pub(super) fn choose(
    challenged: &Challenged,
    resource: &TargetResource,
    read: impl Fn(&Challenge) -> Result<Quote, QuoteError>,
) -> Result<Quote, NotPaid> {
    let challenges = challenged.challenges.as_ref();
    let challenges = challenges.map_err(|error| NotPaid::Challenge(error.clone()))?;
    let mut first_error = None;
    let mut payable = Vec::new();
    for challenge in challenges {
        let misfit = fit::misfit(&SoldToken::offered(challenge), resource);
        match (read(challenge), misfit) {
            (Ok(quote), None) => payable.push(quote),
            (Ok(_quote), Some(reason)) => {
                first_error = first_error.or(Some(NotPaid::Misfit { reason }));
            }
            (Err(error), _) => first_error = first_error.or(Some(NotPaid::Quote(error))),
        }
    }
    let cheapest = payable.into_iter().min_by_key(Quote::price);
    cheapest.ok_or_else(|| first_error.unwrap_or(NotPaid::NoChallenge))
}
