//! Books that last as long as the process.
//!
//! For tests, demonstrations and services that count elsewhere. A revocation or a counted use
//! is forgotten at the end of the process: whoever sells counted tokens for longer than that
//! needs a ledger on disk.
//!
//! Tokens are spread over shards so that two requests rarely want the same lock, and a lock is
//! held for one look into a map. Memory grows with tokens that were paid for, never with
//! requests or with challenges.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future;
use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use l402::{Msat, TokenId};

use super::{
    Event, GrantedEvent, Ledger, LedgerError, Refusals, Revocation, Sales, TokenRecord, Use,
};
use crate::name::ServiceName;
use crate::reason::ReasonCode;

/// A [`Ledger`] in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    shards: [Mutex<Shard>; SHARDS],
    refusals: Mutex<BTreeMap<(ServiceName, ReasonCode), u64>>,
    revocations: Mutex<BTreeSet<Revocation>>,
}

impl MemoryLedger {
    /// Empty books.
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

impl Ledger for MemoryLedger {
    fn record(&self, event: Event) {
        match event {
            Event::Granted(granted) => self.shard(&granted.token).grant(granted),
            Event::Refused(refused) => {
                let mut refusals = lock(&self.refusals);
                add_one(
                    refusals
                        .entry((refused.service, refused.reason))
                        .or_default(),
                );
            }
        }
    }

    fn dropped(&self) -> u64 {
        0
    }

    fn consume(
        &self,
        token: TokenId,
        uses_max: NonZeroU64,
    ) -> BoxFuture<'_, Result<Use, LedgerError>> {
        let taken = self.shard(&token).consume(token, uses_max);
        Box::pin(future::ready(Ok(taken)))
    }

    fn revoke(&self, revocation: Revocation) -> BoxFuture<'_, Result<(), LedgerError>> {
        lock(&self.revocations).insert(revocation);
        Box::pin(future::ready(Ok(())))
    }

    fn revocations(&self) -> BoxFuture<'_, Result<Vec<Revocation>, LedgerError>> {
        let kept = lock(&self.revocations).iter().copied().collect();
        Box::pin(future::ready(Ok(kept)))
    }

    fn sales(&self) -> BoxFuture<'_, Result<Vec<Sales>, LedgerError>> {
        let mut sum: BTreeMap<ServiceName, Sales> = BTreeMap::new();
        for shard in &self.shards {
            for (service, sales) in &lock(shard).sales {
                add(
                    sum.entry(service.clone())
                        .or_insert_with(|| none_of(service)),
                    sales,
                );
            }
        }
        Box::pin(future::ready(Ok(sum.into_values().collect())))
    }

    fn refusals(&self) -> BoxFuture<'_, Result<Vec<Refusals>, LedgerError>> {
        let refusals = lock(&self.refusals)
            .iter()
            .map(|((service, reason), &count)| Refusals {
                service: service.clone(),
                reason: reason.as_str().to_owned(),
                count,
            })
            .collect();
        Box::pin(future::ready(Ok(refusals)))
    }

    fn token(&self, token: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, LedgerError>> {
        let record = self.shard(&token).records.get(&token).cloned();
        Box::pin(future::ready(Ok(record)))
    }
}

#[derive(Debug, Default)]
struct Shard {
    records: HashMap<TokenId, TokenRecord>,
    sales: HashMap<ServiceName, Sales>,
    used: HashMap<TokenId, u64>,
}

impl Shard {
    fn grant(&mut self, granted: GrantedEvent) {
        let service = granted.service.clone();
        let sales = self.sales.entry(service).or_insert_with_key(none_of);
        add_one(&mut sales.requests);
        match self.records.entry(granted.token) {
            Entry::Vacant(vacant) => {
                count_payment(sales, granted.paid);
                vacant.insert(first_use(granted));
            }
            Entry::Occupied(mut occupied) => {
                let known = occupied.get_mut();
                add_one(&mut known.requests);
                known.last_used_at = known.last_used_at.max(granted.at);
            }
        }
    }

    fn consume(&mut self, token: TokenId, uses_max: NonZeroU64) -> Use {
        let used = self.used.entry(token).or_default();
        match uses_max.get().checked_sub(*used) {
            None | Some(0) => Use::Exhausted,
            Some(left) => {
                add_one(used);
                Use::Taken {
                    left: left.saturating_sub(1),
                }
            }
        }
    }
}

fn first_use(granted: GrantedEvent) -> TokenRecord {
    TokenRecord {
        payment_hash: granted.payment_hash,
        service: granted.service,
        paid: granted.paid,
        first_used_at: granted.at,
        last_used_at: granted.at,
        requests: 1,
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

/// Every change under these locks is a single step, so a poisoned one guards whole books.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const SHARDS: usize = 16;
