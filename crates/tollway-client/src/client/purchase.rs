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
use std::time::Duration;

use l402::{Invoice, Limits, Msat, PaymentHash, PurchaseAction, PurchaseEvent, Purchases, Quote};
use tollway_lightning::{PayError, Payer, PaymentState, PaymentTerms};

use super::flight::Flight;
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
        let Some(wallet) = &self.wallet else {
            let (origin, price) = (origin.clone(), quote.price());
            return Err(Error::from(Refusal::NoWallet { origin, price }).into());
        };
        let now = self.now();
        let order = Order {
            payment_hash: quote.payment_hash(),
            origin: origin.clone(),
            path: path.to_owned(),
            wallet: wallet.name.clone(),
            price: quote.price(),
            fee_max: self.policy.limits.fee_max,
            invoice: quote.invoice().as_str().to_owned(),
            invoice_expires_at: quote.invoice().expires_at(),
            scheme: quote.challenge().scheme,
            token: quote.challenge().token.clone(),
            begun_at: now,
            pay_until: now.plus_secs(self.pay_deadline().as_secs()),
        };
        let doubt = doubt(&order, "the payment was cut off");
        let payer = Arc::clone(&wallet.payer);
        let inner = Arc::clone(self);
        let task = self.purchases.spawn(async move {
            let begun = inner.begin(order, wanted).await?;
            Ok(inner.pay(payer.as_ref(), begun).await?)
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
            flight: wanted.flight,
        })
    }

    /// Pays a recorded purchase and sees it through to the store.
    async fn pay(&self, payer: &dyn Payer, mut begun: Begun) -> Result<StoredToken, Error> {
        let hash = begun.order.payment_hash;
        let due = begun.on(PurchaseEvent::Recorded)?;
        let PurchaseAction::Pay { quote, fee_max } = due else {
            return Err(doubt(&begun.order, "the purchase is not due to be paid"));
        };
        self.tell(&Event::Paying { payment_hash: hash });
        let (event, reason) = self.ask(payer, quote.invoice().clone(), fee_max).await;
        match begun.on(event.clone())? {
            PurchaseAction::Keep(_) => {}
            PurchaseAction::Nothing => {
                let failed = Outcome::Failed {
                    reason: reason.clone(),
                };
                begun.settle(failed).await?;
                return Err(Error::NotPaid { reason });
            }
            PurchaseAction::LookUp(_) | PurchaseAction::Pay { .. } | PurchaseAction::Record(_) => {
                return self.look_up_once(payer, begun, reason).await;
            }
        }
        let PurchaseEvent::Settled { preimage, fee } = event else {
            return Err(doubt(&begun.order, &reason));
        };
        Ok(self.keep_bought(begun, Receipt { preimage, fee }).await)
    }

    /// Asks the wallet to pay, and what that means for the purchase.
    async fn ask(
        &self,
        payer: &dyn Payer,
        invoice: Invoice,
        fee_max: Msat,
    ) -> (PurchaseEvent, String) {
        let payment = payer.pay(PaymentTerms {
            invoice,
            fee_max,
            timeout: self.policy.pay_timeout,
        });
        match tokio::time::timeout(self.pay_deadline(), payment).await {
            Ok(Ok(paid)) => {
                let (preimage, fee) = (paid.preimage, paid.fee);
                let reason = "the wallet's preimage does not match".to_owned();
                (PurchaseEvent::Settled { preimage, fee }, reason)
            }
            Ok(Err(PayError::Failed { reason })) => (PurchaseEvent::Failed, reason),
            Ok(Err(PayError::Unknown { reason })) => (PurchaseEvent::Lost, reason),
            Err(_elapsed) => {
                let reason = "the wallet did not answer in time".to_owned();
                (PurchaseEvent::Lost, reason)
            }
        }
    }

    /// Records the doubt, then asks once whether the wallet knows by now.
    async fn look_up_once(
        &self,
        payer: &dyn Payer,
        mut begun: Begun,
        reason: String,
    ) -> Result<StoredToken, Error> {
        let in_doubt = Outcome::InDoubt {
            reason: reason.clone(),
        };
        // Unrecorded, the doubt reads as begun with nobody at it, which means the same.
        let _ = begun.settle(in_doubt).await;
        match payer.lookup(begun.order.payment_hash).await {
            Ok(Some(PaymentState::Settled(paid))) => {
                let (preimage, fee) = (paid.preimage, paid.fee);
                let event = PurchaseEvent::Settled {
                    preimage: preimage.clone(),
                    fee,
                };
                match begun.on(event)? {
                    PurchaseAction::Keep(_) => {
                        Ok(self.keep_bought(begun, Receipt { preimage, fee }).await)
                    }
                    PurchaseAction::LookUp(_)
                    | PurchaseAction::Nothing
                    | PurchaseAction::Pay { .. }
                    | PurchaseAction::Record(_) => Err(doubt(&begun.order, &reason)),
                }
            }
            Ok(Some(PaymentState::Failed { reason })) => {
                let failed = Outcome::Failed {
                    reason: reason.clone(),
                };
                begun.settle(failed).await?;
                Err(Error::NotPaid { reason })
            }
            Ok(Some(PaymentState::InFlight) | None) | Err(_) => Err(doubt(&begun.order, &reason)),
        }
    }

    /// Records the payment and stores the credential. It is usable even if the disk is not:
    /// the record from before the payment is then enough to look it up again.
    async fn keep_bought(&self, begun: Begun, receipt: Receipt) -> StoredToken {
        let order = &begun.order;
        self.tell(&Event::Paid {
            payment_hash: order.payment_hash,
            price: order.price,
            fee: receipt.fee,
            fee_max: order.fee_max,
        });
        begun.flight.hold_back(order.payment_hash);
        let recorded = begun.settle(Outcome::Paid(receipt.clone())).await;
        let stored = self.keep(&begun.journal, order, &receipt).await;
        if let Err(error) = recorded.and(stored.map(|_token| ())) {
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
    ) -> Result<StoredToken, StorageError> {
        let token = StoredToken::bought(order, receipt);
        let (store, journal, kept) = (self.store.clone(), journal.clone(), token.clone());
        on_disk(move || {
            store.put(&kept)?;
            journal.mark_kept(&kept.payment_hash())?;
            Ok::<_, StorageError>(())
        })
        .await?;
        self.tell(&Event::Kept {
            payment_hash: order.payment_hash,
        });
        Ok(token)
    }

    /// How long a wallet is waited for: what it was given, and what its answer may take.
    fn pay_deadline(&self) -> Duration {
        self.policy.pay_timeout.saturating_add(ANSWER_MARGIN)
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

/// How much longer than its own timeout a wallet may take to answer.
const ANSWER_MARGIN: Duration = Duration::from_secs(30);
