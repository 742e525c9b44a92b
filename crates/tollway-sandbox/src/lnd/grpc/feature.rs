//! Feature bits of invoices, under LND's names.

use std::collections::HashMap;

use tollway_lightning::lnd::proto::lnrpc::Feature;

/// Feature bits, least significant byte first, as LND reports them.
pub(super) fn named(little_endian: &[u8]) -> HashMap<u32, Feature> {
    little_endian
        .iter()
        .zip((0_u32..).step_by(8))
        .flat_map(|(&byte, first)| {
            (0..8_u32)
                .filter(move |shift| (byte >> shift) & 1 == 1)
                .map(move |shift| first.saturating_add(shift))
        })
        .map(|bit| (bit, described(bit)))
        .collect()
}

fn described(bit: u32) -> Feature {
    let name = NAMES
        .iter()
        .find(|(even, _)| *even == bit & !1)
        .map(|(_, name)| (*name).to_owned());
    Feature {
        is_required: bit.is_multiple_of(2),
        is_known: name.is_some(),
        name: name.unwrap_or_else(|| "unknown".to_owned()),
    }
}

/// What every invoice of the sandbox carries: bits 8, 14 and 17.
pub(super) const OF_SANDBOX_INVOICES: [u8; 3] = [0, 0b0100_0001, 0b0000_0010];

/// The even bit of each pair that may stand in an invoice, and LND's name for it.
const NAMES: &[(u32, &str)] = &[
    (8, "tlv-onion"),
    (14, "payment-addr"),
    (16, "multi-path-payments"),
    (24, "route-blinding"),
    (30, "amp"),
    (48, "payment-metadata"),
    (262, "bolt-11-blinded-paths"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_bit_is_required_and_an_unknown_one_says_so() {
        let features = named(&[0, 0b0000_0001, 0b0000_0010, 0b1000_0000]);

        let seen = |bit: u32| {
            let feature = &features[&bit];
            (feature.name.as_str(), feature.is_required, feature.is_known)
        };
        assert_eq!(features.len(), 3);
        assert_eq!(seen(8), ("tlv-onion", true, true));
        assert_eq!(seen(17), ("multi-path-payments", false, true));
        assert_eq!(seen(31), ("amp", false, true));
        assert_eq!(described(100).name, "unknown");
        assert!(!described(100).is_known);
    }
}
