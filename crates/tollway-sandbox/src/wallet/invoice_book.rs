//! The invoices of a wallet, and whether a payment for one may be claimed.
//!
//! The book itself neither reads a clock nor talks to a node. [`Invoices`] is the book
//! behind a lock, with a signal for its subscribers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use l402::{Msat, PaymentHash, Preimage, UnixSeconds};
use tokio::sync::watch;

use super::invoice::{InvoiceCursor, InvoiceRecord, InvoiceStatus, InvoiceUpdate};
use super::page::{Direction, Page};
use crate::sync::lock;

/// Every invoice, in the order it was added.
#[derive(Debug, Default)]
pub(super) struct InvoiceBook {
    /// Each is stored `Open` or `Settled`; `Canceled` is a matter of the reader's time.
    records: Vec<InvoiceRecord>,
    by_hash: HashMap<PaymentHash, usize>,
    /// Paid, and not yet reported as received by the node.
    claiming: HashSet<PaymentHash>,
    /// Places in `records`, in the order they were settled.
    settled: Vec<usize>,
}

/// Why a payment must be sent back.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum NotClaimable {
    #[error("the invoice is expired")]
    Expired,
    #[error("the invoice is paid")]
    Paid,
    #[error("the amount is less than asked for")]
    TooLittle,
    #[error("no such invoice")]
    Unknown,
}

impl InvoiceBook {
    /// Adds an invoice under the next add index, and returns the record; `None` when the book has
    /// its hash already.
    pub(super) fn add(&mut self, mut record: InvoiceRecord) -> Option<InvoiceRecord> {
        if self.by_hash.contains_key(&record.hash) {
            return None;
        }
        record.add_index = index_after(self.records.len());
        self.by_hash.insert(record.hash, self.records.len());
        self.records.push(record.clone());
        Some(record)
    }

    pub(super) fn contains(&self, hash: &PaymentHash) -> bool {
        self.by_hash.contains_key(hash)
    }

    pub(super) fn get(&self, hash: &PaymentHash, now: UnixSeconds) -> Option<InvoiceRecord> {
        let place = self.by_hash.get(hash)?;
        Some(self.seen_at(self.records.get(*place)?, now))
    }

    /// The invoices added after the one with add index `after`.
    pub(super) fn list(&self, after: u64, limit: usize, now: UnixSeconds) -> Vec<InvoiceRecord> {
        let page = Page {
            offset: after,
            limit,
            direction: Direction::Forward,
        };
        self.page(page, now, &|_, _| true)
    }

    /// One page of those invoices that are `wanted`, given their status at `now`, oldest first.
    /// Only the page is cloned.
    pub(super) fn page(
        &self,
        page: Page,
        now: UnixSeconds,
        wanted: &dyn Fn(&InvoiceRecord, &InvoiceStatus) -> bool,
    ) -> Vec<InvoiceRecord> {
        page.of(self.records.len(), |index| {
            let record = self.records.get(index)?;
            let status = self.status_at(record, now);
            wanted(record, status).then(|| self.seen_at(record, now))
        })
    }

    pub(super) fn cursor(&self) -> InvoiceCursor {
        InvoiceCursor {
            add_index: count(self.records.len()),
            settle_index: count(self.settled.len()),
        }
    }

    /// The first change after `cursor`, additions first, and moves the cursor past it.
    pub(super) fn change_after(&self, cursor: &mut InvoiceCursor) -> Option<InvoiceUpdate> {
        let place = |index: u64| usize::try_from(index).ok();
        if let Some(added) = self.records.get(place(cursor.add_index)?) {
            cursor.add_index = added.add_index;
            let mut record = added.clone();
            record.status = InvoiceStatus::Open;
            return Some(InvoiceUpdate::Added(record));
        }
        let settled = self.settled.get(place(cursor.settle_index)?)?;
        let record = self.records.get(*settled)?.clone();
        cursor.settle_index = cursor.settle_index.saturating_add(1);
        Some(InvoiceUpdate::Settled(record))
    }

