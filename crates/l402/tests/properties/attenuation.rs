//! Adding caveats never widens: whatever a narrowed token buys, the original bought as well,
//! for as long, as often and at that tier; whatever kind of token the original is.

use std::collections::BTreeSet;
use std::net::IpAddr;

use l402::{RequestContext, UnixSeconds};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::fuzz::caveat::{SOLD, Sold, Verdict};

/// Every condition, with values that make sense for it, so that many tokens still buy something.
const USUAL: [(&str, &[&str]); 16] = [
    (
        "services",
        &[
            "weather:9,news:9",
            "weather:3,news:2",
            "news:9, weather:9",
            "weather:9,weather:3",
            "weather:3,weather:9",
            "weather:9",
            "we:9",
            "weather:255",
            "weather/v1/today:3",
            "news:1",
        ],
    ),
    (
        "weather_capabilities",
        &["", "read", "read,write", "write", " read , read", "reading"],
    ),
    ("news_capabilities", &["", "read", "read,write"]),
    ("weather_valid_until", DEADLINES),
    ("news_valid_until", DEADLINES),
    ("valid_until", DEADLINES),
    (
        "expiration",
        &[
            "1800000001000",
            "1800000009000",
            "1800000001001",
            "18446744073709551615",
            "1800000000000",
            "1e18",
        ],
    ),
    (
        "ip",
        &["192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8", "192.0.2.0/24"],
    ),
    (
        "origin",
        &["https://a.example", "https://b.example", "null"],
    ),
    ("tls_fingerprint", &[FINGERPRINT, "ab", ""]),
    ("method", &["GET", "GET,POST", "POST", "GET, HEAD", "", "*"]),
    (
        "path_prefix",
        &["/", "/v1", "/v1/", "/v1/today", "/v2", "v1"],
    ),
    ("max_uses", &["1", "5", "9", "0", "18446744073709551615"]),
    ("preimage", &[PREIMAGE, FINGERPRINT, ""]),
    ("unknown", &["x"]),
    ("price_msat", &["1", "1000"]),
];

const DEADLINES: &[&str] = &[
    "1800000001",
    "1800000009",
    "18446744073709551615",
    "1800000000",
    "01800000001",
    "18446744073709551616",
];
const FINGERPRINT: &str = "abababababababababababababababababababababababababababababababab";
/// That of every token, in hexadecimal.
const PREIMAGE: &str = "0909090909090909090909090909090909090909090909090909090909090909";

/// Caveats of few conditions: what is read twice is what can be widened.
fn caveats() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let few = subsequence(USUAL.to_vec(), 1..5);
    few.prop_flat_map(|conditions| vec(caveat(conditions), 0..7))
}

fn caveat(of: Vec<(&'static str, &'static [&'static str])>) -> impl Strategy<Value = Vec<u8>> {
    let usual = select(of).prop_flat_map(|(condition, values)| {
        (spelt(condition), value(values))
            .prop_map(|(condition, value)| format!("{condition}={value}").into_bytes())
    });
    prop_oneof![
        60 => usual,
        1 => vec(any::<u8>(), 1..20),
        1 => ".{1,20}".prop_map(String::into_bytes),
        1 => select(USUAL.to_vec()).prop_map(|(condition, _)| condition.as_bytes().to_vec()),
    ]
}

/// The condition, and sometimes what only looks like it.
fn spelt(condition: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        16 => Just(condition.to_owned()),
        2 => Just(format!(" {condition}\t")),
        1 => Just(condition.to_uppercase()),
        1 => Just(format!("{condition}\u{200b}")),
        1 => Just(format!("\u{a0}{condition}")),
        1 => Just(format!("{condition}s")),
    ]
}

fn value(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    let of_condition = || select(values.to_vec());
    prop_oneof![
        30 => of_condition().prop_map(str::to_owned),
        2 => of_condition().prop_map(|value| format!(" {value} ")),
        1 => of_condition().prop_map(|value| format!("\u{a0}{value}")),
        1 => (of_condition(), 2_usize..90).prop_map(|(value, times)| vec![value; times].join(",")),
        1 => ".{0,12}",
    ]
}

/// What a request may be.
#[derive(Clone, Copy, Debug)]
struct Ask {
    service: &'static str,
    resource: Option<&'static str>,
    tier: u8,
    capability: Option<&'static str>,
    method: &'static str,
    path: &'static str,
    now: u64,
    client_ip: Option<[u8; 4]>,
    origin: Option<&'static str>,
    certificate: Option<[u8; 32]>,
}

/// Fits most of the tokens.
const FITTING: Ask = Ask {
    service: "weather",
    resource: None,
    tier: 0,
    capability: None,
    method: "GET",
    path: "/v1/today",
    now: 1_800_000_000,
    client_ip: Some([192, 0, 2, 7]),
    origin: Some("https://a.example"),
    certificate: Some([0xab; 32]),
};

impl Ask {
    fn context(&self) -> RequestContext<'_> {
        let now = UnixSeconds::new(self.now);
        RequestContext::new(self.service, self.method, self.path, now)
            .with_resource(self.resource)
            .with_tier(self.tier)
            .with_capability(self.capability)
            .with_client_ip(self.client_ip.map(IpAddr::from))
            .with_origin(self.origin)
            .with_tls_certificate(self.certificate.as_ref())
    }
}

