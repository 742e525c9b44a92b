//! The payments of a wallet.
//!
//! This book is why nothing is paid twice: a payment is in it, in flight, before anything
//! leaves the node, and a hash that is in flight or paid is refused. It neither reads a
//! clock nor talks to a node.

use std::collections::HashMap;

use l402::{Msat, PaymentHash, Preimage};
use tokio::sync::watch;

use super::page::{Direction, Page};
use super::payment::{
    Attempt, AttemptStatus, FailureReason, PaymentRecord, PaymentStatus, SendError,
};

/// Every payment, in the order it was begun.
#[derive(Debug, Default)]
pub(super) struct PaymentBook {
    entries: HashMap<PaymentHash, Entry>,
    /// Every hash by its payment index. A hash begun again is here twice.
    order: Vec<PaymentHash>,
    attempts: u64,
    stopped: bool,
}

#[derive(Debug)]
enum Entry {
    /// In flight; watched through the channel that holds it.
    Open(watch::Sender<PaymentRecord>),
    /// Ended, or left as it was when the network stopped.
    Closed(Box<PaymentRecord>),
}

impl PaymentBook {
    /// Begins a payment, unless its hash is in flight or paid.
    ///
    /// One that failed is begun again, under a new index, as LND does.
    pub(super) fn begin(&mut self, mut record: PaymentRecord) -> Result<PaymentWatch, SendError> {
        let hash = record.hash;
        if self.stopped {
            return Err(SendError::Stopped);
        }
        match self.entries.get(&hash).map(Entry::status) {
            Some(PaymentStatus::InFlight) => return Err(SendError::InFlight { hash }),
            Some(PaymentStatus::Succeeded { .. }) => return Err(SendError::AlreadyPaid { hash }),
            Some(PaymentStatus::Failed(_)) | None => {}
        }
        self.order.push(hash);
        record.payment_index = u64::try_from(self.order.len()).unwrap_or(u64::MAX);
        let (sender, receiver) = watch::channel(record);
        self.entries.insert(hash, Entry::Open(sender));
        Ok(PaymentWatch { receiver })
    }

    pub(super) fn get(&self, hash: &PaymentHash) -> Option<PaymentRecord> {
        self.entries.get(hash).map(Entry::record)
    }

    pub(super) fn watch(&self, hash: &PaymentHash) -> Option<PaymentWatch> {
        let receiver = match self.entries.get(hash)? {
            Entry::Open(sender) => sender.subscribe(),
            Entry::Closed(record) => watch::channel(record.as_ref().clone()).1,
        };
        Some(PaymentWatch { receiver })
    }

    /// The payments begun after the one with payment index `after`.
    pub(super) fn list(&self, after: u64, limit: usize) -> Vec<PaymentRecord> {
        let page = Page {
            offset: after,
            limit,
            direction: Direction::Forward,
        };
        self.page(page, &|_| true)
    }

    /// One page of those payments that are `wanted`, oldest first. Only the page is cloned.
    pub(super) fn page(
        &self,
        page: Page,
        wanted: &dyn Fn(&PaymentRecord) -> bool,
    ) -> Vec<PaymentRecord> {
        page.of(self.order.len(), |index| {
            let hash = self.order.get(index)?;
            let number = u64::try_from(index).ok()?.saturating_add(1);
            // A failed payment that was begun again is listed under its new index only.
            let listed = |record: &PaymentRecord| record.payment_index == number && wanted(record);
            self.entries.get(hash)?.record_if(&listed)
        })
    }

    /// How many payments there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Notes the routes about to be tried.
    pub(super) fn attempt(&mut self, hash: &PaymentHash, attempts: Vec<Attempt>) {
        let numbered: Vec<Attempt> = attempts
            .into_iter()
            .map(|mut attempt| {
                self.attempts = self.attempts.saturating_add(1);
                attempt.id = self.attempts;
                attempt
            })
            .collect();
        self.edit(hash, |record| record.attempts.extend(numbered));
    }

