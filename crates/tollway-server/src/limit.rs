//! Challenge limit: how many invoices one network may ask for.
//!
//! Asking is free and every challenge costs the wallet an invoice, so each network gets a
//! steady rate and a burst. The memory is fixed before the first request: a grid of
//! [`ROWS`] × [`COLUMNS`] clocks, half a mebibyte, however many clients ask.
//!
//! A network owns one clock in every row, chosen by a keyed hash that clients cannot predict.
//! A challenge advances all of them to one interval past the *earliest*, which is the one
//! shared with the fewest strangers (a count-min sketch with conservative update, whose cells
//! are GCRA clocks). The error is one-sided: a network is never granted more than its share,
//! and is refused wrongly only when strangers exhausted its clock in every row at once. With
//! 1,000 hostile networks that happens to about one in 70,000 others; with 10,000 to one in
//! twenty, by when the bound on invoices in flight is what protects the wallet.
//!
//! Nothing is stored per network, so nothing has to be evicted and no eviction can be gamed.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use l402::UnixSeconds;

use crate::peer::PeerNetwork;

/// How many challenges one client network may be given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChallengeLimit {
    /// Challenges per minute, sustained; more than one a millisecond counts as that.
    pub per_minute: NonZeroU32,
    /// Challenges at once after a rest.
    pub burst: NonZeroU32,
    /// Whether clients on this machine are counted.
    pub loopback: Loopback,
}

/// Two a second, sixty at once, loopback included.
impl Default for ChallengeLimit {
    fn default() -> Self {
        Self {
            per_minute: NonZeroU32::new(120).expect("120 is not zero"),
            burst: NonZeroU32::new(60).expect("60 is not zero"),
            loopback: Loopback::Limited,
        }
    }
}

/// Whether clients on this machine share a limit like every other network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loopback {
    /// Not counted: for tests, benchmarks and a proxy that limits in front.
    Exempt,
    /// Counted as one network. A reverse proxy that hides its clients is one, too.
    Limited,
}

/// A network has had its share of challenges.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many challenges for one network: the next is due in {retry_after_secs} s")]
pub struct TooManyChallenges {
    /// Whole seconds until the next challenge is due; at least 1.
    pub retry_after_secs: u64,
}

/// The shares of all networks, in fixed memory.
#[derive(Debug)]
pub(crate) struct ChallengeLimiter {
    limit: ChallengeLimit,
    interval_ms: u64,
    burst_ms: u64,
    hasher: RandomState,
    /// A plain lock: it is held for a few loads and stores, and what follows is an invoice.
    due: Mutex<Box<[u64]>>,
}

impl ChallengeLimiter {
    pub(crate) fn new(limit: ChallengeLimit) -> Self {
        let interval_ms = MS_PER_MINUTE
            .div_ceil(u64::from(limit.per_minute.get()))
            .max(1);
        Self {
            limit,
            interval_ms,
            burst_ms: interval_ms.saturating_mul(u64::from(limit.burst.get())),
            hasher: RandomState::new(),
            due: Mutex::new(vec![0; ROWS.saturating_mul(COLUMNS)].into_boxed_slice()),
        }
    }

    /// Takes one challenge out of the share of `network`.
    pub(crate) fn take(
        &self,
        network: PeerNetwork,
        now: UnixSeconds,
    ) -> Result<(), TooManyChallenges> {
        if network == PeerNetwork::Loopback && self.limit.loopback == Loopback::Exempt {
            return Ok(());
        }
        let now_ms = now.as_secs().saturating_mul(MS_PER_SEC);
        let horizon_ms = now_ms.saturating_add(self.burst_ms);
        let cells = self.cells(network);
        // Clocks hold valid times after any panic, so a poisoned lock is as usable as any.
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);

        let earliest_ms = cells
            .iter()
            .filter_map(|&cell| due.get(cell).copied())
            // A clock past the horizon was written before the machine's clock stepped back.
            .map(|ms| {
                if ms > horizon_ms {
                    now_ms
                } else {
                    ms.max(now_ms)
                }
            })
            .min()
            .unwrap_or(now_ms);
        let next_ms = earliest_ms.saturating_add(self.interval_ms);
        if next_ms > horizon_ms {
            let wait_ms = next_ms.saturating_sub(horizon_ms);
            return Err(TooManyChallenges {
                retry_after_secs: wait_ms.div_ceil(MS_PER_SEC),
            });
        }
        for cell in cells {
            if let Some(ms) = due.get_mut(cell)
                && (*ms < next_ms || *ms > horizon_ms)
            {
                *ms = next_ms;
            }
        }
        Ok(())
    }

    /// The clocks of one network: one in each row.
    fn cells(&self, network: PeerNetwork) -> [usize; ROWS] {
        let hash = self.hasher.hash_one(network).to_le_bytes();
        std::array::from_fn(|row| {
            let pair = row.saturating_mul(2);
            let low = hash.get(pair).copied().unwrap_or(0);
            let high = hash.get(pair.saturating_add(1)).copied().unwrap_or(0);
            let column = usize::from(u16::from_le_bytes([low, high])) % COLUMNS;
            row.saturating_mul(COLUMNS).saturating_add(column)
        })
    }
}

