//! A ledger that lasts as long as the process.
//!
//! For tests, demonstrations and services that count elsewhere. Revocations and counted uses
//! are lost at the end of the process: a seller of counted tokens needs a ledger on disk.
//!
//! Tokens are spread over shards so that two requests rarely want the same lock, and a lock is
//! held for one look into a map. Memory grows with tokens that were paid for and with days,
//! never with requests or with challenges.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::future;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use l402::{Msat, TokenId};

use super::{
    EventLog, GrantedEvent, LedgerError, LedgerEvent, Period, Refusals, Reports, Reservation,
    Reserved, Revocation, RevocationObserver, Revocations, Sales, TokenRecord, Uses,
};
use crate::name::ServiceName;
use crate::reason::ReasonCode;

/// A [`Ledger`](super::Ledger) in memory.
#[derive(Default)]
pub struct MemoryLedger {
    shards: [Mutex<Shard>; SHARDS],
    refusals: Mutex<BTreeMap<(ServiceName, ReasonCode, Day), u64>>,
    revocations: Mutex<BTreeSet<Revocation>>,
    observers: Mutex<Vec<RevocationObserver>>,
    reservations: AtomicI64,
}

impl MemoryLedger {
    /// Creates an empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn shard(&self, token: &TokenId) -> MutexGuard<'_, Shard> {
        let [.., last] = *token.as_bytes();
        let [shard, ..] = &self.shards;
        lock(self.shards.get(usize::from(last) % SHARDS).unwrap_or(shard))
    }
}

impl Uses for MemoryLedger {
    fn reserve(
        &self,
        token: TokenId,
        uses_max: NonZeroU64,
    ) -> BoxFuture<'_, Result<Reserved, LedgerError>> {
        // Made when polled: a future that is dropped before has reserved nothing.
        Box::pin(async move {
            let id = self.reservations.fetch_add(1, Ordering::Relaxed);
            let reservation = Reservation { token, id };
            Ok(self.shard(&token).reserve(reservation, uses_max))
        })
    }

    fn commit(&self, reservation: Reservation) -> BoxFuture<'_, Result<(), LedgerError>> {
        let committed = self.shard(&reservation.token).commit(reservation);
        Box::pin(future::ready(committed))
    }

    fn release(&self, reservation: Reservation) {
        let _was_held = self.shard(&reservation.token).release(reservation);
    }
}

impl Revocations for MemoryLedger {
    fn revoke(&self, revocation: Revocation) -> BoxFuture<'_, Result<(), LedgerError>> {
        lock(&self.revocations).insert(revocation);
        for observer in lock(&self.observers).iter() {
            observer(revocation);
        }
        Box::pin(future::ready(Ok(())))
    }

    fn all(&self) -> BoxFuture<'_, Result<Vec<Revocation>, LedgerError>> {
        let kept = lock(&self.revocations).iter().copied().collect();
        Box::pin(future::ready(Ok(kept)))
    }

    fn watch(&self, observer: RevocationObserver) {
        lock(&self.observers).push(observer);
    }
}

impl EventLog for MemoryLedger {
    fn record(&self, event: LedgerEvent) {
        match event {
            LedgerEvent::Granted(granted) => self.shard(&granted.token).grant(granted),
            LedgerEvent::Refused(refused) => {
                let key = (refused.service, refused.reason, refused.at.utc_day());
                add_one(lock(&self.refusals).entry(key).or_default());
            }
        }
    }

    fn dropped(&self) -> u64 {
        0
    }
}

impl Reports for MemoryLedger {
    fn sales(&self, period: Period) -> BoxFuture<'_, Result<Vec<Sales>, LedgerError>> {
        let mut sum: BTreeMap<ServiceName, Sales> = BTreeMap::new();
        for shard in &self.shards {
            for ((service, day), sales) in &lock(shard).sales {
                if *day >= period.first_day() {
                    let sum = sum.entry(service.clone());
                    add(sum.or_insert_with_key(none_of), sales);
                }
            }
        }
        Box::pin(future::ready(Ok(sum.into_values().collect())))
    }

    fn refusals(&self, period: Period) -> BoxFuture<'_, Result<Vec<Refusals>, LedgerError>> {
        let mut sum: BTreeMap<(ServiceName, ReasonCode), u64> = BTreeMap::new();
        for ((service, reason, day), count) in lock(&self.refusals).iter() {
            if *day >= period.first_day() {
                let sum = sum.entry((service.clone(), *reason)).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        let refusals = sum
            .into_iter()
            .map(|((service, reason), count)| Refusals {
                service,
                reason: reason.as_str().to_owned(),
                count,
            })
            .collect();
        Box::pin(future::ready(Ok(refusals)))
    }

    fn token(&self, token: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, LedgerError>> {
        let shard = self.shard(&token);
        let record = shard
            .records
            .get(&token)
            .map(|record| shard.with_uses(record));
        Box::pin(future::ready(Ok(record)))
    }

    fn tokens(
        &self,
        period: Period,
        count_max: usize,
    ) -> BoxFuture<'_, Result<Vec<TokenRecord>, LedgerError>> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let records = shard.records.values();
            let recent = records
                .filter(|record| record.first_used_at.utc_day() >= period.first_day())
                .map(|record| shard.with_uses(record));
            found.extend(recent);
        }
        found.sort_by_key(|record| (Reverse(record.first_used_at), *record.token.as_bytes()));
        found.truncate(count_max);
        Box::pin(future::ready(Ok(found)))
    }
}

