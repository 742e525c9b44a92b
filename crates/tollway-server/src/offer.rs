//! What is for sale, and at what price?
//!
//! An [`Offer`] is attached to a request by whoever routes it; the gate sells what it says.
//! Every text in it ends up in a caveat, an invoice or a response, so each is checked when
//! the offer is written down and never again.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;
use std::sync::Arc;

use l402::{Caveat, CaveatError, Msat, Services, UnixSeconds, caveat};

/// One thing a request can buy. Holding an `Offer` means it can be sold.
#[derive(Clone, Debug)]
pub struct Offer {
    service: ServiceName,
    tier: u8,
    price: Msat,
    capability: Option<Capability>,
    more_capabilities: Vec<Capability>,
    validity_secs: Option<NonZeroU64>,
    uses_max: Option<NonZeroU64>,
    invoice_expiry_secs: NonZeroU32,
    memo: String,
    constraints: Vec<Caveat>,
}

impl Offer {
    /// An offer of `service` for `price`: its base tier, every capability, for ever.
    ///
    /// The invoice stays payable for ten minutes and its memo is the name of the service.
    ///
    /// # Errors
    ///
    /// [`OfferError::Free`] when the price is zero: a free route needs no offer.
    pub fn new(service: ServiceName, price: Msat) -> Result<Self, OfferError> {
        if price.is_zero() {
            return Err(OfferError::Free { service });
        }
        Ok(Self {
            memo: service.to_string(),
            service,
            tier: BASE_TIER,
            price,
            capability: None,
            more_capabilities: Vec::new(),
            validity_secs: None,
            uses_max: None,
            invoice_expiry_secs: INVOICE_EXPIRY_SECS,
            constraints: Vec::new(),
        })
    }

    /// Sells another tier than the base tier, 0.
    #[must_use]
    pub fn with_tier(mut self, tier: u8) -> Self {
        self.tier = tier;
        self
    }

    /// Requires, and sells, one capability of the service instead of all of them.
    #[must_use]
    pub fn with_capability(mut self, capability: Capability) -> Self {
        self.capability = Some(capability);
        self
    }

    /// Sells these capabilities as well, without requiring them here.
    #[must_use]
    pub fn with_more_capabilities(mut self, capabilities: Vec<Capability>) -> Self {
        self.more_capabilities = capabilities;
        self
    }

    /// Ends the token this many seconds after the invoice was made.
    ///
    /// The invoice then stays payable for half of them at most: whoever pays, however late,
    /// has the other half left.
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
    /// [`OfferError::MemoTooLong`] beyond the 639 bytes an invoice has room for.
    pub fn with_memo(mut self, memo: impl Into<String>) -> Result<Self, OfferError> {
        let memo = memo.into();
        if memo.len() > MEMO_BYTES_MAX {
            return Err(OfferError::MemoTooLong { len: memo.len() });
        }
        self.memo = memo;
        Ok(self)
    }

    /// Adds a caveat of the seller's own to every token sold.
    ///
    /// The caveat is enforced when it is one the verifier knows and passed along otherwise.
    ///
    /// # Errors
    ///
    /// [`OfferError::Reserved`] for a condition that the offer has another way to set, or that
    /// only the buyer can: two that disagree would sell a token that buys nothing.
    pub fn with_constraint(mut self, caveat: Caveat) -> Result<Self, OfferError> {
        let condition = caveat.condition();
        let of_any_service = ["_capabilities", "_valid_until"];
        if RESERVED.contains(&condition)
            || of_any_service.iter().any(|end| condition.ends_with(end))
        {
            return Err(OfferError::Reserved {
                condition: condition.to_owned(),
            });
        }
        self.constraints.push(caveat);
        Ok(self)
    }

    /// The service a token must be for.
    #[must_use]
    pub const fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The tier sold.
    #[must_use]
    pub const fn tier(&self) -> u8 {
        self.tier
    }

    /// What a token costs, in millisatoshis; never zero.
    pub const fn price(&self) -> Msat {
        self.price
    }

    /// The capability a token must have; `None` when any token of the service will do.
    #[must_use]
    pub const fn capability(&self) -> Option<&Capability> {
        self.capability.as_ref()
    }

    /// Seconds a token lives; `None` when it does not end.
    #[must_use]
    pub const fn validity_secs(&self) -> Option<NonZeroU64> {
        self.validity_secs
    }

    /// Requests a token buys; `None` when any number.
    #[must_use]
    pub const fn uses_max(&self) -> Option<NonZeroU64> {
        self.uses_max
    }

