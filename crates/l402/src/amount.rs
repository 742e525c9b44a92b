//! Amounts of money.
//!
//! One type, one unit. Nothing else in the workspace holds an amount as an integer, and
//! nothing converts one silently: satoshis are whole thousands, and rounding is spelled out.

use std::fmt;
use std::str::FromStr;

/// An amount of bitcoin in millisatoshis, the unit of Lightning invoices and fees.
///
/// ```
/// use l402::Msat;
///
/// let price: Msat = "10 sat".parse()?;
/// let fee_max = Msat::from_msat(2_500);
/// assert_eq!(price.checked_add(fee_max), Some(Msat::from_msat(12_500)));
/// assert_eq!(fee_max.to_string(), "2500 msat");
/// assert!("10".parse::<Msat>().is_err(), "an amount needs a unit");
/// # Ok::<(), l402::AmountError>(())
/// ```
#[must_use]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Msat(u64);

impl Msat {
    /// No money at all.
    pub const ZERO: Self = Self(0);
    /// More than can exist; useful as "no limit".
    pub const MAX: Self = Self(u64::MAX);

    /// Creates an amount of millisatoshis.
    pub const fn from_msat(msat: u64) -> Self {
        Self(msat)
    }

    /// Creates an amount of satoshis; `None` when it does not fit (over 18 quadrillion sat).
    #[must_use]
    pub const fn from_sat(sat: u64) -> Option<Self> {
        match sat.checked_mul(MSAT_PER_SAT) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }

    /// Returns the amount in millisatoshis.
    #[must_use]
    pub const fn as_msat(self) -> u64 {
        self.0
    }

    /// Returns the amount in satoshis, a started satoshi counting as a whole one.
    #[must_use]
    pub const fn as_sat_rounded_up(self) -> u64 {
        self.0.div_ceil(MSAT_PER_SAT)
    }

    /// Returns true for no money at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Returns the sum, or `None` when it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }

    /// Returns the difference, or `None` when `other` is more.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(msat) => Some(Self(msat)),
            None => None,
        }
    }
}

/// Writes whole satoshis as `10 sat` and anything finer as `2500 msat`.
impl fmt::Display for Msat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(MSAT_PER_SAT) {
            write!(f, "{} sat", self.0.div_euclid(MSAT_PER_SAT))
        } else {
            write!(f, "{} msat", self.0)
        }
    }
}

/// Why a text is not an amount.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not an amount: write a whole number and a unit, like `10 sat` or `2500 msat`")]
pub struct AmountError {
    text: String,
}

/// Reads `10 sat`, `10sat`, `10 sats` and `2500 msat`. A bare number has no unit and is refused.
impl FromStr for Msat {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let refuse = || AmountError {
            text: text.to_owned(),
        };
        let trimmed = text.trim();
        let digits_end = trimmed
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(refuse)?;
        let (digits, unit) = trimmed.split_at(digits_end);
        let number: u64 = digits.parse().map_err(|_not_a_number| refuse())?;
        match unit.trim_start().to_ascii_lowercase().as_str() {
            "msat" | "msats" => Ok(Self(number)),
            "sat" | "sats" => Self::from_sat(number).ok_or_else(refuse),
            _ => Err(refuse()),
        }
    }
}

const MSAT_PER_SAT: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_needs_a_unit() {
        for text in [
            "10",
            "",
            "sat",
            "-1 sat",
            "1.5 sat",
            "10 btc",
            "0x10 sat",
            "99999999999999999999 msat",
            "99999999999999999 sat",
        ] {
            let refused = text.parse::<Msat>().unwrap_err();
            assert!(
                refused.to_string().contains(&format!("`{text}`")),
                "{refused}"
            );
        }
    }

    #[test]
    fn both_units_read_and_write_back() {
        for (text, msat, shown) in [
            ("10 sat", 10_000, "10 sat"),
            ("10sats", 10_000, "10 sat"),
            (" 2500 MSAT ", 2_500, "2500 msat"),
            ("0 sat", 0, "0 sat"),
        ] {
            let amount: Msat = text.parse().unwrap();
            assert_eq!(amount.as_msat(), msat);
            assert_eq!(amount.to_string(), shown);
        }
    }

    #[test]
    fn a_started_satoshi_counts_whole() {
        assert_eq!(Msat::from_msat(1).as_sat_rounded_up(), 1);
        assert_eq!(Msat::from_msat(1_000).as_sat_rounded_up(), 1);
        assert_eq!(Msat::MAX.as_sat_rounded_up(), u64::MAX / 1_000 + 1);
    }
}
