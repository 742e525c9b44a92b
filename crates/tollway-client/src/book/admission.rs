//! Beginning a purchase: every check and the reservation, in one transaction.

use std::collections::HashSet;

use l402::{
    Budget, Charged, Limits, Msat, Payable, PaymentHash, PurchaseEvent, PurchaseState, QuoteError,
    UnixSeconds,
};

use super::{
    Book, BookError, Owner, Purchase, Rows, SessionId, SoldToken, TargetResource, Ticket,
    WalletName, Which, brake,
};
use crate::client::WalletFacts;
use crate::error::NotPaid;
use crate::fit;
use crate::origin::Origin;
use crate::policy::{AfterRefusal, KillSwitch};

/// What is to be bought, and the rules it must fit.
pub(crate) struct Admission<'a> {
    pub(crate) resource: &'a TargetResource,
    /// Where the request was addressed, before any redirect.
    pub(crate) addressed: &'a Origin,
    pub(crate) payable: &'a Payable,
    pub(crate) token: &'a SoldToken,
    pub(crate) wallet: &'a WalletFacts,
    pub(crate) wallet_name: &'a WalletName,
    pub(crate) rules: Rules<'a>,
    /// The credentials that this request has presented and seen refused, or has found not to be
    /// for it.
    pub(crate) presented: &'a HashSet<PaymentHash>,
}

/// The rules that every request to pay must fit at the moment it is made, the first one for an
/// invoice and any later one.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) after_refusal: AfterRefusal,
    pub(crate) kill_switch: &'a KillSwitch,
    /// Read under the lock: waiting for it may take time.
    pub(crate) clock: &'a dyn Fn() -> UnixSeconds,
}

/// Why a purchase was not begun. Nothing is reserved and nothing may be paid.
#[derive(Debug)]
pub(crate) enum BeginError {
    Book(BookError),
    /// A purchase for the same origin and path is open, one that is good for this too is being
    /// made, or as many from this seller as are made at a time.
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

    /// Takes over an open purchase whose process is gone, to offer its invoice again; `None`
    /// when it is not open any more or another process was first. It counts on the day of
    /// this request, with the higher fee ceiling of this request and those before.
    pub(crate) fn take_over(
        &self,
        hash: &PaymentHash,
        rules: &Rules<'_>,
    ) -> Result<Option<(Purchase, Ticket)>, BeginError> {
        let taken = self.write(|rows, session| Ok(self.readmit(hash, rules, rows, session)));
        let taken = taken.map_err(BeginError::Book)??;
        Ok(taken.map(|purchase| (purchase, self.ticket(*hash))))
    }

    fn readmit(
        &self,
        hash: &PaymentHash,
        rules: &Rules<'_>,
        rows: &mut dyn Rows,
        session: &SessionId,
    ) -> Result<Option<Purchase>, BeginError> {
        let now = rules.check_switch()?;
        let Some(mut purchase) = rows.purchase(hash)? else {
            return Ok(None);
        };
        let next = l402::step(hash, &purchase.state, PurchaseEvent::Reoffered);
        let (Ok((state, _pay)), Owner::Gone) = (next, self.owner(&purchase)?) else {
            return Ok(None);
        };
        Rules::check_expiry(&purchase.payable, &purchase.token, now)?;
        let (token, path) = (&purchase.token, &purchase.resource.path);
        rules.check_brake(rows, &purchase.resource.origin, token, path, now)?;
        let charged = charged_besides(rows, &purchase, now)?;
        // An earlier request may arrive, with the ceiling that it was sent with.
        let limits = Limits {
            fee_max: purchase.fee_max.max(rules.limits.fee_max),
            ..*rules.limits
        };
        let reserved = Budget::new(&limits, charged)
            .admit(purchase.payable.host(), purchase.payable.price())
            .map_err(NotPaid::from)?;
        purchase.fee_max = limits.fee_max;
        purchase.state = state;
        purchase.session = session.clone();
        purchase.begun_at = now;
        purchase.requests = purchase.requests.saturating_add(1);
        debug_assert_eq!(
            purchase.charge(),
            reserved,
            "what was admitted is what counts"
        );
        rows.put_purchase(&purchase)?;
        Ok(Some(purchase))
    }

