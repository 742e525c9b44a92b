//! What has been noted and not been written yet, added up.
//!
//! A busy token is one row however many requests it bought, so a batch costs what it names,
//! not what it counts. Numbers are the database's signed 64-bit ones from here on: a note that
//! did not fit would otherwise hold up all the others.

use std::collections::HashMap;

use l402::{PaymentHash, TokenId, UnixSeconds};

use crate::ledger::Note;
use crate::offer::ServiceName;
use crate::refusal::ReasonCode;

#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) tokens: HashMap<TokenId, TokenNote>,
    pub(super) requests: HashMap<(ServiceName, i64), i64>,
    pub(super) refusals: HashMap<(ServiceName, ReasonCode, i64), i64>,
}

/// What is new about one token. The price is `None` when unknown, or beyond all money.
#[derive(Debug)]
pub(super) struct TokenNote {
    pub(super) payment_hash: PaymentHash,
    pub(super) service: ServiceName,
    pub(super) paid_msat: Option<i64>,
    pub(super) first_used_at: UnixSeconds,
    pub(super) last_used_at: UnixSeconds,
    pub(super) requests: i64,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.refusals.is_empty()
    }

    /// True when no more should be taken in before this is written.
    pub(super) fn is_full(&self) -> bool {
        self.tokens.len() >= TOKENS_MAX
    }

    pub(super) fn add(&mut self, note: Note) {
        match note {
            Note::Granted {
                token,
                payment_hash,
                service,
                paid,
                at,
            } => {
                add_one(self.requests.entry((service.clone(), day(at))).or_default());
                let noted = self.tokens.entry(token).or_insert_with(|| TokenNote {
                    payment_hash,
                    service,
                    paid_msat: paid.and_then(|paid| i64::try_from(paid.as_msat()).ok()),
                    first_used_at: at,
                    last_used_at: at,
                    requests: 0,
                });
                noted.last_used_at = noted.last_used_at.max(at);
                add_one(&mut noted.requests);
            }
            Note::Refused {
                service,
                reason,
                at,
            } => add_one(self.refusals.entry((service, reason, day(at))).or_default()),
        }
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

fn add_one(count: &mut i64) {
    *count = count.saturating_add(1);
}

/// Reached only while the disk refuses to be written to.
const TOKENS_MAX: usize = 65_536;
