//! Whatever is written as a caveat is read back; and a token with more caveats never buys more.

use std::net::IpAddr;

use l402::{
    Caveat, Credential, Grant, Identifier, Macaroon, Msat, Preimage, RequestContext, RevocationSet,
    RootKey, TokenId, UnixSeconds, verify,
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

/// Adds the caveats one by one to a token for a service: what the longer token buys, the
/// shorter one bought as well, on terms at least as good.
pub fn narrowing_never_widens(caveats: &[&[u8]]) {
    let mut token = paid_token();
    let mut before = buys(&token);
    assert!(before.iter().flatten().next().is_some());
    for caveat in caveats {
        let Ok(narrowed) = token.with_caveat(caveat) else {
            continue;
        };
        let after = buys(&narrowed);
        for (before, after) in before.iter().zip(&after) {
            if let Some(after) = after {
                let before = before.as_ref().expect("a denied request stays denied");
                assert!(is_within(after, before), "{after:?} beyond {before:?}");
            }
        }
        (token, before) = (narrowed, after);
    }
}

fn is_within(after: &Grant, before: &Grant) -> bool {
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
    no_later
        && no_more
        && after.tier() <= before.tier()
        && after.identifier() == before.identifier()
}

const ROOT: RootKey = RootKey::new([7; 32]);
const PREIMAGE: [u8; 32] = [9; 32];

fn paid_token() -> Macaroon {
    let identifier = Identifier {
        payment_hash: Preimage::new(PREIMAGE).payment_hash(),
        token_id: TokenId::new([1; 32]),
    };
    Macaroon::mint(&ROOT, "lsat", &identifier.to_bytes())
        .and_then(|token| token.with_caveat(b"services=weather:9,news:9"))
        .expect("it fits")
}

/// What the token buys of a few requests.
fn buys(token: &Macaroon) -> Vec<Option<Grant>> {
    let credential = Credential::new(token.clone(), Preimage::new(PREIMAGE));
    requests()
        .iter()
        .map(|request| verify(&ROOT, &RevocationSet::default(), &credential, request).ok())
        .collect()
}

fn requests() -> [RequestContext<'static>; 4] {
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
    ]
}
