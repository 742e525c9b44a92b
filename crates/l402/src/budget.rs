//! Spending limits.
//!
//! A limit counts what could be spent: price and fee ceiling are reserved together before
//! anything is paid, and stay reserved until the payment is known to have settled or failed.
//! Losing track of a payment therefore costs budget, never money.
//!
//! Pure: the sums are the caller's, who reads them and writes the reservation in one
//! transaction.

use crate::amount::Msat;

/// What a buyer is willing to spend. `None` is no limit.
///
/// A literal on purpose, as [`Charged`] is: what a buyer is not limited by is written down, and
/// code that sums the charges must supply each sum, so a new limit is a breaking change.
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

/// The limit that a purchase would pass.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OverLimit {
    /// The day's total would pass the limit.
    #[error(
        "{price} and up to {fee_max} of fee would pass the daily limit of {limit}, of which {used} are spent or reserved today"
    )]
    Daily {
        /// The price.
        price: Msat,
        /// The fee ceiling, which is reserved with it.
        fee_max: Msat,
        /// Spent or reserved on this UTC day.
        used: Msat,
        /// The limit.
        limit: Msat,
    },
    /// The host's total would pass the limit.
    #[error(
        "{price} and up to {fee_max} of fee would pass the limit of {limit} for {host}, of which {used} are spent or reserved"
    )]
    Host {
        /// The host.
        host: String,
        /// The price.
        price: Msat,
        /// The fee ceiling, which is reserved with it.
        fee_max: Msat,
        /// Spent or reserved for this host.
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
        "{price} and up to {fee_max} of fee would pass the total limit of {limit}, of which {used} are spent or reserved"
    )]
    Total {
        /// The price.
        price: Msat,
        /// The fee ceiling, which is reserved with it.
        fee_max: Msat,
        /// Spent or reserved in all.
        used: Msat,
        /// The limit.
        limit: Msat,
    },
}

/// What is spent and reserved so far, in millisatoshis, fees included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Charged {
    /// At the host in question, ever.
    pub host: Msat,
    /// On the day in question and, because a clock may step backwards, later ones.
    pub today: Msat,
    /// Everywhere, ever.
    pub total: Msat,
}

impl Charged {
    /// Nothing spent and nothing reserved.
    pub const NOTHING: Self = Self {
        host: Msat::ZERO,
        today: Msat::ZERO,
        total: Msat::ZERO,
    };
}

/// [`Limits`] and what already counts against them.
///
/// ```
/// use l402::{Budget, Charged, Limits, Msat, OverLimit};
///
/// let limits = Limits {
///     price_max: "100 sat".parse()?,
///     fee_max: "2 sat".parse()?,
///     per_host: None,
///     per_day: Some("50 sat".parse()?),
///     total: None,
/// };
/// let charged = Charged {
///     today: "40 sat".parse()?,
///     ..Charged::NOTHING
/// };
/// let budget = Budget::new(&limits, charged);
///
/// // What to reserve is the price and the fee ceiling together.
/// let reserved: Msat = "10 sat".parse()?;
/// assert_eq!(budget.admit("api.example", "8 sat".parse()?), Ok(reserved));
/// let refused = budget.admit("api.example", "9 sat".parse()?);
/// assert!(matches!(refused, Err(OverLimit::Daily { .. })));
/// # Ok::<(), l402::AmountError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Budget<'a> {
    limits: &'a Limits,
    charged: Charged,
}

impl<'a> Budget<'a> {
    /// Creates a budget. `charged` must be read in the same transaction in which the
    /// reservation is written, or two buyers can both spend the last satoshi.
    #[must_use]
    pub const fn new(limits: &'a Limits, charged: Charged) -> Self {
        Self { limits, charged }
    }

