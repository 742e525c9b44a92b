//! The one place that pays.
//!
//! The steps are `l402::Purchases`' decisions; here they are carried out, in a task of their
//! own, so that a caller who goes away takes nothing with it. What each step leaves on disk
//! when the process dies right after it:
//!
//! | step | the journal says | what resuming does |
//! |---|---|---|
//! | set aside and recorded | begun | looks up; never pays |
//! | wallet asked | begun | looks up |
//! | outcome unknown | in doubt | looks up |
//! | settled | paid, with the proof | puts the credential in the store |
//! | credential in the store | kept | nothing |

use std::collections::HashSet;
use std::sync::Arc;

use l402::{Limits, PaymentHash, PurchaseAction, PurchaseEvent, Purchases, Quote};

use super::flight::Flight;
use super::wallet::{ANSWER_MARGIN, Absence, News, Wallet};
use super::{Inner, on_disk};
use crate::error::{Error, Refusal, StorageError};
use crate::event::Event;
use crate::journal::{
    BeginError, Charge, Entry, EntryState, Journal, Order, Outcome, Receipt, Ticket,
};
use crate::origin::Origin;
use crate::policy::KillSwitch;
use crate::store::{Store, StoreError, StoredToken};

/// Why there is no credential.
pub(super) enum Unbought {
    /// Another purchase of the same thing is not finished.
    Blocked(Box<Entry>),
    Failed(Error),
    /// Another process has bought the same thing since the store was last looked at.
    SoldMeanwhile,
}

/// What is to be bought.
pub(super) struct Wanted {
    pub(super) quote: Quote,
    pub(super) wallet: Arc<Wallet>,
    /// The credentials that are known not to do.
    pub(super) known: HashSet<PaymentHash>,
    pub(super) flight: Arc<Flight>,
}

impl<E: Into<Error>> From<E> for Unbought {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A purchase that is recorded and may be paid.
struct Begun {
    order: Order,
    /// Held until the outcome is recorded: others see that somebody waits for the wallet.
    _ticket: Ticket,
    purchases: Purchases,
    journal: Journal,
    wallet: Arc<Wallet>,
    flight: Arc<Flight>,
}

impl Inner {
    /// Buys what `quote` offers and keeps it, in a task that outlives its caller.
    pub(super) async fn pay_for(
        self: &Arc<Self>,
        origin: &Origin,
        path: &str,
        wanted: Wanted,
    ) -> Result<StoredToken, Unbought> {
        let quote = &wanted.quote;
        let now = self.now();
        let patience = self.policy.pay_timeout.saturating_add(ANSWER_MARGIN);
        let order = Order {
            payment_hash: quote.payment_hash(),
            origin: origin.clone(),
            path: path.to_owned(),
            wallet: wanted.wallet.name().clone(),
            price: quote.price(),
            fee_max: self.policy.limits.fee_max,
            invoice: quote.invoice().as_str().to_owned(),
            invoice_expires_at: quote.invoice().expires_at(),
            scheme: quote.challenge().name,
            token: quote.challenge().token.clone(),
            begun_at: now,
            pay_until: now.plus_secs(patience.as_secs()),
        };
        let doubt = doubt(&order, "the payment was cut off");
        let inner = Arc::clone(self);
        let task = self.purchases.spawn(async move {
            let begun = inner.begin(order, wanted).await?;
            Ok(inner.pay(begun).await?)
        });
        task.await.unwrap_or(Err(Unbought::Failed(doubt)))
    }

