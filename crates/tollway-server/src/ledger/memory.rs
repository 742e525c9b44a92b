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

use super::{Ledger, LedgerError, Note, Refusals, Revocation, Sales, TokenRecord, Use};
use crate::offer::ServiceName;
use crate::refusal::ReasonCode;

/// A [`Ledger`] in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    shards: [Mutex<Shard>; SHARDS],
    services: Mutex<Services>,
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
    fn note(&self, note: Note) {
        match note {
            Note::Granted {
                token,
                payment_hash,
                service,
                paid,
                at,
            } => {
                let record = TokenRecord {
                    payment_hash,
                    service: service.clone(),
                    paid,
                    first_used_at: at,
                    last_used_at: at,
                    requests: 1,
                };
                let first_use = self.shard(&token).count(token, record);
                lock(&self.services).granted(service, first_use.then_some(paid));
            }
            Note::Refused {
                service, reason, ..
            } => lock(&self.services).refused(service, reason),
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
        let sales = lock(&self.services).sales.values().cloned().collect();
        Box::pin(future::ready(Ok(sales)))
    }

    fn refusals(&self) -> BoxFuture<'_, Result<Vec<Refusals>, LedgerError>> {
        let refusals = lock(&self.services).refusals();
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
    used: HashMap<TokenId, u64>,
}

impl Shard {
    /// Counts a request; true when it is the token's first.
    fn count(&mut self, token: TokenId, record: TokenRecord) -> bool {
        match self.records.entry(token) {
            Entry::Vacant(vacant) => {
                vacant.insert(record);
                true
            }
            Entry::Occupied(mut occupied) => {
                let known = occupied.get_mut();
                known.requests = known.requests.saturating_add(1);
                known.last_used_at = known.last_used_at.max(record.last_used_at);
                false
            }
        }
    }

    fn consume(&mut self, token: TokenId, uses_max: NonZeroU64) -> Use {
        let used = self.used.entry(token).or_default();
        match uses_max.get().checked_sub(*used) {
            None | Some(0) => Use::Exhausted,
            Some(left) => {
                *used = used.saturating_add(1);
                Use::Taken {
                    left: left.saturating_sub(1),
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Services {
    sales: BTreeMap<ServiceName, Sales>,
    refusals: BTreeMap<(ServiceName, ReasonCode), u64>,
}

impl Services {
    /// Counts a request, and a payment when there was one.
    fn granted(&mut self, service: ServiceName, payment: Option<Option<Msat>>) {
        let sales = self
            .sales
            .entry(service)
            .or_insert_with_key(|service| Sales {
                service: service.clone(),
                payments: 0,
                revenue: Msat::ZERO,
                unpriced: 0,
                requests: 0,
            });
        sales.requests = sales.requests.saturating_add(1);
        let Some(paid) = payment else { return };
        sales.payments = sales.payments.saturating_add(1);
        match paid.and_then(|paid| sales.revenue.checked_add(paid)) {
            Some(revenue) => sales.revenue = revenue,
            None => sales.unpriced = sales.unpriced.saturating_add(1),
        }
    }

    fn refused(&mut self, service: ServiceName, reason: ReasonCode) {
        let count = self.refusals.entry((service, reason)).or_default();
        *count = count.saturating_add(1);
    }

    fn refusals(&self) -> Vec<Refusals> {
        self.refusals
            .iter()
            .map(|((service, reason), &count)| Refusals {
                service: service.clone(),
                reason: reason.as_str().to_owned(),
                count,
            })
            .collect()
    }
}

/// Every change under these locks is a single step, so a poisoned one guards whole books.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const SHARDS: usize = 16;
