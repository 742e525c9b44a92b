//! What has been noted and not been written yet, added up.
//!
//! A busy token is one row however many requests it bought, so a batch costs what it names,
//! not what it counts. Numbers are the database's signed 64-bit ones from here on: a note that
//! did not fit would otherwise hold up all the others.

use std::collections::HashMap;

use l402::{PaymentHash, TokenId, UnixSeconds};

use crate::ledger::{GrantedEvent, RefusedEvent};
use crate::name::ServiceName;
use crate::reason::ReasonCode;

#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) tokens: HashMap<TokenId, TokenUpdate>,
    pub(super) requests: HashMap<(ServiceName, i64), i64>,
    pub(super) refusals: HashMap<(ServiceName, ReasonCode, i64), i64>,
    /// The time of the latest event.
    pub(super) latest: Option<i64>,
}

/// What is new about one token. The price is `None` when unknown, or beyond all money.
#[derive(Debug)]
pub(super) struct TokenUpdate {
    pub(super) payment_hash: PaymentHash,
    pub(super) service: ServiceName,
    pub(super) paid_msat: Option<i64>,
    pub(super) first_used_at: UnixSeconds,
    pub(super) last_used_at: UnixSeconds,
    pub(super) requests: i64,
    pub(super) uses_max: Option<i64>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.refusals.is_empty()
    }

    /// True when no more should be taken in before this is written.
    pub(super) fn is_full(&self) -> bool {
        self.tokens.len() >= TOKENS_MAX
    }

    pub(super) fn grant(&mut self, granted: GrantedEvent) {
        self.latest = self.latest.max(moment(granted.at));
        let of_the_day = (granted.service.clone(), day(granted.at));
        let requests = saturated(granted.requests.take());
        add(self.requests.entry(of_the_day).or_default(), requests);
        let noted = self.tokens.entry(granted.token).or_insert(TokenUpdate {
            payment_hash: granted.payment_hash,
            service: granted.service,
            paid_msat: granted
                .paid
                .and_then(|paid| i64::try_from(paid.as_msat()).ok()),
            first_used_at: granted.at,
            last_used_at: granted.at,
            requests: 0,
            uses_max: granted.uses_max.map(|max| saturated(max.get())),
        });
        noted.last_used_at = noted.last_used_at.max(granted.at);
        add(&mut noted.requests, requests);
    }

    pub(super) fn refuse(&mut self, refused: RefusedCounts) {
        self.latest = self.latest.max(refused.latest);
        for (key, count) in refused.counts {
            add(self.refusals.entry(key).or_default(), count);
        }
    }
}

/// Refusals since they were last fetched, by service, reason and day.
///
/// They are counted where they happen and not queued: strangers cause them, and a queue they
/// could fill would push out the payments of others.
#[derive(Debug, Default)]
pub(super) struct RefusedCounts {
    counts: HashMap<(ServiceName, ReasonCode, i64), i64>,
    latest: Option<i64>,
}

impl RefusedCounts {
    pub(super) fn count(&mut self, refused: RefusedEvent) {
        self.latest = self.latest.max(moment(refused.at));
        let key = (refused.service, refused.reason, day(refused.at));
        add(self.counts.entry(key).or_default(), 1);
    }
}

/// The nearest number the database can hold.
pub(super) fn saturated(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The day a moment belongs to, as the database counts it.
pub(super) fn day(at: UnixSeconds) -> i64 {
    saturated(at.utc_day())
}

/// A moment as the database has it; `None` for the reading of a broken clock.
fn moment(at: UnixSeconds) -> Option<i64> {
    i64::try_from(at.as_secs()).ok()
}

fn add(sum: &mut i64, count: i64) {
    *sum = sum.saturating_add(count);
}

/// Reached only while the disk refuses to be written to.
const TOKENS_MAX: usize = 65_536;