    /// Notes that every route tried so far has failed, and the payment goes on.
    pub(super) fn attempts_failed(&mut self, hash: &PaymentHash, at_nanos: u64) {
        self.edit(hash, |record| {
            end_attempts(record, AttemptStatus::Failed { at_nanos });
        });
    }

    pub(super) fn succeed(
        &mut self,
        hash: &PaymentHash,
        preimage: Preimage,
        fee: Msat,
        at_nanos: u64,
    ) {
        self.edit(hash, |record| {
            end_attempts(record, AttemptStatus::Succeeded { at_nanos });
            record.status = PaymentStatus::Succeeded { preimage, fee };
        });
        self.close(hash);
    }

    pub(super) fn fail(&mut self, hash: &PaymentHash, reason: FailureReason, at_nanos: u64) {
        self.edit(hash, |record| {
            end_attempts(record, AttemptStatus::Failed { at_nanos });
            record.status = PaymentStatus::Failed(reason);
        });
        self.close(hash);
    }

    /// Begins nothing more, and ends every watch.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        for entry in self.entries.values_mut() {
            *entry = Entry::Closed(Box::new(entry.record()));
        }
    }

    /// Changes a payment in flight. One that has ended stays as it is.
    fn edit(&mut self, hash: &PaymentHash, change: impl FnOnce(&mut PaymentRecord)) {
        if let Some(Entry::Open(sender)) = self.entries.get(hash) {
            sender.send_modify(change);
        }
    }

    fn close(&mut self, hash: &PaymentHash) {
        if let Some(entry) = self.entries.get_mut(hash) {
            *entry = Entry::Closed(Box::new(entry.record()));
        }
    }
}

impl Entry {
    fn record(&self) -> PaymentRecord {
        match self {
            Self::Closed(record) => record.as_ref().clone(),
            Self::Open(sender) => sender.borrow().clone(),
        }
    }

    fn record_if(&self, wanted: &dyn Fn(&PaymentRecord) -> bool) -> Option<PaymentRecord> {
        match self {
            Self::Closed(record) => wanted(record).then(|| record.as_ref().clone()),
            Self::Open(sender) => {
                let record = sender.borrow();
                wanted(&record).then(|| record.clone())
            }
        }
    }

    fn status(&self) -> PaymentStatus {
        match self {
            Self::Closed(record) => record.status.clone(),
            Self::Open(sender) => sender.borrow().status.clone(),
        }
    }
}

fn end_attempts(record: &mut PaymentRecord, end: AttemptStatus) {
    for attempt in &mut record.attempts {
        if attempt.status == AttemptStatus::InFlight {
            attempt.status = end;
        }
    }
}

/// A view of one payment that can be waited on.
#[derive(Clone, Debug)]
pub struct PaymentWatch {
    receiver: watch::Receiver<PaymentRecord>,
}

impl PaymentWatch {
    /// The payment as it stands.
    #[must_use]
    pub fn current(&self) -> PaymentRecord {
        self.receiver.borrow().clone()
    }

    /// The payment after its next change; `None` when it has ended and was seen.
    ///
    /// Changes in quick succession are seen as one. Dropping the future loses nothing.
    pub async fn changed(&mut self) -> Option<PaymentRecord> {
        self.receiver.changed().await.ok()?;
        Some(self.receiver.borrow_and_update().clone())
    }