/// Each row reads its own 16 bits of one 64-bit hash.
const ROWS: usize = 4;
const COLUMNS: usize = 1 << 14;
const MS_PER_SEC: u64 = 1_000;
const MS_PER_MINUTE: u64 = 60_000;

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "small numbers of our own choosing"
)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_granted_and_the_next_challenge_is_not() {
        let limiter = limiter(60, 5);

        assert_eq!(grants(&limiter, stranger(1), NOON, 10), 5);
        assert_eq!(
            limiter.take(stranger(1), NOON),
            Err(TooManyChallenges {
                retry_after_secs: 1
            })
        );
    }

    #[test]
    fn a_share_fills_up_again_at_the_rate_and_never_past_the_burst() {
        let limiter = limiter(60, 5);
        grants(&limiter, stranger(1), NOON, 5);

        assert_eq!(grants(&limiter, stranger(1), NOON.plus_secs(2), 10), 2);
        assert_eq!(grants(&limiter, stranger(1), NOON.plus_secs(9_999), 10), 5);
    }

    #[test]
    fn the_wait_named_is_long_enough() {
        let limiter = limiter(2, 1);
        limiter.take(stranger(1), NOON).unwrap();

        let refused = limiter.take(stranger(1), NOON).unwrap_err();

        assert_eq!(refused.retry_after_secs, 30);
        assert!(limiter.take(stranger(1), NOON.plus_secs(29)).is_err());
        assert!(limiter.take(stranger(1), NOON.plus_secs(30)).is_ok());
    }

    #[test]
    fn one_greedy_network_does_not_starve_the_others() {
        let limiter = limiter(60, 5);
        grants(&limiter, stranger(0), NOON, 10_000);

        // Sharing a clock in all four rows has a chance of 2^-56 each.
        for other in 1..2_000 {
            assert!(limiter.take(stranger(other), NOON).is_ok(), "{other}");
        }
    }

    #[test]
    fn a_thousand_greedy_networks_refuse_hardly_anybody_else() {
        let limiter = limiter(60, 1);
        for greedy in 0..1_000 {
            grants(&limiter, stranger(greedy), NOON, 3);
        }

        // A fresh network writes its own clocks, too: each is asked of a limiter as it stands.
        let refused = (1_000..1_200)
            .filter(|&other| limiter.take(stranger(other), NOON).is_err())
            .count();

        // Expected: 200 in 50,000 or so; ten would be a broken hash.
        assert!(refused < 10, "{refused} of 200 refused");
    }

    #[test]
    fn loopback_is_limited_unless_exempt() {
        let limited = limiter(60, 5);
        let exempt = ChallengeLimiter::new(ChallengeLimit {
            loopback: Loopback::Exempt,
            ..limited.limit
        });

        assert_eq!(grants(&limited, PeerNetwork::Loopback, NOON, 10), 5);
        assert_eq!(grants(&exempt, PeerNetwork::Loopback, NOON, 10), 10);
        assert_eq!(grants(&exempt, stranger(1), NOON, 10), 5);
    }

    #[test]
    fn a_clock_that_steps_back_does_not_lock_anybody_out() {
        let limiter = limiter(60, 5);
        grants(&limiter, stranger(1), NOON.plus_secs(86_400), 5);

        assert!(limiter.take(stranger(1), NOON).is_ok());
    }

    #[test]
    fn the_memory_is_the_same_after_a_hundred_thousand_networks() {
        let limiter = limiter(60, 5);
        let before = limiter.due.lock().unwrap().len();
        for network in 0..100_000 {
            let _taken_or_not = limiter.take(stranger(network), NOON);
        }

        assert_eq!(limiter.due.lock().unwrap().len(), before);
        assert_eq!(before * size_of::<u64>(), 512 * 1024);
    }

    proptest! {
        #[test]
        fn no_network_is_ever_granted_more_than_burst_and_rate_allow(
            per_minute in 1_u32..2_000,
            burst in 1_u32..50,
            steps in prop::collection::vec((0_u64..30, 1_u32..60), 1..40),
        ) {
            let limiter = limiter(per_minute, burst);
            let mut now = NOON;
            let mut granted = 0_u64;
            for (wait_secs, asked) in steps {
                now = now.plus_secs(wait_secs);
                granted += grants(&limiter, stranger(7), now, asked);
            }

            let earned = now.secs_since(NOON) * u64::from(per_minute) / 60;
            prop_assert!(granted <= u64::from(burst) + earned, "{granted} granted");
        }
    }

    const NOON: UnixSeconds = UnixSeconds::new(1_800_000_000);

    fn limiter(per_minute: u32, burst: u32) -> ChallengeLimiter {
        ChallengeLimiter::new(ChallengeLimit {
            per_minute: NonZeroU32::new(per_minute).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
            loopback: Loopback::Limited,
        })
    }

    fn stranger(number: u32) -> PeerNetwork {
        let address = Ipv4Addr::from(number << 8 | 1);
        PeerNetwork::of(IpAddr::V4(address))
    }

    fn grants(
        limiter: &ChallengeLimiter,
        network: PeerNetwork,
        now: UnixSeconds,
        asked: u32,
    ) -> u64 {
        (0..asked)
            .filter(|_| limiter.take(network, now).is_ok())
            .count() as u64
    }
}