/// A fitting request, and what differs in it.
fn ask() -> impl Strategy<Value = Ask> {
    let service = |service| Ask { service, ..FITTING };
    let resource = |path| Ask {
        resource: Some(path),
        ..FITTING
    };
    let capability = |name| Ask {
        capability: Some(name),
        ..FITTING
    };
    let path = |path| Ask { path, ..FITTING };
    prop_oneof![
        6 => Just(FITTING),
        2 => select(vec!["news", "news", "we", "services"]).prop_map(service),
        2 => select(vec!["/v1/today", "/v1/Today", ""]).prop_map(resource),
        2 => select(vec![3, 9, 255]).prop_map(|tier| Ask { tier, ..FITTING }),
        2 => select(vec!["read", "write", ""]).prop_map(capability),
        1 => select(vec!["POST", "get", ""]).prop_map(|method| Ask { method, ..FITTING }),
        1 => select(vec!["/v1", "/v1/../admin", "/v1/..;/x", "*", ""]).prop_map(path),
        1 => select(vec![0, 1_800_000_005, u64::MAX]).prop_map(|now| Ask { now, ..FITTING }),
        1 => Just(Ask { client_ip: None, origin: None, certificate: None, ..FITTING }),
    ]
}

type Case = (usize, Vec<Vec<u8>>, Vec<Ask>);

fn case() -> impl Strategy<Value = Case> {
    (0..SOLD.len(), caveats(), vec(ask(), 1..5))
}

fn narrow((sold, caveats, asks): &Case, observe: &mut impl FnMut(&Verdict)) {
    let caveats: Vec<&[u8]> = caveats.iter().map(Vec::as_slice).collect();
    let asked: Vec<_> = asks
        .iter()
        .map(|ask| (ask.service, ask.context()))
        .collect();
    SOLD[*sold].narrow(&caveats, &asked, observe);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_caveat_makes_a_token_buy_more(case in case()) {
        narrow(&case, &mut |_verdict| {});
    }
}

proptest! {
    /// The path of a resource may be any text: it is one item, and names that path only.
    #[test]
    fn a_token_for_a_path_buys_that_path_alone(path in "/\\PC{0,40}", other in "/\\PC{0,40}") {
        let sold = Sold::for_path(&path);
        let bound = |path| [(FITTING.service, FITTING.context().with_resource(path))];
        prop_assert!(sold.buys(&bound(&*path)));
        prop_assert_eq!(sold.buys(&bound(&*other)), path == other);
    }
}

/// Every condition twice, in every pair of its values.
#[test]
fn no_second_value_of_a_condition_makes_a_token_buy_more() {
    let asks = [
        FITTING,
        Ask {
            resource: Some("/v1/today"),
            ..FITTING
        },
        Ask {
            capability: Some("read"),
            ..FITTING
        },
    ];
    let asked: Vec<_> = asks
        .iter()
        .map(|ask| (ask.service, ask.context()))
        .collect();
    for (condition, values) in USUAL {
        let caveats = values.iter().map(|value| format!("{condition}={value}"));
        let caveats: Vec<String> = caveats.collect();
        for first in &caveats {
            for second in &caveats {
                let pair = [first.as_bytes(), second.as_bytes()];
                for sold in SOLD.iter() {
                    sold.narrow(&pair, &asked, &mut |_verdict| {});
                }
            }
        }
    }
}

/// A property of tokens that never buy anything would hold for nothing.
#[test]
fn the_tokens_drawn_are_granted_and_denied_in_every_way_a_caveat_can() {
    let mut runner = TestRunner::deterministic();
    let (mut granted, mut codes) = (0, BTreeSet::new());
    for _ in 0..1_000 {
        let case = case().new_tree(&mut runner).unwrap().current();
        narrow(&case, &mut |verdict| match verdict {
            Ok(_) => granted += 1,
            Err(denial) => {
                codes.insert(denial.code());
            }
        });
    }
    assert!(granted > 1_000, "{granted} granted");
    let expected = [
        "expired",
        "missing_capability",
        "tier_too_low",
        "unpaid",
        "unreadable_caveat",
        "widened_caveat",
        "wrong_client",
        "wrong_method",
        "wrong_path",
        "wrong_service",
    ];
    assert_eq!(codes, BTreeSet::from(expected));
}
