//! Terms: what a token costs, and what it is good for once paid.
//!
//! [`Terms`] are needed only when a challenge is made. Every text in them ends up in a caveat,
//! an invoice or a response, so each is checked when the terms are written down and never
//! again.

mod caveats;

use std::num::{NonZeroU32, NonZeroU64};

use l402::{Caveat, Msat};

use self::caveats::PRICE_MSAT;
pub(crate) use self::caveats::price_of;
use crate::name::Capability;

/// The price of a token and its limits. Holding `Terms` means they can be sold.
#[derive(Clone, Debug)]
pub struct Terms {
    price: Msat,
    more_capabilities: Vec<Capability>,
    validity_secs: Option<NonZeroU64>,
    uses_max: Option<NonZeroU64>,
    invoice_expiry_secs: NonZeroU32,
    memo: Option<String>,
    caveats: Vec<Caveat>,
}

impl Terms {
    /// Creates terms of `price` for any number of requests, for ever.
    ///
    /// The invoice stays payable for ten minutes and its memo is the name of the service.
    ///
    /// # Errors
    ///
    /// [`TermsError::Free`] when the price is zero: a free route needs no terms.
    pub fn new(price: Msat) -> Result<Self, TermsError> {
        if price.is_zero() {
            return Err(TermsError::Free);
        }
        Ok(Self {
            price,
            more_capabilities: Vec::new(),
            validity_secs: None,
            uses_max: None,
            invoice_expiry_secs: INVOICE_EXPIRY_SECS,
            memo: None,
            caveats: Vec::new(),
        })
    }

    /// Sells these capabilities as well as the one that is required.
    #[must_use]
    pub fn with_more_capabilities(mut self, capabilities: Vec<Capability>) -> Self {
        self.more_capabilities = capabilities;
        self
    }

    /// Ends the token this many seconds after the invoice was made.
    ///
    /// The invoice then stays payable for half of them at most: a payer, however late, has the
    /// other half left.
    #[must_use]
    pub fn with_validity_secs(mut self, validity_secs: NonZeroU64) -> Self {
        self.validity_secs = Some(validity_secs);
        self
    }

    /// Sells a number of requests instead of any number.
    #[must_use]
    pub fn with_uses_max(mut self, uses_max: NonZeroU64) -> Self {
        self.uses_max = Some(uses_max);
        self
    }

    /// Keeps the invoice payable for this many seconds instead of ten minutes.
    #[must_use]
    pub fn with_invoice_expiry_secs(mut self, invoice_expiry_secs: NonZeroU32) -> Self {
        self.invoice_expiry_secs = invoice_expiry_secs;
        self
    }

    /// Writes another memo on the invoice than the name of the service.
    ///
    /// # Errors
    ///
    /// [`TermsError::MemoTooLong`] beyond the 639 bytes an invoice has room for.
    pub fn with_memo(mut self, memo: impl Into<String>) -> Result<Self, TermsError> {
        let memo = memo.into();
        if memo.len() > MEMO_BYTES_MAX {
            return Err(TermsError::MemoTooLong { len: memo.len() });
        }
        self.memo = Some(memo);
        Ok(self)
    }

    /// Adds a caveat of the seller's own to every token sold.
    ///
    /// The caveat is enforced when it is one the verifier knows and passed along otherwise.
    ///
    /// # Errors
    ///
    /// [`TermsError::Reserved`] for a condition that there is another way to set, or that only
    /// the buyer can: two that disagree would sell a token that buys nothing.
    pub fn with_caveat(mut self, caveat: Caveat) -> Result<Self, TermsError> {
        let condition = caveat.condition();
        let of_any_service = ["_capabilities", "_valid_until"];
        if RESERVED.contains(&condition)
            || of_any_service.iter().any(|end| condition.ends_with(end))
        {
            return Err(TermsError::Reserved {
                condition: condition.to_owned(),
            });
        }
        self.caveats.push(caveat);
        Ok(self)
    }

    /// Returns what a token costs, in millisatoshis; never zero.
    pub const fn price(&self) -> Msat {
        self.price
    }

    /// Returns the capabilities sold beyond the one required.
    #[must_use]
    pub fn more_capabilities(&self) -> &[Capability] {
        &self.more_capabilities
    }

