//! The journal's records, added up.
//!
//! Pure: replaying the same records gives the same book. A record that cannot follow
//! from the ones before it is refused, because guessing would guess about money.

use std::collections::BTreeMap;

use l402::{Msat, PaymentHash};

use super::entry::{EntryState, Order, Receipt};
use super::record::{self, Begun, Hash, Record};
use super::session::SessionId;

/// Every purchase still listed, and the sums of those that are not.
#[derive(Debug, Default)]
pub(super) struct Book {
    pages: BTreeMap<PaymentHash, Page>,
    tallies: BTreeMap<(String, u64), Msat>,
}

/// One purchase as recorded.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) order: Order,
    pub(super) state: EntryState,
    pub(super) session: SessionId,
}

/// Money that counts against the limits of a host and a day.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Charge {
    /// The host it went, or may go, to.
    pub host: String,
    /// The UTC day it counts against.
    pub utc_day: u64,
    /// Price and fee, in millisatoshis; the fee ceiling while the fee is not known.
    pub amount: Msat,
    /// Whether it is gone.
    pub kind: ChargeKind,
}

/// Whether charged money is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChargeKind {
    /// May yet be spent, or come back.
    Reserved,
    /// Spent.
    Spent,
}

/// What one record changes in a book it has been checked against.
pub(super) enum Change {
    Page(Box<Page>),
    Tally { key: (String, u64), sum: Msat },
}

impl Book {
    /// What `record` changes, if it can follow from the ones before it.
    pub(super) fn check(&self, record: &Record) -> Result<Change, &'static str> {
        match record {
            Record::Begun(begun) => self.begin(begun),
            Record::InDoubt { hash, reason } => {
                let reason = reason.clone();
                self.change(hash, |from| step(from, EntryState::InDoubt { reason }))
            }
            Record::Failed { hash, reason } => {
                let reason = reason.clone();
                self.change(hash, |from| step(from, EntryState::Failed { reason }))
            }
            Record::Paid {
                hash,
                preimage,
                fee_msat,
            } => {
                let preimage = record::read_preimage(preimage)?;
                if !preimage.matches(&hash.0) {
                    return Err("the preimage does not match the payment hash");
                }
                let fee = Msat::from_msat(*fee_msat);
                let paid = EntryState::Paid(Receipt { preimage, fee });
                self.change(hash, |from| step(from, paid))
            }
            Record::Kept { hash } => self.change(hash, keep),
            Record::Tally {
                host,
                utc_day,
                spent_msat,
            } => Ok(self.tally((host.clone(), *utc_day), Msat::from_msat(*spent_msat))),
        }
    }

    /// Makes a change that was checked against this book as it is.
    pub(super) fn commit(&mut self, change: Change) {
        match change {
            Change::Page(page) => {
                self.pages.insert(page.order.payment_hash, *page);
            }
            Change::Tally { key, sum } => {
                self.tallies.insert(key, sum);
            }
        }
    }

    /// Adds one record.
    pub(super) fn apply(&mut self, record: &Record) -> Result<(), &'static str> {
        let change = self.check(record)?;
        self.commit(change);
        Ok(())
    }

    pub(super) fn page(&self, hash: &PaymentHash) -> Option<&Page> {
        self.pages.get(hash)
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = &Page> {
        self.pages.values()
    }

    /// Everything that counts against a limit.
    pub(super) fn charges(&self) -> Vec<Charge> {
        let tallied = self.tallies.iter().map(|((host, utc_day), amount)| Charge {
            host: host.clone(),
            utc_day: *utc_day,
            amount: *amount,
            kind: ChargeKind::Spent,
        });
        tallied
            .chain(self.pages.values().filter_map(charge))
            .collect()
    }

    /// The fewest records that add up to this book: finished purchases become sums, by
    /// host and day for `today` and later, by host alone for earlier days.
    pub(super) fn compacted(&self, today: u64) -> Vec<Record> {
        let mut sums = Self::default();
        for ((host, utc_day), spent) in &self.tallies {
            let key = (host.clone(), fold_day(*utc_day, today));
            sums.commit(sums.tally(key, *spent));
        }
        let mut listed = Vec::new();
        for page in self.pages.values() {
            match &page.state {
                EntryState::Begun | EntryState::InDoubt { .. } | EntryState::Paid(_) => {
                    listed.extend(page.records());
                }
                EntryState::Failed { .. } => {}
                EntryState::Kept(_) => {
                    if let Some(spent) = charge(page) {
                        let key = (spent.host, fold_day(spent.utc_day, today));
                        sums.commit(sums.tally(key, spent.amount));
                    }
                }
            }
        }
        let tallies = sums.tallies.into_iter();
        let tallies = tallies.map(|((host, utc_day), spent)| Record::Tally {
            host,
            utc_day,
            spent_msat: spent.as_msat(),
        });
        tallies.chain(listed).collect()
    }

    fn begin(&self, begun: &Begun) -> Result<Change, &'static str> {
        let (order, session) = begun.read()?;
        let is_free = self
            .page(&order.payment_hash)
            .is_none_or(|page| matches!(page.state, EntryState::Failed { .. }));
        if !is_free {
            return Err("this payment hash was begun before and did not fail");
        }
        Ok(Change::Page(Box::new(Page {
            order,
            state: EntryState::Begun,
            session,
        })))
    }

    fn change(
        &self,
        hash: &Hash,
        next: impl FnOnce(&EntryState) -> Result<EntryState, &'static str>,
    ) -> Result<Change, &'static str> {
        let page = self
            .page(&hash.0)
            .ok_or("no purchase of this payment hash was begun")?;
        Ok(Change::Page(Box::new(Page {
            state: next(&page.state)?,
            ..page.clone()
        })))
    }

    fn tally(&self, key: (String, u64), spent: Msat) -> Change {
        let before = self.tallies.get(&key).copied().unwrap_or(Msat::ZERO);
        // More than can exist is over every limit, which is the safe reading.
        let sum = before.checked_add(spent).unwrap_or(Msat::MAX);
        Change::Tally { key, sum }
    }
}