    /// Seconds an invoice stays payable: what was chosen, or half the life of the token.
    #[must_use]
    pub fn invoice_expiry_secs(&self) -> NonZeroU32 {
        let half_life = self.validity_secs.map(|secs| secs.get().div_ceil(2));
        half_life
            .and_then(|secs| NonZeroU32::new(u32::try_from(secs).ok()?))
            .map_or(self.invoice_expiry_secs, |half_life| {
                half_life.min(self.invoice_expiry_secs)
            })
    }

    /// What the payer reads in its wallet.
    #[must_use]
    pub fn memo(&self) -> &str {
        &self.memo
    }

    /// The seller's own caveats.
    #[must_use]
    pub fn constraints(&self) -> &[Caveat] {
        &self.constraints
    }

    /// The first caveat of a token: the service and its tier.
    pub(crate) fn services(&self) -> Result<Services, CaveatError> {
        Services::new(self.service.as_str(), self.tier)
    }

    /// What a token sold at `now` says about itself after its service, in the order it is signed.
    ///
    /// The price comes second, where nobody but the issuer can have written it: that is how
    /// the ledger knows what was paid without having stored the challenge.
    pub(crate) fn caveats(&self, now: UnixSeconds) -> Result<Vec<Caveat>, CaveatError> {
        let service = self.service.as_str();
        let mut caveats = vec![Caveat::new(PRICE_MSAT, &self.price.as_msat().to_string())?];
        let sold = self.capability.iter().chain(&self.more_capabilities);
        let sold: Vec<&str> = sold.map(Capability::as_str).collect();
        if !sold.is_empty() {
            caveats.push(caveat::capabilities(service, &sold)?);
        }
        if let Some(secs) = self.validity_secs {
            caveats.push(caveat::valid_until(service, now.plus_secs(secs.get()))?);
        }
        if let Some(uses_max) = self.uses_max {
            caveats.push(caveat::max_uses(uses_max.get())?);
        }
        caveats.extend_from_slice(&self.constraints);
        Ok(caveats)
    }
}

/// What a genuine token says it cost; `None` when its issuer did not write it down.
///
/// Only the caveat in second place counts: anybody may append one.
pub(crate) fn price_of<'a>(mut conditions: impl Iterator<Item = &'a [u8]>) -> Option<Msat> {
    let (condition, value) = str::from_utf8(conditions.nth(1)?).ok()?.split_once('=')?;
    if condition != PRICE_MSAT {
        return None;
    }
    value.parse().ok().map(Msat::from_msat)
}

/// Why something cannot be offered. Raised while configuring, never while serving.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OfferError {
    /// The price is zero.
    #[error("`{service}` has the price zero: give it a price, or no offer to leave it free")]
    Free {
        /// The service concerned.
        service: ServiceName,
    },
    /// The memo does not fit an invoice.
    #[error("memo of {len} bytes does not fit an invoice: use at most {MEMO_BYTES_MAX}")]
    MemoTooLong {
        /// Length found, in bytes.
        len: usize,
    },
    /// The condition is not free to choose.
    #[error(
        "the caveat `{condition}` is written by the offer itself or by the buyer: leave it out"
    )]
    Reserved {
        /// The condition.
        condition: String,
    },
}

/// The name of a service, safe in a caveat, a header and a metric.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceName(Arc<str>);

/// The name of something a token may be good for, safe where a [`ServiceName`] is.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Capability(Arc<str>);

