//! Whatever is written as a caveat is read back; and a token with more caveats never buys more.

use std::net::IpAddr;

use l402::{
    ApertureKey, Caveat, Credential, Identifier, Macaroon, Msat, Preimage, RequestContext,
    RevocationSet, RootKey, RootKeys, Scope, TokenId, UnixSeconds, Verified, verify,
};

/// Takes each line for a caveat, and all of them for those of one token.
pub fn run(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    for text in lines
        .iter()
        .filter_map(|line| std::str::from_utf8(line).ok())
    {
        round_trip(text);
    }
    narrowing_never_widens(&lines);
}

fn round_trip(text: &str) {
    if let Ok(caveat) = Caveat::parse(text) {
        assert_eq!(caveat.to_string(), text);
        assert_eq!(
            Caveat::new(caveat.condition(), caveat.value()).as_ref(),
            Ok(&caveat)
        );
    }
    if let Ok(amount) = text.parse::<Msat>() {
        assert_eq!(amount.to_string().parse(), Ok(amount));
    }
}

/// Adds the caveats one by one to tokens of every kind, under keys of either dialect: what
/// the longer token buys, the shorter one bought as well, on terms at least as good.
///
/// A token without any caveat is no start: appending its first caveat makes the very token
/// that an issuer mints, which is why issuers mint with services only.
pub fn narrowing_never_widens(caveats: &[&[u8]]) {
    for first in FIRST {
        let token = bare_token().with_caveat(first.as_bytes()).expect("it fits");
        narrow(&token, caveats, &ROOT);
        narrow(&token, caveats, &ApertureKey::new(ROOT));
    }
}

/// First caveats: a token for services, and tokens that were sold for none.
const FIRST: [&str; 5] = [
    "services=weather:9,news:9",
    "services=weather/v1/today:9",
    "weather_capabilities=read",
    "note=admin",
    "services",
];

fn narrow(token: &Macaroon, caveats: &[&[u8]], key: &impl RootKeys) {
    let mut token = token.clone();
    let mut before = buys(&token, key);
    for caveat in caveats {
        let Ok(narrowed) = token.with_caveat(caveat) else {
            continue;
        };
        let after = buys(&narrowed, key);
        for (before, after) in before.iter().zip(&after) {
            if let Some(after) = after {
                let before = before.as_ref().expect("a denied request stays denied");
                assert!(
                    is_within(after.scope(), before.scope()),
                    "{after:?} beyond {before:?}"
                );
                check_work(after.scope());
            }
        }
        (token, before) = (narrowed, after);
    }
}

fn is_within(after: &Scope, before: &Scope) -> bool {
    let no_later = match (after.expires_at(), before.expires_at()) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(after), Some(before)) => after <= before,
    };
    let no_more = match (after.uses_max(), before.uses_max()) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(after), Some(before)) => after <= before,
    };
    let no_wider = match (after.capabilities(), before.capabilities()) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(mut after), Some(before)) => {
            let before: Vec<&str> = before.collect();
            after.all(|capability| before.contains(&capability))
        }
    };
    no_later
        && no_more
        && no_wider
        && after.tier() <= before.tier()
        && (after.service(), after.resource()) == (before.service(), before.resource())
        && after.identifier() == before.identifier()
}

/// A token that buys makes no more work than its lists are allowed to: 64 items in one and
/// 256 in all of them, each compared with the items of one list at most.
fn check_work(scope: &Scope) {
    let mut all = 0;
    for caveat in scope.caveats() {
        let Some(list) = list_of(caveat.id(), scope.service()) else {
            continue;
        };
        let items = list.split(',').count();
        assert!(items <= 64, "{items} items in one list");
        all += items;
    }
    assert!(all <= 256, "{all} items in all lists");
}

fn list_of<'a>(caveat: &'a [u8], service: &str) -> Option<&'a str> {
    let (condition, list) = std::str::from_utf8(caveat).ok()?.split_once('=')?;
    let condition = condition.trim_ascii();
    let is_list =
        condition == "services" || condition.strip_prefix(service) == Some("_capabilities");
    is_list.then_some(list)
}

const ROOT: RootKey = RootKey::new([7; 32]);
const PREIMAGE: [u8; 32] = [9; 32];

fn bare_token() -> Macaroon {
    let identifier = Identifier {
        payment_hash: Preimage::new(PREIMAGE).payment_hash(),
        token_id: TokenId::new([1; 32]),
    };
    Macaroon::mint(&ROOT, "lsat", &identifier.to_bytes()).expect("it fits")
}

/// What the token buys of a few requests.
fn buys(token: &Macaroon, key: &impl RootKeys) -> Vec<Option<Verified>> {
    let credential = Credential::new(token.clone(), Preimage::new(PREIMAGE));
    requests()
        .iter()
        .map(|request| verify(key, &RevocationSet::default(), &credential, request).ok())
        .collect()
}

fn requests() -> [RequestContext<'static>; 6] {
    let now = UnixSeconds::new(1_800_000_000);
    let plain = RequestContext::new("weather", "GET", "/v1/today", now);
    [
        plain,
        plain
            .with_capability("read")
            .with_client_ip(IpAddr::from([192, 0, 2, 7]))
            .with_tls_certificate(&[0xab; 32]),
        RequestContext::new("news", "POST", "/v1/today", UnixSeconds::new(0))
            .with_origin("https://a.example"),
        RequestContext::new("weather", "GET", "/v1/../admin", now),
        plain.with_tier(3),
        plain.with_resource("/v1/today"),
    ]
}