    /// Sets the money aside and writes the purchase down. Nothing is paid before this is flushed.
    async fn begin(&self, order: Order, wanted: Wanted) -> Result<Begun, Unbought> {
        let journal = self.journal()?;
        let admission = Admission {
            kill_switch: self.kill_switch.clone(),
            store: self.store.clone(),
            limits: self.policy.limits,
            order: order.clone(),
            quote: wanted.quote,
            known: wanted.known,
        };
        let log = journal.clone();
        let begun = tokio::task::spawn_blocking(move || {
            let order = admission.order.clone();
            log.begin(&order, |charges| admission.admit(charges))
        });
        let (ticket, purchases) = match begun.await {
            Ok(begun) => begun.map_err(|error| not_begun(error, &order))?,
            Err(_shutting_down) => return Err(StorageError::Interrupted.into()),
        };
        self.tell(&Event::Reserved {
            payment_hash: order.payment_hash,
            price: order.price,
            fee_max: order.fee_max,
        });
        Ok(Begun {
            order,
            _ticket: ticket,
            purchases,
            journal,
            wallet: wanted.wallet,
            flight: wanted.flight,
        })
    }

    /// Pays a recorded purchase and sees it through to the store. This is the only payment
    /// ever made for it; an answer that leaves doubt is followed by one look-up.
    async fn pay(&self, mut begun: Begun) -> Result<StoredToken, Error> {
        let hash = begun.order.payment_hash;
        let due = begun.on(PurchaseEvent::Recorded)?;
        let PurchaseAction::Pay { quote, fee_max } = due else {
            return Err(doubt(&begun.order, "the purchase is not due to be paid"));
        };
        self.tell(&Event::Paying { payment_hash: hash });
        let (invoice, timeout) = (quote.invoice().clone(), self.policy.pay_timeout);
        let news = begun.wallet.pay(invoice, fee_max, timeout).await;
        let reason = news.reason.clone();
        if let Some(token) = self.conclude(&mut begun, news).await? {
            return Ok(token);
        }
        let in_doubt = Outcome::InDoubt {
            reason: reason.clone(),
        };
        // Unrecorded, the doubt reads as begun with nobody at it, which means the same.
        let _ = begun.settle(in_doubt).await;
        let news = begun.wallet.look_up(hash, Absence::Open).await;
        let token = self.conclude(&mut begun, news).await?;
        token.ok_or_else(|| doubt(&begun.order, &reason))
    }

    /// Takes in what the wallet said; `None` while the outcome is in doubt.
    async fn conclude(&self, begun: &mut Begun, news: News) -> Result<Option<StoredToken>, Error> {
        let receipt = Receipt::of(&news.event);
        match (begun.on(news.event)?, receipt) {
            (PurchaseAction::Keep(_), Some(receipt)) => {
                Ok(Some(self.keep_bought(begun, receipt).await))
            }
            (PurchaseAction::Nothing, _) => {
                let reason = news.reason;
                let failed = Outcome::Failed {
                    reason: reason.clone(),
                };
                begun.settle(failed).await?;
                Err(Error::NotPaid { reason })
            }
            (
                PurchaseAction::Keep(_)
                | PurchaseAction::LookUp(_)
                | PurchaseAction::Pay { .. }
                | PurchaseAction::Record(_),
                _,
            ) => Ok(None),
        }
    }

    /// Records the payment and stores the credential. It is usable even if the disk is not:
    /// the record from before the payment is then enough to look it up again.
    async fn keep_bought(&self, begun: &Begun, receipt: Receipt) -> StoredToken {
        let order = &begun.order;
        begun.flight.hold_back(order.payment_hash);
        let recorded = begun.settle(Outcome::Paid(receipt.clone())).await;
        self.tell(&Event::Paid {
            payment_hash: order.payment_hash,
            price: order.price,
            fee: receipt.fee,
            fee_max: order.fee_max,
        });
        let stored = self.keep(&begun.journal, order, &receipt).await;
        if let Err(error) = recorded.and(stored) {
            self.tell(&Event::NotKept {
                payment_hash: order.payment_hash,
                reason: error.to_string(),
            });
        }
        StoredToken::bought(order, &receipt)
    }

