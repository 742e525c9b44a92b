//! How much may a buyer still spend?
//!
//! A limit counts what could be spent: price and fee ceiling are set aside together before
//! anything is paid, and stay set aside until the payment is known to have settled or
//! failed. Checking and setting aside are one step, so two purchases cannot both fit into
//! the last satoshi. Losing track of a payment therefore costs budget, never money.

use std::collections::BTreeMap;

use crate::amount::Msat;
use crate::hash::PaymentHash;
use crate::time::UnixSeconds;

/// What a buyer is willing to spend. `None` is no limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The highest price of one request, in millisatoshis, fees not included.
    pub price_max: Msat,
    /// The most that routing one payment may cost on top, in millisatoshis.
    pub fee_max: Msat,
    /// The most that may ever go to one host, fees included.
    pub per_host: Option<Msat>,
    /// The most that may be spent in one UTC day, fees included.
    pub per_day: Option<Msat>,
    /// The most that may ever be spent, fees included.
    pub total: Option<Msat>,
}

/// Which limit stands in the way. The budget is unchanged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OverLimit {
    /// The day's total would pass the limit.
    #[error(
        "{needed} with its fee ceiling would pass the daily limit of {limit}: {used} are spent or set aside today"
    )]
    Daily {
        /// Price and fee ceiling.
        needed: Msat,
        /// Spent or set aside on this UTC day.
        used: Msat,
        /// The limit.
        limit: Msat,
    },
    /// The host's total would pass the limit.
    #[error(
        "{needed} with its fee ceiling would pass the limit of {limit} for {host}: {used} are spent or set aside"
    )]
    Host {
        /// The host.
        host: String,
        /// Price and fee ceiling.
        needed: Msat,
        /// Spent or set aside for this host.
        used: Msat,
        /// The limit.
        limit: Msat,
    },
    /// The price of this one request is too high.
    #[error("price {price} is over the limit of {limit} for one request")]
    Price {
        /// The price asked.
        price: Msat,
        /// The limit.
        limit: Msat,
    },
    /// The total would pass the limit.
    #[error(
        "{needed} with its fee ceiling would pass the total limit of {limit}: {used} are spent or set aside"
    )]
    Total {
        /// Price and fee ceiling.
        needed: Msat,
        /// Spent or set aside in all.
        used: Msat,
        /// The limit.
        limit: Msat,
    },
}

/// What was spent and what is set aside, against [`Limits`].
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    total: Msat,
    by_day: BTreeMap<u64, Msat>,
    by_host: BTreeMap<String, Msat>,
    open: BTreeMap<PaymentHash, Reserved>,
}

#[derive(Clone, Debug)]
struct Reserved {
    host: String,
    day: u64,
    price: Msat,
    amount: Msat,
}

impl Budget {
    /// Nothing spent yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            total: Msat::ZERO,
            by_day: BTreeMap::new(),
            by_host: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// The limits it keeps.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Everything spent or set aside, fees included.
    pub const fn used(&self) -> Msat {
        self.total
    }

    /// Counts money that earlier runs spent or set aside, whatever the limits say now.
    ///
    /// `utc_day` is the [day](UnixSeconds::utc_day) it counts against.
    pub(crate) fn count_earlier(&mut self, host: &str, utc_day: u64, amount: Msat) {
        let earlier = Reserved {
            host: host.to_owned(),
            day: utc_day,
            price: amount,
            amount,
        };
        self.count(&earlier, amount, Msat::ZERO);
    }

