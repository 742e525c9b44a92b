//! What proves the outcome of a payment: the one decision about when an open purchase ends.
//!
//! A request to pay that was not replied to may be lost, or may reach the wallet late, as long
//! as the wallet would still pay the invoice. Until its outcome is proven, nothing but the same
//! invoice may be paid for the same thing, and that only by a wallet that pays one payment hash
//! at most once. What proves an outcome:
//!
//! | the wallet reports | in reply to the only request in doubt | in reply to one of several | looked up, requested once | looked up, requested more than once | looked up, invoice not payable |
//! |---|---|---|---|---|---|
//! | settled, with the preimage | paid | paid | paid | paid | paid |
//! | failed | failed | open | failed | open | failed |
//! | not sent | failed | open | | | |
//! | not found | | | open | open | failed |
//! | in flight, or nothing | open | open | open | open | open |
//!
//! - A request is in doubt until its own outcome is proven. A failure that is reported in reply
//!   to one request does not prove that an earlier one will not arrive.
//! - LND begins a hash that failed before once more when asked to. A failure that is found by a
//!   look-up may therefore be an earlier request's, unless there was only one.
//! - An invoice counts as payable until [a margin](crate::book::Purchase::blocks_until) after it
//!   has expired, because the wallet refuses expired invoices by its own clock.

use l402::{PurchaseEvent, UnixSeconds};
use tollway_lightning::Paid;

use super::wallet::{PaymentUpdate, Reason};
use crate::book::Purchase;

/// How a report about a payment was obtained.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// By a look-up at this moment, read from the clock before the wallet was asked.
    LookUp(UnixSeconds),
    /// In reply to a request, when no other one is in doubt.
    OnlyRequest,
    /// In reply to a request, while an earlier one is in doubt.
    OneOfSeveral,
}

/// What a report proves about a purchase.
#[derive(Debug)]
pub(super) enum Proof {
    /// Its outcome.
    Ended(PurchaseEvent, Reason),
    /// Nothing: the wallet is paying it, or did not reply.
    Open(Reason),
    /// Nothing: the wallet is not paying it, and still would if a request arrived.
    Payable(Reason),
}

impl Proof {
    /// Returns the event to record, and why it happened.
    pub(super) fn event(self) -> (PurchaseEvent, Reason) {
        match self {
            Self::Ended(event, reason) => (event, reason),
            Self::Open(reason) | Self::Payable(reason) => (PurchaseEvent::Unknown, reason),
        }
    }
}

/// Decides what a report proves about an open purchase.
pub(super) fn proof(purchase: &Purchase, source: Source, update: PaymentUpdate) -> Proof {
    let is_payable = match source {
        Source::LookUp(now) => now < purchase.blocks_until(),
        Source::OneOfSeveral | Source::OnlyRequest => true,
    };
    let is_about_every_request = match source {
        Source::LookUp(_) => purchase.requests == 1,
        Source::OneOfSeveral => false,
        Source::OnlyRequest => true,
    };
    let failed = |reason| Proof::Ended(PurchaseEvent::Failed, reason);
    match update {
        PaymentUpdate::Settled(Paid { preimage, fee }) => {
            let matches = preimage.matches(&purchase.payment_hash());
            let reason = if matches { "" } else { MISMATCH };
            Proof::Ended(PurchaseEvent::Settled { preimage, fee }, reason.into())
        }
        PaymentUpdate::Failed { reason } | PaymentUpdate::NotSent { reason }
            if is_about_every_request || !is_payable =>
        {
            failed(reason.into())
        }
        PaymentUpdate::Failed { reason } | PaymentUpdate::NotSent { reason } => {
            Proof::Payable(format!("{reason}; {EARLIER}").into())
        }
        PaymentUpdate::NotFound if is_payable => Proof::Payable(NOT_FOUND.into()),
        PaymentUpdate::NotFound => failed(NEVER_BEGUN.into()),
        PaymentUpdate::Unknown(reason) => Proof::Open(reason),
    }
}

const MISMATCH: &str = "the wallet's preimage does not match";
const EARLIER: &str = "an earlier request to pay it may still arrive";
const NOT_FOUND: &str = "the wallet does not know it, and a request to pay it may still arrive";
const NEVER_BEGUN: &str = "the wallet never began it";
