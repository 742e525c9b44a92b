//! Beginning a purchase: every check and the reservation, in one transaction.

use std::collections::HashSet;

use l402::{Budget, Limits, Payable, PurchaseEvent, PurchaseState, UnixSeconds};

use super::{
    Book, BookError, Purchase, Rows, SessionId, SoldToken, TargetResource, Ticket, WalletName,
    Which,
};
use crate::client::WalletFacts;
use crate::error::NotPaid;
use crate::policy::{AfterRefusal, KillSwitch};

/// What is to be bought, and the rules it must fit.
pub(crate) struct Admission<'a> {
    pub(crate) resource: &'a TargetResource,
    pub(crate) payable: &'a Payable,
    pub(crate) token: &'a SoldToken,
    pub(crate) wallet: &'a WalletFacts,
    pub(crate) wallet_name: &'a WalletName,
    pub(crate) limits: &'a Limits,
    pub(crate) after_refusal: AfterRefusal,
    pub(crate) kill_switch: &'a KillSwitch,
    /// The credentials that this request has presented and seen refused.
    pub(crate) presented: &'a HashSet<l402::PaymentHash>,
    /// Read under the lock: waiting for it may take time.
    pub(crate) clock: &'a dyn Fn() -> UnixSeconds,
}

/// Why a purchase was not begun. Nothing is reserved and nothing may be paid.
#[derive(Debug)]
pub(crate) enum BeginError {
    Book(BookError),
    /// A purchase for the same origin and path is open.
    Blocked,
    /// Another request has bought, or presents, a credential for this path.
    Bought,
    NotPaid(NotPaid),
}

impl Book {
    /// Commits a purchase, if nothing is in its way. When this returns the wallet may be asked;
    /// the ticket is kept until the outcome is [settled](Self::settle).
    pub(crate) fn begin(&self, new: &Admission<'_>) -> Result<(Purchase, Ticket), BeginError> {
        let begun = self.write(|rows, session| Ok(self.admit(new, rows, session)));
        let purchase = begun.map_err(BeginError::Book)??;
        let ticket = self.ticket(purchase.payment_hash());
        Ok((purchase, ticket))
    }

    fn admit(
        &self,
        new: &Admission<'_>,
        rows: &mut dyn Rows,
        session: &SessionId,
    ) -> Result<Purchase, BeginError> {
        let now = (new.clock)();
        if new.kill_switch.is_pulled() {
            let file = new.kill_switch.file().to_owned();
            return Err(NotPaid::Stopped { file }.into());
        }
        let before = rows.purchase(&new.payable.payment_hash())?;
        let before = before.map_or(PurchaseState::Offered, |purchase| purchase.state);
        self.find_obstacle(new, rows, now)?;
        if now >= new.payable.expires_at() {
            let seconds_ago = now.secs_since(new.payable.expires_at());
            return Err(NotPaid::Quote(l402::QuoteError::Expired { seconds_ago }).into());
        }
        let state = advance(new, &before, PurchaseEvent::Admitted)?;
        let host = new.payable.host();
        let charged = rows.charged(host, now.utc_day())?;
        let reserved = Budget::new(new.limits, charged)
            .admit(host, new.payable.price())
            .map_err(NotPaid::from)?;
        let purchase = Purchase {
            resource: new.resource.clone(),
            payable: new.payable.clone(),
            fee_max: new.limits.fee_max,
            token: new.token.clone(),
            wallet: new.wallet.identity,
            wallet_name: new.wallet_name.clone(),
            begun_at: now,
            // True once this transaction is committed, and not read before.
            state: advance(new, &state, PurchaseEvent::Recorded)?,
            reason: String::new(),
            session: session.clone(),
            absent_at: None,
        };
        debug_assert_eq!(
            purchase.charge(),
            reserved,
            "what was admitted is what counts"
        );
        rows.put_purchase(&purchase)?;
        Ok(purchase)
    }

    /// Finds what else was bought, is being bought, or must not be bought at this path.
    fn find_obstacle(
        &self,
        new: &Admission<'_>,
        rows: &dyn Rows,
        now: UnixSeconds,
    ) -> Result<(), BeginError> {
        let TargetResource { origin, path, .. } = new.resource;
        for purchase in rows.purchases(Which::OpenAt(origin))? {
            let (wallet, lookup) = (&new.wallet.identity, new.wallet.promises.lookup);
            if purchase.resource.path == *path && purchase.is_blocking(wallet, lookup, now) {
                return Err(BeginError::Blocked);
            }
        }
        for credential in rows.candidates(new.resource, now)? {
            let is_new = !new.presented.contains(&credential.payment_hash());
            let is_usable = credential.covers(path) && !credential.is_expired(now);
            let is_elsewhere = credential.resource.path != *path;
            if is_new && is_usable && !(is_elsewhere && self.is_held(&credential)?) {
                return Err(BeginError::Bought);
            }
        }
        match rows.brake(origin, path)? {
            Some(brake) if now < brake.until && new.after_refusal == AfterRefusal::Wait => {
                Err(NotPaid::PaidBefore(Box::new(brake)).into())
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn advance(
    new: &Admission<'_>,
    state: &PurchaseState,
    event: PurchaseEvent,
) -> Result<PurchaseState, BeginError> {
    let payment_hash = new.payable.payment_hash();
    match l402::step(&payment_hash, state, event) {
        Ok((next, _action)) => Ok(next),
        Err(l402::OutOfOrder) => Err(NotPaid::AlreadyPaid { payment_hash }.into()),
    }
}

impl From<BookError> for BeginError {
    fn from(error: BookError) -> Self {
        Self::Book(error)
    }
}

impl From<NotPaid> for BeginError {
    fn from(refused: NotPaid) -> Self {
        Self::NotPaid(refused)
    }
}