impl Page {
    /// The records that lead to this page.
    fn records(&self) -> Vec<Record> {
        let hash = Hash(self.order.payment_hash);
        let mut records = vec![Record::Begun(Begun::new(&self.order, &self.session))];
        match &self.state {
            EntryState::Begun => {}
            EntryState::InDoubt { reason } => records.push(Record::InDoubt {
                hash,
                reason: reason.clone(),
            }),
            EntryState::Failed { reason } => records.push(Record::Failed {
                hash,
                reason: reason.clone(),
            }),
            EntryState::Paid(receipt) => records.push(paid(hash, receipt)),
            EntryState::Kept(receipt) => {
                records.extend([paid(hash, receipt), Record::Kept { hash }]);
            }
        }
        records
    }
}

/// The record of a settled payment.
pub(super) fn paid(hash: Hash, receipt: &Receipt) -> Record {
    Record::Paid {
        hash,
        preimage: receipt.preimage.expose_hex(),
        fee_msat: receipt.fee.as_msat(),
    }
}

/// A settled payment stays settled. A failure may be corrected by proof, never repeated as doubt.
fn step(from: &EntryState, to: EntryState) -> Result<EntryState, &'static str> {
    match (from, &to) {
        (EntryState::Begun | EntryState::InDoubt { .. }, _)
        | (EntryState::Failed { .. }, EntryState::Paid(_)) => Ok(to),
        (EntryState::Failed { .. } | EntryState::Paid(_) | EntryState::Kept(_), _) => {
            Err("the purchase had ended before")
        }
    }
}

fn keep(from: &EntryState) -> Result<EntryState, &'static str> {
    match from {
        EntryState::Paid(receipt) | EntryState::Kept(receipt) => {
            Ok(EntryState::Kept(receipt.clone()))
        }
        EntryState::Begun | EntryState::InDoubt { .. } | EntryState::Failed { .. } => {
            Err("a purchase that was not paid has no token to keep")
        }
    }
}

fn charge(page: &Page) -> Option<Charge> {
    let (beyond_price, kind) = match &page.state {
        EntryState::Begun | EntryState::InDoubt { .. } => {
            (page.order.fee_max, ChargeKind::Reserved)
        }
        EntryState::Failed { .. } => return None,
        EntryState::Paid(receipt) | EntryState::Kept(receipt) => (receipt.fee, ChargeKind::Spent),
    };
    Some(Charge {
        host: page.order.origin.host().to_owned(),
        utc_day: page.order.begun_at.utc_day(),
        // More than can exist is over every limit, which is the safe reading.
        amount: page
            .order
            .price
            .checked_add(beyond_price)
            .unwrap_or(Msat::MAX),
        kind,
    })
}

/// Days before `today` no longer matter apart; the last of them stands for all.
fn fold_day(utc_day: u64, today: u64) -> u64 {
    utc_day.max(today.saturating_sub(1))
}
