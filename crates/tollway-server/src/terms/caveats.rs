//! Terms as caveats of a token, and the price read back from them.

use l402::{Caveat, CaveatError, Msat, UnixSeconds, caveat};

use super::Terms;
use crate::name::Capability;
use crate::requirement::Requirement;

impl Terms {
    /// Returns the caveats of a token sold at `now` after its service, in the order they are
    /// signed.
    ///
    /// The price comes second in the token, where only the issuer can have written it: it is read
    /// from there when the token is used, because challenges are not stored.
    pub(crate) fn token_caveats(
        &self,
        requirement: &Requirement,
        now: UnixSeconds,
    ) -> Result<Vec<Caveat>, CaveatError> {
        let service = requirement.service().as_str();
        let mut caveats = vec![Caveat::new(PRICE_MSAT, &self.price.as_msat().to_string())?];
        let sold = requirement.capability().into_iter();
        let sold: Vec<&str> = sold
            .chain(&self.more_capabilities)
            .map(Capability::as_str)
            .collect();
        if !sold.is_empty() {
            caveats.push(caveat::capabilities(service, &sold)?);
        }
        if let Some(secs) = self.validity_secs {
            caveats.push(caveat::valid_until(service, now.plus_secs(secs.get()))?);
        }
        if let Some(uses_max) = self.uses_max {
            caveats.push(caveat::max_uses(uses_max));
        }
        caveats.extend_from_slice(&self.caveats);
        Ok(caveats)
    }
}

/// Returns the price in a genuine token; `None` when its issuer did not write it down.
///
/// Only the caveat in second place counts: any holder can append one.
pub(crate) fn price_of<'a>(mut conditions: impl Iterator<Item = &'a [u8]>) -> Option<Msat> {
    let (condition, value) = str::from_utf8(conditions.nth(1)?).ok()?.split_once('=')?;
    if condition != PRICE_MSAT {
        return None;
    }
    value.parse().ok().map(Msat::from_msat)
}

/// The issuer's note of the price. Verifiers that do not know it skip it.
pub(super) const PRICE_MSAT: &str = "price_msat";

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn a_token_carries_every_limit_it_was_sold_with() {
        let requirement = weather()
            .with_tier(2)
            .with_capability("read".parse().unwrap());
        let terms = Terms::new(Msat::from_msat(2_500))
            .unwrap()
            .with_more_capabilities(vec!["list".parse().unwrap()])
            .with_validity_secs(NonZeroU64::new(60).unwrap())
            .with_uses_max(NonZeroU64::new(3).unwrap())
            .with_caveat(caveat::path_prefix("/v1").unwrap())
            .unwrap();

        let written: Vec<String> = terms
            .token_caveats(&requirement, UnixSeconds::new(1_000))
            .unwrap()
            .iter()
            .map(Caveat::to_string)
            .collect();

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
    fn a_token_that_would_outlive_time_ends_with_it() {
        let terms = Terms::new(Msat::from_msat(1))
            .unwrap()
            .with_validity_secs(NonZeroU64::MAX);

        let caveats = terms
            .token_caveats(&weather(), UnixSeconds::new(5))
            .unwrap();

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

    fn weather() -> Requirement {
        Requirement::new("weather".parse().unwrap())
    }
}