    fn admit(
        &self,
        new: &Admission<'_>,
        rows: &mut dyn Rows,
        session: &SessionId,
    ) -> Result<Purchase, BeginError> {
        let now = new.rules.check_switch()?;
        let limits = new.rules.limits;
        let before = rows.purchase(&new.payable.payment_hash())?;
        let requests = before.as_ref().map_or(0, |purchase| purchase.requests);
        let before = before.map_or(PurchaseState::Offered, |purchase| purchase.state);
        self.find_obstacle(new, rows, now)?;
        Rules::check_expiry(new.payable, new.token, now)?;
        let state = advance(new, &before, PurchaseEvent::Admitted)?;
        let host = new.payable.host();
        let charged = rows.charged(host, now.utc_day())?;
        let reserved = Budget::new(limits, charged)
            .admit(host, new.payable.price())
            .map_err(NotPaid::from)?;
        // Last: what is refused for good is refused at once.
        if self.is_at_capacity(rows, &new.resource.origin, now)? {
            return Err(BeginError::Blocked);
        }
        let purchase = Purchase {
            resource: new.resource.clone(),
            payable: new.payable.clone(),
            fee_max: limits.fee_max,
            token: new.token.clone(),
            wallet: new.wallet.identity,
            wallet_name: new.wallet_name.clone(),
            begun_at: now,
            // True once this transaction is committed, and not read before.
            state: advance(new, &state, PurchaseEvent::Recorded)?,
            reason: String::new(),
            session: session.clone(),
            requests: requests.saturating_add(1),
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
        rows: &mut dyn Rows,
        now: UnixSeconds,
    ) -> Result<(), BeginError> {
        let TargetResource { origin, path, .. } = new.resource;
        let is_shared = |token: &SoldToken| fit::is_shared(token, new.token, new.resource);
        for purchase in rows.purchases(Which::OpenAt(origin))? {
            let (wallet, lookup) = (&new.wallet.identity, new.wallet.promises.lookup);
            let is_blocking = if purchase.resource.path == *path {
                purchase.is_blocking(wallet, lookup, now)
            } else {
                is_shared(&purchase.token) && self.owner(&purchase)? == Owner::Working
            };
            if is_blocking {
                return Err(BeginError::Blocked);
            }
        }
        for credential in rows.candidates(new.resource, now)? {
            let is_new = !new.presented.contains(&credential.payment_hash());
            let is_shared = is_shared(&credential.token);
            let is_usable = (credential.covers(path) || is_shared) && !credential.is_expired(now);
            let is_waited_for = is_shared || credential.resource.path == *path;
            if is_new && is_usable && (is_waited_for || !self.is_held(&credential)?) {
                return Err(BeginError::Bought);
            }
        }
        for origin in [origin, new.addressed] {
            new.rules.check_brake(rows, origin, new.token, path, now)?;
        }
        match self.find_loss(new, rows, now)? {
            Some(brake) => Err(NotPaid::PaidBefore(Box::new(brake)).into()),
            None => Ok(()),
        }
    }
}

impl Rules<'_> {
    /// Returns the time, unless spending is stopped.
    fn check_switch(&self) -> Result<UnixSeconds, NotPaid> {
        if self.kill_switch.is_pulled() {
            let file = self.kill_switch.file().to_owned();
            return Err(NotPaid::Stopped { file });
        }
        Ok((self.clock)())
    }

    /// Refuses what has expired since the challenge was read: its invoice, or its token.
    fn check_expiry(payable: &Payable, token: &SoldToken, now: UnixSeconds) -> Result<(), NotPaid> {
        let expires_at = payable.expires_at();
        if now >= expires_at {
            let seconds_ago = now.secs_since(expires_at);
            return Err(NotPaid::Quote(QuoteError::Expired { seconds_ago }));
        }
        match token.deadline().filter(|deadline| now >= *deadline) {
            Some(deadline) => {
                let seconds_ago = now.secs_since(deadline);
                Err(NotPaid::Quote(QuoteError::TokenExpired { seconds_ago }))
            }
            None => Ok(()),
        }
    }

    fn check_brake(
        &self,
        rows: &dyn Rows,
        origin: &Origin,
        token: &SoldToken,
        path: &str,
        now: UnixSeconds,
    ) -> Result<(), BeginError> {
        if self.after_refusal == AfterRefusal::BuyAgain {
            return Ok(());
        }
        let brakes = brake::in_force(rows, origin, now)?;
        match brake::stopping(&brakes, token, path) {
            Some(brake) => Err(NotPaid::PaidBefore(Box::new(brake)).into()),
            None => Ok(()),
        }
    }
}

/// Returns what counts against the limits without `purchase`.
fn charged_besides(
    rows: &dyn Rows,
    purchase: &Purchase,
    now: UnixSeconds,
) -> Result<Charged, BookError> {
    let own = purchase.charge();
    let without = |sum: Msat| sum.checked_sub(own).unwrap_or(Msat::ZERO);
    let charged = rows.charged(purchase.payable.host(), now.utc_day())?;
    let is_todays = purchase.begun_at.utc_day() >= now.utc_day();
    Ok(Charged {
        host: without(charged.host),
        today: if is_todays {
            without(charged.today)
        } else {
            charged.today
        },
        total: without(charged.total),
    })
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