    /// Returns the seconds a token lives; `None` when it does not end.
    #[must_use]
    pub const fn validity_secs(&self) -> Option<NonZeroU64> {
        self.validity_secs
    }

    /// Returns the number of requests a token buys; `None` when any number.
    #[must_use]
    pub const fn uses_max(&self) -> Option<NonZeroU64> {
        self.uses_max
    }

    /// Returns the seconds an invoice stays payable: those set, or half the life of the token.
    #[must_use]
    pub fn invoice_expiry_secs(&self) -> NonZeroU32 {
        let half_life = self.validity_secs.map(|secs| secs.get().div_ceil(2));
        half_life
            .and_then(|secs| NonZeroU32::new(u32::try_from(secs).ok()?))
            .map_or(self.invoice_expiry_secs, |half_life| {
                half_life.min(self.invoice_expiry_secs)
            })
    }

    /// Returns what the payer reads in its wallet; `None` for the name of the service.
    #[must_use]
    pub fn memo(&self) -> Option<&str> {
        self.memo.as_deref()
    }

    /// Returns the seller's own caveats.
    #[must_use]
    pub fn caveats(&self) -> &[Caveat] {
        &self.caveats
    }
}

/// Why terms cannot be sold. Raised while configuring, never while serving.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// The price is zero.
    #[error("the price is zero: name a price, or leave the route free")]
    Free,
    /// The memo does not fit an invoice.
    #[error("memo of {len} bytes does not fit an invoice: use at most {MEMO_BYTES_MAX}")]
    MemoTooLong {
        /// Length found, in bytes.
        len: usize,
    },
    /// The condition is not free to choose.
    #[error("the caveat `{condition}` is written by the gate itself or by the buyer: leave it out")]
    Reserved {
        /// The condition.
        condition: String,
    },
}

/// Conditions with a meaning of their own; those of a service are recognised by how they end.
const RESERVED: [&str; 6] = [
    "services",
    "valid_until",
    "expiration",
    "max_uses",
    "preimage",
    PRICE_MSAT,
];
/// BOLT 11's own default is an hour; a quote should not outlive its price.
pub(crate) const INVOICE_EXPIRY_SECS: NonZeroU32 = NonZeroU32::new(600).expect("600 is not zero");
/// BOLT 11: a field holds at most 1023 groups of five bits.
const MEMO_BYTES_MAX: usize = 639;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sold_for_nothing() {
        assert_eq!(Terms::new(Msat::ZERO).unwrap_err(), TermsError::Free);
    }

    #[test]
    fn a_memo_longer_than_an_invoice_holds_is_refused() {
        let terms = Terms::new(Msat::from_msat(1)).unwrap();

        assert!(terms.clone().with_memo("m".repeat(639)).is_ok());
        assert_eq!(
            terms.with_memo("m".repeat(640)).unwrap_err(),
            TermsError::MemoTooLong { len: 640 }
        );
    }

    #[test]
    fn a_caveat_of_the_sellers_own_cannot_contradict_the_terms() {
        let terms = Terms::new(Msat::from_msat(1)).unwrap();
        for condition in [
            "services",
            "weather_capabilities",
            "maps_valid_until",
            "valid_until",
            "expiration",
            "max_uses",
            "preimage",
            "price_msat",
        ] {
            let caveat = Caveat::new(condition, "1").unwrap();
            assert_eq!(
                terms.clone().with_caveat(caveat).unwrap_err(),
                TermsError::Reserved {
                    condition: condition.to_owned()
                }
            );
        }
    }

    #[test]
    fn a_late_payer_has_half_the_token_left() {
        let terms = Terms::new(Msat::from_msat(1)).unwrap();
        for (validity_secs, expiry_secs) in [
            (1, 1),
            (61, 31),
            (1_200, 600),
            (86_400, 600),
            (u64::MAX, 600),
        ] {
            let validity_secs = NonZeroU64::new(validity_secs).unwrap();
            let terms = terms.clone().with_validity_secs(validity_secs);
            assert_eq!(terms.invoice_expiry_secs().get(), expiry_secs);
        }
        assert_eq!(terms.invoice_expiry_secs().get(), 600);
    }
}