    /// The payment once it has succeeded or failed.
    ///
    /// A payment still in flight when the network stops is returned as it stands.
    pub async fn ended(mut self) -> PaymentRecord {
        let ended = |record: &PaymentRecord| record.status != PaymentStatus::InFlight;
        match self.receiver.wait_for(ended).await {
            Ok(record) => return record.clone(),
            Err(_stopped) => {}
        }
        self.current()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use bitcoin::secp256k1::PublicKey;

    #[test]
    fn a_hash_in_flight_or_paid_is_not_begun_again() {
        let mut book = PaymentBook::default();
        let hash = payment(1).hash;
        book.begin(payment(1)).unwrap();

        assert_eq!(
            book.begin(payment(1)).unwrap_err(),
            SendError::InFlight { hash }
        );

        book.succeed(&hash, Preimage::new([1; 32]), Msat::ZERO, 5);
        assert_eq!(
            book.begin(payment(1)).unwrap_err(),
            SendError::AlreadyPaid { hash }
        );
        book.fail(&hash, FailureReason::Error, 6);
        let paid = book.get(&hash).unwrap();
        assert!(
            matches!(paid.status, PaymentStatus::Succeeded { .. }),
            "undone"
        );
    }

    #[test]
    fn a_failed_payment_begun_again_is_listed_once_and_last() {
        let mut book = PaymentBook::default();
        let hash = payment(1).hash;
        book.begin(payment(1)).unwrap();
        book.fail(&hash, FailureReason::NoRoute, 5);
        book.begin(payment(2)).unwrap();
        book.begin(payment(1)).unwrap();

        let listed: Vec<_> = book
            .list(0, 9)
            .iter()
            .map(|p| (p.payment_index, p.hash))
            .collect();

        assert_eq!(listed, [(2, payment(2).hash), (3, hash)]);
        assert_eq!(book.list(2, 9).len(), 1);
        assert_eq!(book.list(0, 1).len(), 1);
    }

    #[test]
    fn attempts_end_with_their_payment_and_are_numbered_apart() {
        let mut book = PaymentBook::default();
        let hash = payment(1).hash;
        book.begin(payment(1)).unwrap();
        book.attempt(&hash, vec![attempt()]);
        book.attempts_failed(&hash, 3);
        book.attempt(&hash, vec![attempt(), attempt()]);
        book.succeed(&hash, Preimage::new([1; 32]), Msat::ZERO, 5);

        let attempts = book.get(&hash).unwrap().attempts;

        let ids: HashSet<u64> = attempts.iter().map(|attempt| attempt.id).collect();
        assert_eq!(ids.len(), 3);
        let ends: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
        let taken = AttemptStatus::Succeeded { at_nanos: 5 };
        assert_eq!(ends, [AttemptStatus::Failed { at_nanos: 3 }, taken, taken]);
    }

    #[tokio::test]
    async fn a_watch_sees_the_end_however_late_it_is_made() {
        let mut book = PaymentBook::default();
        let hash = payment(1).hash;
        let early = book.begin(payment(1)).unwrap();
        book.fail(&hash, FailureReason::Timeout, 5);
        let mut late = book.watch(&hash).unwrap();

        let failed = PaymentStatus::Failed(FailureReason::Timeout);
        assert_eq!(early.ended().await.status, failed);
        assert_eq!(late.current().status, failed);
        assert_eq!(late.changed().await, None);
        assert_eq!(late.ended().await.status, failed);
    }

    #[tokio::test]
    async fn stopping_leaves_a_payment_in_flight_and_begins_no_other() {
        let mut book = PaymentBook::default();
        let watch = book.begin(payment(1)).unwrap();

        book.stop();

        assert_eq!(watch.ended().await.status, PaymentStatus::InFlight);
        assert_eq!(book.begin(payment(2)).unwrap_err(), SendError::Stopped);
    }

    fn payment(seed: u8) -> PaymentRecord {
        PaymentRecord {
            payment_index: 0,
            hash: Preimage::new([seed; 32]).payment_hash(),
            bolt11: "lnbcrt".into(),
            destination: PublicKey::from_slice(&[2; 33]).unwrap(),
            amount: Msat::from_msat(1),
            created_at_nanos: 1,
            status: PaymentStatus::InFlight,
            attempts: Vec::new(),
        }
    }

    fn attempt() -> Attempt {
        Attempt {
            id: 0,
            sent_at_nanos: 2,
            total: Msat::from_msat(1),
            fee: Msat::ZERO,
            total_time_lock: 100,
            hops: Vec::new(),
            status: AttemptStatus::InFlight,
        }
    }
}
