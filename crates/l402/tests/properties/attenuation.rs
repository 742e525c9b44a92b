//! Adding caveats never widens: whatever a narrowed token buys, the original bought as well,
//! for as long, as often and at that tier.
//!
//! The original names a service. One that names none buys nothing, and whoever holds it can
//! name one: an issuer always writes `services` first.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::fuzz::caveat::narrowing_never_widens;

fn condition() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "services",
        "weather_capabilities",
        "weather_valid_until",
        "news_valid_until",
        "valid_until",
        "expiration",
        "ip",
        "origin",
        "tls_fingerprint",
        "method",
        "path_prefix",
        "max_uses",
        "preimage",
        "unknown",
        " services ",
    ])
}

fn value() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        "weather:9",
        "weather:3,news:2",
        "news:9, weather:9",
        "weather:255",
        "read",
        "read,write",
        "1800000001",
        "1800000009",
        "18446744073709551615",
        "1800000001000",
        "0",
        "1",
        "5",
        "192.0.2.7",
        "::ffff:192.0.2.7",
        "https://a.example",
        "abababababababababababababababababababababababababababababababab",
        "0909090909090909090909090909090909090909090909090909090909090909",
        "GET",
        "GET,POST",
        "/",
        "/v1",
        "/v1/",
        "/v1/today",
    ])
    .prop_map(str::to_owned);
    prop_oneof![9 => known, 1 => ".{0,12}"]
}

fn caveat() -> impl Strategy<Value = Vec<u8>> {
    let usual = (condition(), value());
    prop_oneof![
        9 => usual.prop_map(|(condition, value)| format!("{condition}={value}").into_bytes()),
        1 => vec(any::<u8>(), 1..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_caveat_makes_a_token_buy_more(caveats in vec(caveat(), 0..6)) {
        let caveats: Vec<&[u8]> = caveats.iter().map(Vec::as_slice).collect();
        narrowing_never_widens(&caveats);
    }
}