    /// Decides on a payment that has arrived in full: its preimage, or why not.
    ///
    /// From then on the invoice counts as being paid, and a second payment is refused.
    pub(super) fn claim(
        &mut self,
        hash: &PaymentHash,
        arrived: Msat,
        now: UnixSeconds,
    ) -> Result<Preimage, NotClaimable> {
        let place = self.by_hash.get(hash).ok_or(NotClaimable::Unknown)?;
        let record = self.records.get(*place).ok_or(NotClaimable::Unknown)?;
        if record.status != InvoiceStatus::Open || self.claiming.contains(hash) {
            return Err(NotClaimable::Paid);
        }
        if now >= record.expires_at() {
            return Err(NotClaimable::Expired);
        }
        if record.amount.is_some_and(|asked| arrived < asked) {
            return Err(NotClaimable::TooLittle);
        }
        self.claiming.insert(*hash);
        Ok(record.preimage.clone())
    }

    /// Records that the money of a claimed payment is ours.
    pub(super) fn settle(&mut self, hash: &PaymentHash, received: Msat, now: UnixSeconds) {
        if !self.claiming.remove(hash) {
            return;
        }
        let settle_index = index_after(self.settled.len());
        let Some(place) = self.by_hash.get(hash).copied() else {
            return;
        };
        if let Some(record) = self.records.get_mut(place) {
            self.settled.push(place);
            record.status = InvoiceStatus::Settled {
                settle_index,
                settled_at: now,
                received,
            };
        }
    }

    fn seen_at(&self, record: &InvoiceRecord, now: UnixSeconds) -> InvoiceRecord {
        let mut seen = record.clone();
        seen.status = self.status_at(record, now).clone();
        seen
    }

    fn status_at<'a>(&self, record: &'a InvoiceRecord, now: UnixSeconds) -> &'a InvoiceStatus {
        let expired = now >= record.expires_at() && !self.claiming.contains(&record.hash);
        if expired && record.status == InvoiceStatus::Open {
            &InvoiceStatus::Canceled
        } else {
            &record.status
        }
    }
}

/// A book of invoices that others can follow.
#[derive(Debug)]
pub(super) struct Invoices {
    book: Mutex<InvoiceBook>,
    changed: watch::Sender<Feed>,
}

/// Whether subscriptions go on; marked as changed for each change in the book.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Feed {
    Open,
    Closed,
}

impl Invoices {
    pub(super) fn new() -> Self {
        Self {
            book: Mutex::new(InvoiceBook::default()),
            changed: watch::channel(Feed::Open).0,
        }
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&InvoiceBook) -> T) -> T {
        look(&lock(&self.book))
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut InvoiceBook) -> T) -> T {
        let result = change(&mut lock(&self.book));
        self.changed
            .send_if_modified(|changed| *changed == Feed::Open);
        result
    }

    /// Ends every subscription once it has seen what is there.
    pub(super) fn stop(&self) {
        self.changed.send_replace(Feed::Closed);
    }

    pub(super) fn follow(self: &Arc<Self>, from: InvoiceCursor) -> InvoiceUpdates {
        InvoiceUpdates {
            invoices: Arc::clone(self),
            cursor: from,
            changed: self.changed.subscribe(),
        }
    }
}

/// The changes in the book of invoices, in the order of their indexes.
#[derive(Debug)]
pub struct InvoiceUpdates {
    invoices: Arc<Invoices>,
    cursor: InvoiceCursor,
    changed: watch::Receiver<Feed>,
}