/// A UTC day, counted from the epoch.
type Day = u64;

#[derive(Debug, Default)]
struct Shard {
    records: HashMap<TokenId, TokenRecord>,
    sales: HashMap<(ServiceName, Day), Sales>,
    uses: HashMap<TokenId, UseCount>,
}

/// The uses of one token. Few are reserved at once: one per request being served.
#[derive(Debug, Default)]
struct UseCount {
    committed: u64,
    reserved: Vec<i64>,
}

impl Shard {
    fn grant(&mut self, granted: GrantedEvent) {
        let key = (granted.service.clone(), granted.at.utc_day());
        let sales = self.sales.entry(key);
        let sales = sales.or_insert_with_key(|(service, _day)| none_of(service));
        let requests = granted.requests.take();
        sales.requests = sales.requests.saturating_add(requests);
        match self.records.entry(granted.token) {
            Entry::Vacant(vacant) => {
                count_payment(sales, granted.paid);
                vacant.insert(first_use(granted, requests));
            }
            Entry::Occupied(mut occupied) => {
                let known = occupied.get_mut();
                known.requests = known.requests.saturating_add(requests);
                known.last_used_at = known.last_used_at.max(granted.at);
            }
        }
    }

    fn with_uses(&self, record: &TokenRecord) -> TokenRecord {
        let uses = self.uses.get(&record.token);
        TokenRecord {
            uses: uses.map_or(0, |uses| uses.committed),
            ..record.clone()
        }
    }

    fn reserve(&mut self, reservation: Reservation, uses_max: NonZeroU64) -> Reserved {
        let count = self.uses.entry(reservation.token).or_default();
        let reserved = u64::try_from(count.reserved.len()).unwrap_or(u64::MAX);
        if count.committed >= uses_max.get() {
            Reserved::Exhausted
        } else if count.committed.saturating_add(reserved) >= uses_max.get() {
            Reserved::InUse
        } else {
            count.reserved.push(reservation.id);
            let taken = count.committed.saturating_add(reserved);
            Reserved::Held {
                reservation,
                left: uses_max.get().saturating_sub(taken).saturating_sub(1),
            }
        }
    }

    fn commit(&mut self, reservation: Reservation) -> Result<(), LedgerError> {
        if !self.release(reservation) {
            return Err(LedgerError::ReservationLost);
        }
        add_one(&mut self.uses.entry(reservation.token).or_default().committed);
        Ok(())
    }

    /// Returns whether the reservation was there.
    fn release(&mut self, reservation: Reservation) -> bool {
        let Some(count) = self.uses.get_mut(&reservation.token) else {
            return false;
        };
        let held = count.reserved.len();
        count.reserved.retain(|id| *id != reservation.id);
        count.reserved.len() < held
    }
}

fn first_use(granted: GrantedEvent, requests: u64) -> TokenRecord {
    TokenRecord {
        token: granted.token,
        payment_hash: granted.payment_hash,
        service: granted.service,
        paid: granted.paid,
        first_used_at: granted.at,
        last_used_at: granted.at,
        requests,
        // Read where it is counted.
        uses: 0,
        uses_max: granted.uses_max,
    }
}

fn none_of(service: &ServiceName) -> Sales {
    Sales {
        service: service.clone(),
        payments: 0,
        revenue: Msat::ZERO,
        unpriced: 0,
        requests: 0,
    }
}

/// What cannot be added to the revenue is counted as unpriced rather than forgotten.
fn count_payment(sales: &mut Sales, paid: Option<Msat>) {
    add_one(&mut sales.payments);
    match paid.and_then(|paid| sales.revenue.checked_add(paid)) {
        Some(revenue) => sales.revenue = revenue,
        None => add_one(&mut sales.unpriced),
    }
}

fn add(sum: &mut Sales, sales: &Sales) {
    sum.payments = sum.payments.saturating_add(sales.payments);
    sum.revenue = sum.revenue.checked_add(sales.revenue).unwrap_or(Msat::MAX);
    sum.unpriced = sum.unpriced.saturating_add(sales.unpriced);
    sum.requests = sum.requests.saturating_add(sales.requests);
}

fn add_one(count: &mut u64) {
    *count = count.saturating_add(1);
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger")
            .field("shards", &self.shards)
            .field("refusals", &self.refusals)
            .field("revocations", &self.revocations)
            .finish_non_exhaustive()
    }
}

/// Every change under these locks is a single step, so a poisoned one guards whole books.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const SHARDS: usize = 16;
