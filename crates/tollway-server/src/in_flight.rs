//! Requests that are being served, counted by token.
//!
//! A token is a bearer secret: its holder could otherwise fill the gate, the ledger and
//! the service with requests at once. Both bounds are per token, so that those of one do not
//! hold up another's: how many requests are served at a time, and how many of them wait for a
//! use to be reserved.
//!
//! The count of a token lives as long as one of its requests, or its place among the remembered
//! credentials. A request of a remembered credential counts with one atomic addition.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use l402::TokenId;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::rejection::TooManyRequests;

/// The requests of all tokens.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    tokens: Mutex<Tokens>,
}

#[derive(Debug, Default)]
struct Tokens {
    by_id: HashMap<TokenId, Weak<TokenRequests>>,
    /// How many there may be before those without requests are removed.
    swept_at: usize,
}

impl InFlight {
    /// Returns the requests of one token.
    pub(crate) fn of(&self, token: TokenId) -> Arc<TokenRequests> {
        // Every change under this lock is a single step, so a poisoned one guards a whole value.
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(requests) = tokens.by_id.get(&token).and_then(Weak::upgrade) {
            return requests;
        }
        if tokens.by_id.len() >= tokens.swept_at {
            tokens
                .by_id
                .retain(|_, requests| requests.strong_count() > 0);
            tokens.swept_at = tokens.by_id.len().saturating_mul(2).max(SWEPT_AT_MIN);
        }
        let requests = Arc::new(TokenRequests::new());
        tokens.by_id.insert(token, Arc::downgrade(&requests));
        requests
    }
}

/// The requests of one token.
#[derive(Debug)]
pub(crate) struct TokenRequests {
    count: AtomicU32,
    /// One permit for each reservation of a use that may be waited for.
    reserving: Semaphore,
}

impl TokenRequests {
    const fn new() -> Self {
        Self {
            count: AtomicU32::new(0),
            reserving: Semaphore::const_new(RESERVING_MAX),
        }
    }

    /// Counts one more request until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// [`TooManyRequests`] when there are `max` already.
    pub(crate) fn begin(
        self: Arc<Self>,
        max: Option<NonZeroU32>,
    ) -> Result<RequestInFlight, TooManyRequests> {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let begun = RequestInFlight(self);
        match max {
            Some(max) if before >= max.get() => Err(TooManyRequests { max }),
            Some(_) | None => Ok(begun),
        }
    }

    /// Waits for a permit to reserve the use of a request, in order of arrival. The permit is given
    /// back when it is dropped.
    pub(crate) async fn reserve_permit(&self) -> Option<SemaphorePermit<'_>> {
        self.reserving.acquire().await.ok()
    }
}

/// One request that is being served.
#[derive(Debug)]
#[must_use = "the request counts until this is dropped"]
pub(crate) struct RequestInFlight(Arc<TokenRequests>);

impl RequestInFlight {
    pub(crate) fn requests(&self) -> &TokenRequests {
        &self.0
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A sixteenth of what a ledger lets wait, and enough for a whole transaction.
const RESERVING_MAX: usize = 64;
const SWEPT_AT_MIN: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: TokenId = TokenId::new([1; 32]);
    const TWO: NonZeroU32 = NonZeroU32::new(2).expect("2 is not zero");

    #[test]
    fn a_request_counts_until_it_is_dropped() {
        let in_flight = InFlight::default();
        let begin = |token| in_flight.of(token).begin(Some(TWO));
        let first = begin(TOKEN).unwrap();
        let _second = begin(TOKEN).unwrap();

        assert_eq!(begin(TOKEN).unwrap_err(), TooManyRequests { max: TWO });
        assert!(begin(TokenId::new([2; 32])).is_ok());
        drop(first);
        assert!(begin(TOKEN).is_ok());
    }

    #[test]
    fn tokens_without_requests_are_forgotten() {
        let in_flight = InFlight::default();
        let kept = in_flight.of(TOKEN);
        for number in 0..100_000_u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            drop(in_flight.of(TokenId::new(id)));
        }

        assert!(in_flight.tokens.lock().unwrap().by_id.len() <= SWEPT_AT_MIN);
        assert!(Arc::ptr_eq(&kept, &in_flight.of(TOKEN)));
    }
}