/// Why a text is not the name of a service or capability.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not a name: use 1 to 64 letters, digits, `-`, `_` and `.`")]
pub struct NameError {
    text: String,
}

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                checked_name(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

name!(ServiceName);
name!(Capability);

fn checked_name(text: &str) -> Result<Arc<str>, NameError> {
    if caveat::is_service_name(text) {
        Ok(Arc::from(text))
    } else {
        Err(NameError {
            text: text.to_owned(),
        })
    }
}

const BASE_TIER: u8 = 0;
/// Conditions with a meaning of their own; those of a service are told by how they end.
const RESERVED: [&str; 6] = [
    "services",
    "valid_until",
    "expiration",
    "max_uses",
    "preimage",
    PRICE_MSAT,
];
/// The issuer's note of the price. Verifiers that do not know it skip it.
const PRICE_MSAT: &str = "price_msat";
/// BOLT 11's own default is an hour; a quote should not outlive its price.
const INVOICE_EXPIRY_SECS: NonZeroU32 = NonZeroU32::new(600).expect("600 is not zero");
/// BOLT 11: a field holds at most 1023 groups of five bits.
const MEMO_BYTES_MAX: usize = 639;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_carry_the_syntax_of_a_caveat_or_a_header() {
        for text in [
            "", "a b", "a,b", "a:0", "a=b", "a\"b", "a\nb", "a/b", "é", "\u{0}",
        ] {
            assert!(text.parse::<ServiceName>().is_err(), "{text:?}");
            assert!(text.parse::<Capability>().is_err(), "{text:?}");
        }
        assert!("a".repeat(65).parse::<ServiceName>().is_err());
    }

    #[test]
    fn a_name_is_kept_as_written() {
        let name: ServiceName = "weather-API_v1.2".parse().unwrap();

        assert_eq!(name.as_str(), "weather-API_v1.2");
    }

    #[test]
    fn nothing_is_offered_for_nothing() {
        let refused = Offer::new(weather(), Msat::ZERO).unwrap_err();

        assert_eq!(refused, OfferError::Free { service: weather() });
    }

    #[test]
    fn a_memo_longer_than_an_invoice_holds_is_refused() {
        let offer = Offer::new(weather(), Msat::from_msat(1)).unwrap();

        assert!(offer.clone().with_memo("m".repeat(639)).is_ok());
        assert_eq!(
            offer.with_memo("m".repeat(640)).unwrap_err(),
            OfferError::MemoTooLong { len: 640 }
        );
    }

    #[test]
    fn a_token_says_all_that_the_offer_restricts() {
        let offer = Offer::new(weather(), Msat::from_msat(2_500))
            .unwrap()
            .with_tier(2)
            .with_capability("read".parse().unwrap())
            .with_more_capabilities(vec!["list".parse().unwrap()])
            .with_validity_secs(NonZeroU64::new(60).unwrap())
            .with_uses_max(NonZeroU64::new(3).unwrap())
            .with_constraint(caveat::path_prefix("/v1").unwrap())
            .unwrap();

        let written: Vec<String> = offer
            .caveats(UnixSeconds::new(1_000))
            .unwrap()
            .iter()
            .map(Caveat::to_string)
            .collect();

        assert_eq!(
            offer.services().unwrap().caveat().as_str(),
            "services=weather:2"
        );
        assert_eq!(
            written,
            [
                "price_msat=2500",
                "weather_capabilities=read,list",
                "weather_valid_until=1060",
                "max_uses=3",
                "path_prefix=/v1",
            ]
        );
    }

    #[test]
    fn a_constraint_cannot_contradict_the_offer() {
        let offer = Offer::new(weather(), Msat::from_msat(1)).unwrap();
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
                offer.clone().with_constraint(caveat).unwrap_err(),
                OfferError::Reserved {
                    condition: condition.to_owned()
                }
            );
        }
    }

    #[test]
    fn whoever_pays_late_has_half_the_token_left() {
        let offer = Offer::new(weather(), Msat::from_msat(1)).unwrap();
        for (validity_secs, expiry_secs) in [
            (1, 1),
            (61, 31),
            (1_200, 600),
            (86_400, 600),
            (u64::MAX, 600),
        ] {
            let validity_secs = NonZeroU64::new(validity_secs).unwrap();
            let offer = offer.clone().with_validity_secs(validity_secs);
            assert_eq!(offer.invoice_expiry_secs().get(), expiry_secs);
        }
        assert_eq!(offer.invoice_expiry_secs().get(), 600);
    }

    #[test]
    fn a_token_that_would_outlive_time_ends_with_it() {
        let offer = Offer::new(weather(), Msat::from_msat(1))
            .unwrap()
            .with_validity_secs(NonZeroU64::MAX);

        let caveats = offer.caveats(UnixSeconds::new(5)).unwrap();

        assert_eq!(
            caveats.last().unwrap().to_string(),
            "weather_valid_until=18446744073709551615"
        );
    }

    #[test]
    fn a_price_is_believed_only_where_the_issuer_writes_it() {
        for (conditions, price_msat) in [
            (&["services=weather:0", "price_msat=2500"][..], Some(2_500)),
            (
                &["services=weather:0", "price_msat=7", "price_msat=9"],
                Some(7),
            ),
            (
                &["services=weather:0", "ip=192.0.2.1", "price_msat=9"],
                None,
            ),
            (&["price_msat=9"], None),
            (&["services=weather:0", "price_msat=nine"], None),
            (&["services=weather:0", "price_msat=-9"], None),
            (&["services=weather:0"], None),
            (&[], None),
        ] {
            let found = price_of(conditions.iter().map(|text| text.as_bytes()));
            assert_eq!(found, price_msat.map(Msat::from_msat), "{conditions:?}");
        }
    }

    fn weather() -> ServiceName {
        "weather".parse().unwrap()
    }
}
