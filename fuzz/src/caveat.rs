//! Whatever is written as a caveat is read back; a token with more caveats never buys more; and
//! a proof grants what a verification grants.

use std::net::IpAddr;
use std::sync::LazyLock;

use l402::{
    ApertureKey, Caveat, Credential, Denial, Dialect, Identifier, KeyRing, Macaroon, MasterKey,
    Msat, Preimage, Proof, RequestContext, RevocationSet, RootKey, RootKeys, Scope, Services,
    TokenId, UnixSeconds, Verified, mint, verify,
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
    for sold in &*SOLD {
        sold.narrow(&lines, &requests(), &mut |_verdict| {});
    }
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

/// A token as its issuer sold it, and the keys that verify it.
pub struct Sold {
    token: Macaroon,
    keys: &'static (dyn RootKeys + Sync),
    dialect: Dialect,
}

/// What a request got.
pub type Verdict = Result<Verified, Denial>;

/// A request, and the service its route belongs to.
pub type Asked<'a> = (&'a str, RequestContext<'a>);

/// Tokens of every kind: minted by a ring, under a stored key, and under a key that Aperture
/// stored; for several services, for one path, with uses to count, for no service, and bare.
pub static SOLD: LazyLock<Vec<Sold>> = LazyLock::new(|| {
    let sold = |keys, dialect| {
        FIRST.iter().map(move |first| Sold {
            token: stored_token(first),
            keys,
            dialect,
        })
    };
    let services = Services::new("weather", 9).and_then(|services| services.and("news", 9));
    let minted = Sold {
        token: minted_token(&services.expect("a list of services")),
        keys: &*RING,
        dialect: Dialect::Tollway,
    };
    sold(&ROOT, Dialect::Tollway)
        .chain(sold(&*APERTURE, Dialect::Aperture))
        .chain([minted, Sold::for_path("/v1/today")])
        .collect()
});

impl Sold {
    /// Mints a token for one path of the service `weather`.
    pub fn for_path(path: &str) -> Self {
        let services = Services::resource("weather", path, 9);
        Self {
            token: minted_token(&services.expect("a path")),
            keys: &*RING,
            dialect: Dialect::Tollway,
        }
    }

    /// True when the token buys all of the requests.
    pub fn buys(&self, requests: &[Asked<'_>]) -> bool {
        self.verdicts(&self.token, requests)
            .iter()
            .all(Result::is_ok)
    }

    /// Adds the caveats one by one. What the longer token buys of the requests, the shorter
    /// one bought as well, on terms at least as good; what denied it once denies it for ever.
    ///
    /// A bare token begins with the first of the caveats: appending that makes the very token
    /// that an issuer mints, which is why issuers mint with services only.
    pub fn narrow(
        &self,
        caveats: &[&[u8]],
        requests: &[Asked<'_>],
        observe: &mut impl FnMut(&Verdict),
    ) {
        let mut token = self.token.clone();
        let mut before = self.verdicts(&token, requests);
        let mut is_bare = token.unverified_caveats().next().is_none();
        assert!(
            !is_bare || before.iter().all(Result::is_err),
            "a bare token buys nothing"
        );
        for caveat in caveats {
            let Ok(narrowed) = token.with_caveat(caveat) else {
                continue;
            };
            let after = self.verdicts(&narrowed, requests);
            check_proofs(&narrowed, requests);
            for ((before, after), (service, request)) in before.iter().zip(&after).zip(requests) {
                observe(after);
                self.check_capabilities(&narrowed, request, after);
                if !is_bare {
                    check_narrowed(before, after);
                }
                if self.is_beyond_lists(&narrowed, service) {
                    check_refused_unread(before, after);
                }
            }
            (token, before, is_bare) = (narrowed, after, false);
        }
    }

    fn verdicts(&self, token: &Macaroon, requests: &[Asked<'_>]) -> Vec<Verdict> {
        let credential = Credential::new(token.clone(), Preimage::new(PREIMAGE));
        let revoked = RevocationSet::default();
        requests
            .iter()
            .map(|(_, request)| verify(self.keys, &revoked, &credential, request))
            .collect()
    }

    /// The capabilities in the scope of a grant are those that a request may need.
    fn check_capabilities(
        &self,
        token: &Macaroon,
        request: &RequestContext<'_>,
        verdict: &Verdict,
    ) {
        let Ok(verified) = verdict else { return };
        let needing = ["read", "write", "other"].map(|name| (name, request.with_capability(name)));
        let verdicts = self.verdicts(token, &needing);
        for ((name, _), verdict) in needing.iter().zip(verdicts) {
            let mut held = verified.scope().capabilities();
            let is_held = held
                .as_mut()
                .is_none_or(|held| held.any(|held| held == *name));
            assert_eq!(verdict.is_ok(), is_held, "{name}: {verdict:?}");
        }
    }

    /// True when the token's lists have more items than are ever compared: 64 in one list, and
    /// 256 in all.
    fn is_beyond_lists(&self, token: &Macaroon, service: &str) -> bool {
        let mut all = 0;
        token.unverified_caveats().any(|caveat| {
            let items = self.list_items(caveat.id(), service);
            all += items;
            items > 64 || all > 256
        })
    }

    fn list_items(&self, caveat: &[u8], service: &str) -> usize {
        let text = std::str::from_utf8(caveat).unwrap_or_default();
        let Some((condition, list)) = text.split_once('=') else {
            return 0;
        };
        let condition = condition.trim_ascii();
        let is_list = condition == "services"
            || condition.strip_prefix(service) == Some("_capabilities")
            || (condition == "method" && self.dialect == Dialect::Tollway);
        if is_list { list.split(',').count() } else { 0 }
    }
}

/// A proof grants what a verification grants: always the request that it was established with,
/// and never one that is denied.
fn check_proofs(token: &Macaroon, requests: &[Asked<'_>]) {
    let credential = Credential::new(token.clone(), Preimage::new(PREIMAGE));
    let revoked = RevocationSet::default();
    let verify = |request| verify(&*RING, &revoked, &credential, request);
    for (_, request) in requests {
        let (verified, proof) = match Proof::establish(&RING, &revoked, &credential, request) {
            Ok(established) => established,
            Err(denial) => {
                assert_eq!(verify(request), Err(denial));
                continue;
            }
        };
        assert_eq!(verify(request), Ok(verified));
        assert!(proof.verify(&RING, &revoked, request).is_some());
        for (_, other) in requests {
            if let Some(proven) = proof.verify(&RING, &revoked, other) {
                assert_eq!(verify(other), Ok(proven));
            }
        }
    }
}

fn check_narrowed(before: &Verdict, after: &Verdict) {
    match (before, after) {
        (Ok(before), Ok(after)) => {
            let (before, after) = (before.scope(), after.scope());
            assert!(is_within(after, before), "{after:?} beyond {before:?}");
        }
        (Ok(_), Err(_)) => {}
        (Err(before), Err(after)) if is_final(before) => assert_eq!(after, before),
        (Err(_), Err(_)) => {}
        (Err(before), Ok(after)) => panic!("{before} before, {after:?} after"),
    }
}

/// A list that is too long ends the verification before it is compared with another.
fn check_refused_unread(before: &Verdict, after: &Verdict) {
    match (before, after) {
        (Err(before), Err(after)) if is_final(before) => assert_eq!(after, before),
        (_, Err(Denial::Unreadable { .. })) => {}
        (_, verdict) => panic!("a list without bounds was compared: {verdict:?}"),
    }
}

/// True for a denial by one of the caveats; the others are found once all of them are read.
fn is_final(denial: &Denial) -> bool {
    let needs_all = matches!(
        denial,
        Denial::MissingCapability { .. } | Denial::TierTooLow { .. }
    );
    let names_none = matches!(denial, Denial::WrongService { granted, .. } if granted.is_empty());
    !needs_all && !names_none
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

/// What stored tokens were sold with.
const FIRST: [&[&str]; 7] = [
    &[],
    &["services=weather:9,news:9"],
    &["services=weather/v1/today:9"],
    &["services=weather:9,weather:3", "max_uses=9"],
    &["weather_capabilities=read"],
    &["note=admin"],
    &["services"],
];

fn stored_token(caveats: &[&str]) -> Macaroon {
    let identifier = Identifier {
        payment_hash: Preimage::new(PREIMAGE).payment_hash(),
        token_id: TokenId::new([1; 32]),
    };
    let token = Macaroon::mint(&ROOT, "lsat", &identifier.to_bytes()).expect("it fits");
    caveats.iter().fold(token, |token, caveat| {
        token.with_caveat(caveat.as_bytes()).expect("it fits")
    })
}

fn minted_token(services: &Services) -> Macaroon {
    let hash = Preimage::new(PREIMAGE).payment_hash();
    mint(&RING, hash, services, &[], NOW, [3; 20]).expect("it fits")
}

const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);
const PREIMAGE: [u8; 32] = [9; 32];
static ROOT: RootKey = RootKey::new([7; 32]);
static APERTURE: LazyLock<ApertureKey> = LazyLock::new(|| ApertureKey::new(ROOT.clone()));
static RING: LazyLock<KeyRing> = LazyLock::new(|| KeyRing::new(MasterKey::new([8; 32])));

fn requests() -> [Asked<'static>; 6] {
    let weather = RequestContext::new("weather", "GET", "/v1/today", NOW);
    let news = RequestContext::new("news", "POST", "/v1/today", UnixSeconds::new(0));
    let above = RequestContext::new("weather", "GET", "/v1/../admin", NOW);
    [
        ("weather", weather),
        (
            "weather",
            weather
                .with_capability("read")
                .with_client_ip(IpAddr::from([192, 0, 2, 7]))
                .with_tls_certificate(&[0xab; 32]),
        ),
        ("news", news.with_origin("https://a.example")),
        ("weather", above),
        ("weather", weather.with_tier(3)),
        ("weather", weather.with_resource("/v1/today")),
    ]
}