impl InvoiceUpdates {
    /// The next change, waiting for it; `None` once the network has stopped.
    ///
    /// Dropping the future loses nothing: the next call gives the same change.
    pub async fn next(&mut self) -> Option<InvoiceUpdate> {
        loop {
            // Before looking, so that what happens after the look is seen.
            let changed = *self.changed.borrow_and_update();
            let cursor = &mut self.cursor;
            if let Some(update) = self.invoices.read(|book| book.change_after(cursor)) {
                return Some(update);
            }
            if changed == Feed::Closed {
                return None;
            }
            self.changed.changed().await.ok()?;
        }
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn index_after(len: usize) -> u64 {
    count(len).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::InvoiceDescription;

    const NOON: UnixSeconds = UnixSeconds::new(43_200);

    #[test]
    fn a_payment_of_an_unknown_expired_or_smaller_invoice_goes_back() {
        let mut book = InvoiceBook::default();
        let hash = book.add(invoice(1)).unwrap().hash;
        let unknown = Preimage::new([9; 32]).payment_hash();

        let refused = |book: &mut InvoiceBook, hash, amount, now| book.claim(hash, amount, now);
        assert_eq!(
            refused(&mut book, &unknown, sat(1), NOON),
            Err(NotClaimable::Unknown)
        );
        assert_eq!(
            refused(&mut book, &hash, Msat::from_msat(999), NOON),
            Err(NotClaimable::TooLittle)
        );
        assert_eq!(
            refused(&mut book, &hash, sat(1), NOON.plus_secs(60)),
            Err(NotClaimable::Expired)
        );
        assert!(book.claim(&hash, sat(1), NOON.plus_secs(59)).is_ok());
    }

    #[test]
    fn an_invoice_is_claimed_once() {
        let mut book = InvoiceBook::default();
        let hash = book.add(invoice(1)).unwrap().hash;
        book.claim(&hash, sat(1), NOON).unwrap();

        assert_eq!(book.claim(&hash, sat(1), NOON), Err(NotClaimable::Paid));
        book.settle(&hash, sat(1), NOON);
        assert_eq!(book.claim(&hash, sat(1), NOON), Err(NotClaimable::Paid));

        book.settle(&hash, sat(1), NOON);
        assert_eq!(book.cursor().settle_index, 1, "settled twice");
    }

    #[test]
    fn a_payment_that_arrived_in_time_keeps_its_invoice_open() {
        let mut book = InvoiceBook::default();
        let hash = book.add(invoice(1)).unwrap().hash;
        let late = NOON.plus_secs(60);
        assert_eq!(
            book.get(&hash, late).unwrap().status,
            InvoiceStatus::Canceled
        );

        book.claim(&hash, sat(1), NOON).unwrap();

        assert_eq!(book.get(&hash, late).unwrap().status, InvoiceStatus::Open);
    }

    #[test]
    fn what_was_never_claimed_is_never_settled() {
        let mut book = InvoiceBook::default();
        let hash = book.add(invoice(1)).unwrap().hash;

        book.settle(&hash, sat(1), NOON);

        assert_eq!(book.get(&hash, NOON).unwrap().status, InvoiceStatus::Open);
    }

    #[test]
    fn a_hash_is_in_the_book_once() {
        let mut book = InvoiceBook::default();
        book.add(invoice(1)).unwrap();

        assert_eq!(book.add(invoice(1)), None);
        assert_eq!(book.cursor().add_index, 1);
        assert_eq!(book.list(0, 9, NOON).len(), 1);
        assert_eq!(book.list(1, 9, NOON), []);
    }

    #[test]
    fn a_cursor_sees_every_change_once_and_additions_open() {
        let mut book = InvoiceBook::default();
        let first = book.add(invoice(1)).unwrap();
        let second = book.add(invoice(2)).unwrap();
        book.claim(&second.hash, sat(1), NOON).unwrap();
        book.settle(&second.hash, sat(1), NOON);
        let paid = book.get(&second.hash, NOON).unwrap();

        let mut cursor = InvoiceCursor::default();
        let changes: Vec<_> = std::iter::from_fn(|| book.change_after(&mut cursor)).collect();

        let expected = [
            InvoiceUpdate::Added(first),
            InvoiceUpdate::Added(second),
            InvoiceUpdate::Settled(paid),
        ];
        assert_eq!(changes, expected);
        assert_eq!(cursor, book.cursor());
    }

    fn invoice(seed: u8) -> InvoiceRecord {
        let preimage = Preimage::new([seed; 32]);
        InvoiceRecord {
            add_index: 0,
            description: InvoiceDescription::Memo("tea".into()),
            hash: preimage.payment_hash(),
            preimage,
            payment_secret: [0; 32],
            amount: Some(sat(1)),
            created_at: NOON,
            expiry_secs: 60,
            cltv_delta: 80,
            bolt11: "lnbcrt".into(),
            status: InvoiceStatus::Open,
        }
    }

    fn sat(sat: u64) -> Msat {
        Msat::from_sat(sat).unwrap()
    }
}