    /// Puts a paid credential in the store and notes that it is there.
    pub(crate) async fn keep(
        &self,
        journal: &Journal,
        order: &Order,
        receipt: &Receipt,
    ) -> Result<(), StorageError> {
        let (store, journal) = (self.store.clone(), journal.clone());
        let token = StoredToken::bought(order, receipt);
        on_disk(move || {
            store.put(&token)?;
            journal.mark_kept(&token.payment_hash())?;
            Ok::<_, StorageError>(())
        })
        .await?;
        self.tell(&Event::Kept {
            payment_hash: order.payment_hash,
        });
        Ok(())
    }
}

impl Begun {
    fn on(&mut self, event: PurchaseEvent) -> Result<PurchaseAction, Error> {
        let advanced = self.purchases.on(&self.order.payment_hash, event);
        advanced.map_err(|error| doubt(&self.order, &error.to_string()))
    }

    async fn settle(&self, outcome: Outcome) -> Result<(), StorageError> {
        let (journal, hash) = (self.journal.clone(), self.order.payment_hash);
        on_disk(move || journal.settle(&hash, outcome)).await
    }
}

/// What is checked in the same turn of the journal's lock in which a purchase is written.
struct Admission {
    kill_switch: KillSwitch,
    store: Store,
    limits: Limits,
    order: Order,
    quote: Quote,
    known: HashSet<PaymentHash>,
}

/// Why a purchase is not admitted.
enum NotAdmitted {
    Refused(Refusal),
    SoldMeanwhile,
    Store(StoreError),
}

impl Admission {
    /// The machine for one purchase, if everything charged so far leaves room for it.
    fn admit(self, charges: &[Charge]) -> Result<Purchases, NotAdmitted> {
        let Order {
            payment_hash,
            origin,
            path,
            begun_at,
            ..
        } = &self.order;
        if self.kill_switch.is_pulled() {
            let file = self.kill_switch.file().to_owned();
            return Err(NotAdmitted::Refused(Refusal::Stopped { file }));
        }
        if self.store.holds(origin, payment_hash) {
            return Err(already_paid(*payment_hash));
        }
        let offers = self.store.offers_besides(&self.known, origin, path);
        if offers.map_err(NotAdmitted::Store)? {
            return Err(NotAdmitted::SoldMeanwhile);
        }
        let mut purchases = Purchases::new(self.limits);
        for charge in charges {
            purchases.count_earlier(&charge.host, charge.utc_day, charge.amount);
        }
        match purchases.begin(self.quote, origin.host(), *begun_at) {
            Ok(_record) => Ok(purchases),
            Err(l402::Refusal::OverLimit(limit)) => {
                Err(NotAdmitted::Refused(Refusal::OverLimit(limit)))
            }
            Err(
                l402::Refusal::AlreadyPaid { payment_hash }
                | l402::Refusal::InProgress { payment_hash },
            ) => Err(already_paid(payment_hash)),
        }
    }
}

const fn already_paid(payment_hash: PaymentHash) -> NotAdmitted {
    NotAdmitted::Refused(Refusal::AlreadyPaid { payment_hash })
}

fn not_begun(error: BeginError<NotAdmitted>, order: &Order) -> Unbought {
    let entry = match error {
        BeginError::Refused(NotAdmitted::Refused(refusal)) => return refusal.into(),
        BeginError::Refused(NotAdmitted::SoldMeanwhile) => return Unbought::SoldMeanwhile,
        BeginError::Refused(NotAdmitted::Store(error)) => return StorageError::from(error).into(),
        BeginError::Journal(error) => return StorageError::from(error).into(),
        BeginError::AlreadyBegun(entry) => entry,
    };
    let payment_hash = order.payment_hash;
    match entry.state {
        EntryState::Paid(_) | EntryState::Kept(_) if entry.order.payment_hash == payment_hash => {
            Refusal::AlreadyPaid { payment_hash }.into()
        }
        EntryState::Begun
        | EntryState::InDoubt { .. }
        | EntryState::Failed { .. }
        | EntryState::Paid(_)
        | EntryState::Kept(_) => Unbought::Blocked(entry),
    }
}

fn doubt(order: &Order, reason: &str) -> Error {
    Error::MoneyInDoubt {
        payment_hash: order.payment_hash,
        origin: order.origin.clone(),
        price: order.price,
        reason: reason.to_owned(),
    }
}
