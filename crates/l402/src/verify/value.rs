//! Readers for the values of caveats.
//!
//! Lists are split as bytes: a text search for every comma costs more than the text.

/// Splits at the first `=`. Spaces around either side are ignored for matching only; what is
/// signed is the raw text. Anything else is a condition this crate does not know.
pub(super) fn split(caveat: &[u8]) -> Option<(&str, &str)> {
    let at = caveat.iter().position(|byte| *byte == b'=')?;
    let (condition, value) = std::str::from_utf8(caveat).ok()?.split_at_checked(at)?;
    Some((condition.trim_ascii(), value.get(1..)?.trim_ascii()))
}

/// Reads digits only, no sign, no leading zero: a number has one spelling.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let (first, others) = text.split_first()?;
    if *first == b'0' && !others.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Reads `name:tier`.
pub(super) fn service_and_tier(item: &[u8]) -> Option<(&[u8], u8)> {
    let item = item.trim_ascii();
    let at = item.iter().position(|byte| *byte == b':')?;
    let (name, tier) = item.split_at_checked(at)?;
    let tier = u8::try_from(decimal(tier.get(1..)?)?).ok()?;
    (!name.is_empty()).then_some((name, tier))
}

/// Returns the tier of a service in a list of services.
pub(super) fn tier_of(services: &str, wanted: &[u8]) -> Option<u8> {
    split_list(services)
        .filter_map(service_and_tier)
        .find(|(name, _)| *name == wanted)
        .map(|(_, tier)| tier)
}

/// Returns the number of items in a list, empty ones included.
pub(super) fn count_items(list: &str) -> usize {
    split_list(list).count()
}

/// Returns the items of a list, without empty ones.
pub(super) fn items(list: &str) -> impl Iterator<Item = &[u8]> {
    split_list(list)
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

pub(super) fn split_list(list: &str) -> impl Iterator<Item = &[u8]> {
    list.as_bytes().split(|byte| *byte == b',')
}

/// True when every item of `list` is in `before`.
pub(super) fn is_subset(list: &str, before: &str) -> bool {
    items(list).all(|item| items(before).any(|held| held == item))
}
