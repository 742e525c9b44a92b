//! Adding caveats never widens: whatever a narrowed token buys, the original bought as well,
//! for as long, as often and at that tier; whatever kind of token the original is.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::fuzz::caveat::narrowing_never_widens;

/// Conditions with values that make sense for them, so that many tokens still buy something.
const USUAL: [(&str, &[&str]); 13] = [
    (
        "services",
        &[
            "weather:9,news:9",
            "weather:3,news:2",
            "news:9, weather:9",
            "weather:255",
            "weather/v1/today:3",
        ],
    ),
    ("weather_capabilities", &["", "read", "read,write", "write"]),
    ("weather_valid_until", &["1800000001", "1800000009", "1"]),
    ("news_valid_until", &["1800000001", "1800000009", "1"]),
    (
        "valid_until",
        &["1800000001", "1800000009", "18446744073709551615"],
    ),
    (
        "expiration",
        &["1800000001000", "1800000009000", "18446744073709551615"],
    ),
    ("ip", &["192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"]),
    ("origin", &["https://a.example", "https://b.example"]),
    ("method", &["GET", "GET,POST", "POST", ""]),
    ("path_prefix", &["/", "/v1", "/v1/", "/v1/today"]),
    ("max_uses", &["1", "5", "9", "0"]),
    (" max_uses ", &["2", "7"]),
    ("unknown", &["x"]),
];

fn usual() -> impl Strategy<Value = String> {
    prop::sample::select(USUAL.to_vec()).prop_flat_map(|(condition, values)| {
        let values = prop::sample::select(values.to_vec());
        prop_oneof![9 => values.prop_map(str::to_owned), 1 => ".{0,12}"]
            .prop_map(move |value| format!("{condition}={value}"))
    })
}

fn caveat() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        9 => usual().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 1..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_caveat_makes_a_token_buy_more(caveats in vec(caveat(), 0..6)) {
        let caveats: Vec<&[u8]> = caveats.iter().map(Vec::as_slice).collect();
        narrowing_never_widens(&caveats);
    }
}