    /// Returns what to reserve for a price at `host`: the price and the fee ceiling together,
    /// in millisatoshis.
    ///
    /// # Errors
    ///
    /// [`OverLimit`] names the limit in the way; the caller must not pay.
    ///
    /// # Specification
    ///
    /// L402 `protocol-specification.md`, Client Flow (row 36 in `docs/spec.md`).
    pub fn admit(&self, host: &str, price: Msat) -> Result<Msat, OverLimit> {
        let limit = self.limits.price_max;
        if price > limit {
            return Err(OverLimit::Price { price, limit });
        }
        let fee_max = self.limits.fee_max;
        let needed = price.checked_add(fee_max).unwrap_or(Msat::MAX);
        let used = self.charged.total;
        if let Some(limit) = exceeded(self.limits.total, used, needed) {
            return Err(OverLimit::Total {
                price,
                fee_max,
                used,
                limit,
            });
        }
        let used = self.charged.today;
        if let Some(limit) = exceeded(self.limits.per_day, used, needed) {
            return Err(OverLimit::Daily {
                price,
                fee_max,
                used,
                limit,
            });
        }
        let used = self.charged.host;
        if let Some(limit) = exceeded(self.limits.per_host, used, needed) {
            return Err(OverLimit::Host {
                host: host.to_owned(),
                price,
                fee_max,
                used,
                limit,
            });
        }
        Ok(needed)
    }
}

/// Returns the limit, if `needed` more would pass it.
fn exceeded(limit: Option<Msat>, used: Msat, needed: Msat) -> Option<Msat> {
    limit.filter(|limit| used.checked_add(needed).is_none_or(|sum| sum > *limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sat(amount: u64) -> Msat {
        Msat::from_sat(amount).unwrap()
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
        let limits = Limits {
            per_day: Some(sat(10)),
            ..limits()
        };
        let budget = Budget::new(&limits, Charged::NOTHING);

        assert_eq!(
            budget.admit("a", sat(10)),
            Err(OverLimit::Daily {
                price: sat(10),
                fee_max: sat(1),
                used: Msat::ZERO,
                limit: sat(10)
            })
        );
        assert_eq!(budget.admit("a", sat(9)), Ok(sat(10)));
    }

    #[test]
    fn each_limit_counts_its_own_sum() {
        let charged = Charged {
            host: sat(10),
            today: sat(20),
            total: sat(30),
        };
        for (limits, in_the_way) in [
            (
                Limits {
                    per_host: Some(sat(20)),
                    ..limits()
                },
                "host",
            ),
            (
                Limits {
                    per_day: Some(sat(30)),
                    ..limits()
                },
                "day",
            ),
            (
                Limits {
                    total: Some(sat(40)),
                    ..limits()
                },
                "total",
            ),
        ] {
            let budget = Budget::new(&limits, charged);

            assert!(budget.admit("a", sat(10)).is_err(), "{in_the_way}");
            assert!(budget.admit("a", sat(9)).is_ok(), "{in_the_way}");
        }
    }

    #[test]
    fn a_price_over_the_limit_of_one_request_is_refused() {
        let limits = limits();
        let budget = Budget::new(&limits, Charged::NOTHING);

        assert_eq!(
            budget.admit("a", sat(101)),
            Err(OverLimit::Price {
                price: sat(101),
                limit: sat(100)
            })
        );
    }

    #[test]
    fn a_sum_that_does_not_fit_counts_as_the_highest_amount() {
        let unbound = Limits {
            price_max: Msat::MAX,
            ..limits()
        };
        let limited = Limits {
            total: Some(sat(1_000)),
            ..unbound
        };
        let everything = Charged {
            total: Msat::MAX,
            ..Charged::NOTHING
        };

        let reserved = Budget::new(&unbound, Charged::NOTHING).admit("a", Msat::MAX);
        assert_eq!(reserved, Ok(Msat::MAX));
        for (price, charged) in [(Msat::MAX, Charged::NOTHING), (sat(1), everything)] {
            let refused = Budget::new(&limited, charged).admit("a", price);
            assert!(matches!(refused, Err(OverLimit::Total { .. })), "{price}");
        }
    }

    #[test]
    fn a_fee_ceiling_without_bound_is_refused_by_the_limit_it_passes() {
        let limits = Limits {
            fee_max: Msat::MAX,
            per_day: Some(sat(1_000)),
            ..limits()
        };

        let refused = Budget::new(&limits, Charged::NOTHING).admit("a", sat(6));

        assert!(matches!(refused, Err(OverLimit::Daily { .. })));
    }
}