    /// Sets aside `price` and the fee ceiling until the payment settles or fails.
    ///
    /// Both are in millisatoshis. `now` only selects the UTC day, so a clock that steps
    /// backwards is harmless.
    ///
    /// # Errors
    ///
    /// [`OverLimit`] names the limit in the way; the budget is then unchanged and the caller
    /// must not pay.
    ///
    /// # Specification
    ///
    /// L402 `protocol-specification.md`, Client Flow (row 36 in `docs/spec.md`).
    pub(crate) fn reserve(
        &mut self,
        hash: PaymentHash,
        host: &str,
        price: Msat,
        now: UnixSeconds,
    ) -> Result<(), OverLimit> {
        let limit = self.limits.price_max;
        let needed = price
            .checked_add(self.limits.fee_max)
            .ok_or(OverLimit::Price { price, limit })?;
        if price > limit {
            return Err(OverLimit::Price { price, limit });
        }
        let day = now.utc_day();
        let used = self.total;
        if let Some(limit) = exceeded(self.limits.total, used, needed) {
            return Err(OverLimit::Total {
                needed,
                used,
                limit,
            });
        }
        let used = amount_in(&self.by_day, &day);
        if let Some(limit) = exceeded(self.limits.per_day, used, needed) {
            return Err(OverLimit::Daily {
                needed,
                used,
                limit,
            });
        }
        let used = amount_in(&self.by_host, host);
        if let Some(limit) = exceeded(self.limits.per_host, used, needed) {
            return Err(OverLimit::Host {
                host: host.to_owned(),
                needed,
                used,
                limit,
            });
        }
        self.reserve_unchecked(hash, host, price, needed, now);
        Ok(())
    }

    /// Sets aside what an earlier run had already set aside, whatever the limits say now.
    pub(crate) fn reserve_unchecked(
        &mut self,
        hash: PaymentHash,
        host: &str,
        price: Msat,
        amount: Msat,
        now: UnixSeconds,
    ) {
        let reserved = Reserved {
            host: host.to_owned(),
            day: now.utc_day(),
            price,
            amount,
        };
        self.count(&reserved, amount, Msat::ZERO);
        self.open.insert(hash, reserved);
    }

    /// Counts a settled payment at what it cost and gives back the rest of its reservation.
    pub(crate) fn settle(&mut self, hash: &PaymentHash, fee: Msat) {
        if let Some(reserved) = self.open.remove(hash) {
            let spent = reserved.price.checked_add(fee).unwrap_or(Msat::MAX);
            self.count(&reserved, spent, reserved.amount);
        }
    }

    /// Gives a reservation back: no money moved.
    pub(crate) fn release(&mut self, hash: &PaymentHash) {
        if let Some(reserved) = self.open.remove(hash) {
            self.count(&reserved, Msat::ZERO, reserved.amount);
        }
    }

    /// Replaces `less` by `more` in every total the reservation counts in.
    fn count(&mut self, reserved: &Reserved, more: Msat, less: Msat) {
        let replace = |sum: Msat| {
            let rest = sum.checked_sub(less).unwrap_or(Msat::ZERO);
            rest.checked_add(more).unwrap_or(Msat::MAX)
        };
        self.total = replace(self.total);
        let day = self.by_day.entry(reserved.day).or_insert(Msat::ZERO);
        *day = replace(*day);
        let host = self
            .by_host
            .entry(reserved.host.clone())
            .or_insert(Msat::ZERO);
        *host = replace(*host);
    }
}

fn amount_in<K: Ord + std::borrow::Borrow<Q>, Q: Ord + ?Sized>(
    sums: &BTreeMap<K, Msat>,
    key: &Q,
) -> Msat {
    sums.get(key).copied().unwrap_or(Msat::ZERO)
}

