//! Caveats of a macaroon, as text.
//!
//! Nothing here is verified: what a token's own text states is compared, and is no proof.

use l402::Macaroon;

/// Returns the last value of a condition: the others only ever allow more.
pub(crate) fn last(macaroon: &Macaroon, condition: &str) -> Option<String> {
    let values = macaroon.unverified_caveats().filter_map(|caveat| {
        let text = std::str::from_utf8(caveat.id()).ok()?;
        let (found, value) = text.split_once('=')?;
        (found.trim() == condition).then(|| value.trim().to_owned())
    });
    values.last()
}

/// Returns the items of a list of services with their tiers.
pub(crate) fn items(list: &str) -> impl Iterator<Item = (&str, Option<u8>)> {
    list.split(',').map(|item| {
        let item = item.trim();
        let with_tier = item.rsplit_once(':');
        with_tier.map_or((item, None), |(name, tier)| (name, tier.parse().ok()))
    })
}