/// The limit, if `needed` more would pass it.
fn exceeded(limit: Option<Msat>, used: Msat, needed: Msat) -> Option<Msat> {
    limit.filter(|limit| used.checked_add(needed).is_none_or(|sum| sum > *limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixSeconds = UnixSeconds::new(43_200);
    const TOMORROW: UnixSeconds = NOON.plus_secs(86_400);

    fn sat(amount: u64) -> Msat {
        Msat::from_sat(amount).unwrap()
    }

    fn hash(byte: u8) -> PaymentHash {
        PaymentHash::new([byte; 32])
    }

    fn limits() -> Limits {
        Limits {
            price_max: sat(100),
            fee_max: sat(1),
            per_host: None,
            per_day: None,
            total: None,
        }
    }

    #[test]
    fn the_fee_ceiling_counts_against_the_limit() {
        let mut budget = Budget::new(Limits {
            per_day: Some(sat(10)),
            ..limits()
        });

        let refused = budget.reserve(hash(1), "a", sat(10), NOON);

        assert_eq!(
            refused,
            Err(OverLimit::Daily {
                needed: sat(11),
                used: Msat::ZERO,
                limit: sat(10)
            })
        );
        assert!(
            budget.reserve(hash(1), "a", sat(9), NOON).is_ok(),
            "refusal must not spend"
        );
    }

    #[test]
    fn what_is_set_aside_is_not_available_twice() {
        let mut budget = Budget::new(Limits {
            total: Some(sat(20)),
            ..limits()
        });
        budget.reserve(hash(1), "a", sat(15), NOON).unwrap();

        assert!(matches!(
            budget.reserve(hash(2), "a", sat(15), NOON),
            Err(OverLimit::Total { .. })
        ));
        budget.release(&hash(1));
        assert!(budget.reserve(hash(2), "a", sat(15), NOON).is_ok());
    }

    #[test]
    fn settling_gives_back_the_unused_fee_only() {
        let mut budget = Budget::new(limits());
        budget.reserve(hash(1), "a", sat(10), NOON).unwrap();
        budget.settle(&hash(1), Msat::from_msat(3));
        budget.settle(&hash(1), sat(1));
        budget.release(&hash(1));

        assert_eq!(budget.used(), Msat::from_msat(10_003));
    }

    #[test]
    fn days_and_hosts_count_apart() {
        let mut budget = Budget::new(Limits {
            per_day: Some(sat(30)),
            per_host: Some(sat(25)),
            ..limits()
        });
        budget.reserve(hash(1), "a", sat(20), NOON).unwrap();

        assert!(matches!(
            budget.reserve(hash(2), "b", sat(20), NOON),
            Err(OverLimit::Daily { .. })
        ));
        assert!(matches!(
            budget.reserve(hash(2), "a", sat(20), TOMORROW),
            Err(OverLimit::Host { .. })
        ));
        assert!(budget.reserve(hash(2), "b", sat(20), TOMORROW).is_ok());
    }

    #[test]
    fn what_earlier_runs_spent_counts_in_every_limit() {
        let day = NOON.utc_day();
        for limits in [
            Limits {
                total: Some(sat(30)),
                ..limits()
            },
            Limits {
                per_day: Some(sat(30)),
                ..limits()
            },
            Limits {
                per_host: Some(sat(30)),
                ..limits()
            },
        ] {
            let mut budget = Budget::new(limits);
            budget.count_earlier("a", day, sat(20));

            assert!(budget.reserve(hash(1), "a", sat(10), NOON).is_err());
            assert!(budget.reserve(hash(1), "a", sat(9), NOON).is_ok());
        }
    }

    #[test]
    fn earlier_spending_beyond_all_sense_leaves_no_room() {
        let mut budget = Budget::new(Limits {
            total: Some(sat(30)),
            ..limits()
        });
        budget.count_earlier("a", 0, Msat::MAX);
        budget.count_earlier("a", 0, Msat::MAX);

        assert!(budget.reserve(hash(1), "b", sat(1), TOMORROW).is_err());
    }

    #[test]
    fn amounts_that_do_not_fit_are_refused() {
        let everything = Limits {
            price_max: Msat::MAX,
            fee_max: sat(1),
            ..limits()
        };
        let mut budget = Budget::new(Limits {
            total: Some(Msat::MAX),
            ..everything
        });

        assert!(matches!(
            budget.reserve(hash(1), "a", Msat::MAX, NOON),
            Err(OverLimit::Price { .. })
        ));
        assert_eq!(budget.used(), Msat::ZERO);
    }
}
