//! Credentials that are remembered: refused for whatever a new one is refused for.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Method, header};
use l402::{Credential, SchemeName};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tollway_server::keys::LiveKeyRing;
use tollway_server::keys::file::{self, KeyFile, Removal};
use tollway_server::ledger::MemoryLedger;
use tollway_server::{GateSettings, Peer, Redeemed, RequestInfo, Requirement};

use crate::support::{
    NOON, Shop, advance_secs, get, name, narrowed, paid_get, settings, token_id, uses, weather,
};

#[tokio::test]
async fn a_remembered_credential_is_refused_for_what_a_new_one_is() {
    for change in [
        Change::Nothing,
        Change::Capability,
        Change::Certificate,
        Change::Client,
        Change::Method,
        Change::Origin,
        Change::Path,
        Change::Revocation,
        Change::RevocationOfAll,
        Change::Service,
        Change::Tier,
        // Last: the clock is not set back.
        Change::Expiry,
    ] {
        let shop = Shop::open().await;
        let forgetful = shop_that_remembers(0).await;
        let credential = bound(&shop).await;
        let usual = Ask::usual(&credential);
        for _ in 0..3 {
            assert_eq!(outcome(&shop, &usual).await, "admitted", "{change:?}");
        }

        let mut changed = usual;
        change.apply(&mut changed);
        for shop in [&shop, &forgetful] {
            change.apply_to_gate(shop, &credential).await;
        }

        let refused = outcome(&shop, &changed).await;
        assert_eq!(refused, outcome(&forgetful, &changed).await, "{change:?}");
        assert_eq!(refused, change.expected(), "{change:?}");
    }
}

#[tokio::test]
async fn a_remembered_credential_is_forged_once_its_key_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let keys = Arc::new(LiveKeyRing::open(&path).unwrap());
    let shop = Shop::with_keys(Arc::clone(&keys)).await;
    let parts = paid_get(&shop.buy().await);
    assert!(shop.admit(&parts).await.is_ok());
    let id = KeyFile::read(&path).unwrap().summaries()[0].id;

    file::rotate(&path, NOON).unwrap();
    keys.refresh();
    assert!(shop.admit(&parts).await.is_ok(), "retired, not removed");
    file::remove(&path, id, Removal::AtOnce).unwrap();
    keys.refresh();

    assert_eq!(shop.reason(&parts).await.code().as_str(), "forged");
}

#[tokio::test]
async fn a_remembered_counted_token_is_counted_at_every_use() {
    let mut shop = Shop::open().await;
    shop.terms = shop.terms.with_uses_max(uses(3));
    let (old, new) = (shop.buy().await, shop.buy().await);

    for left in [2, 1, 0] {
        let grant = shop.admit(&paid_get(&old)).await.unwrap();
        assert_eq!(grant.uses_remaining(), Some(left));
    }
    let reason = shop.reason(&paid_get(&old)).await;
    assert_eq!(reason.code().as_str(), "exhausted");

    let mut both = paid_get(&old);
    let line = new.authorization(SchemeName::L402);
    let line = HeaderValue::from_str(&line).unwrap();
    both.headers.append(header::AUTHORIZATION, line);
    let grant = shop.admit(&both).await.unwrap();
    assert_eq!(grant.identifier().token_id, token_id(&new));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Two gates with the same keys, one of which remembers nothing.
    #[test]
    fn no_request_tells_whether_credentials_are_remembered(
        caveats in vec(vec(select(CAVEATS.to_vec()), 0..4), 1..4),
        asks in vec((any::<prop::sample::Index>(), ask()), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let shop = Shop::open().await;
            let forgetful = shop_that_remembers(0).await;
            let sold = shop.buy().await;
            let credentials: Vec<Credential> = caveats
                .iter()
                .map(|caveats| caveats.iter().fold(sold.clone(), |token, caveat| narrowed(&token, caveat)))
                .collect();
            for (which, request) in asks {
                let ask = Ask { credential: which.get(&credentials), request };
                let verdict = outcome(&shop, &ask).await;
                prop_assert_eq!(verdict, outcome(&forgetful, &ask).await, "{:?}", ask.request);
            }
            Ok(())
        })?;
    }
}

/// What a holder adds; some of it makes the token good for nothing.
const CAVEATS: [&str; 13] = [
    "path_prefix=/v1",
    "path_prefix=/v1/today",
    "method=GET",
    "method=GET,POST",
    "ip=192.0.2.7",
    "origin=https://a.example",
    "weather_valid_until=1800000005",
    "expiration=1800000009000",
    "weather_capabilities=read",
    "max_uses=3",
    "services=weather:0",
    "note=1",
    "valid_until=soon",
];

#[derive(Clone, Debug)]
struct Request {
    requirement: Requirement,
    method: Method,
    path: &'static str,
    address: IpAddr,
    certificate: Option<[u8; 32]>,
    origin: &'static str,
}

impl Request {
    fn usual() -> Self {
        Self {
            requirement: weather().with_capability("read".parse().unwrap()),
            method: Method::GET,
            path: "/v1/today",
            address: IpAddr::from([192, 0, 2, 7]),
            certificate: Some([0xab; 32]),
            origin: "https://a.example",
        }
    }
}

fn ask() -> impl Strategy<Value = Request> {
    let requirements = vec![
        weather(),
        weather(),
        weather().with_capability("read".parse().unwrap()),
        weather().with_capability("write".parse().unwrap()),
        weather().with_tier(1),
        weather().bound_to_path(),
        Requirement::new(name("maps")),
    ];
    let paths = vec!["/v1/today", "/v1/today", "/v1", "/v1/../v1/today", "/v2"];
    let methods = vec![Method::GET, Method::GET, Method::POST];
    let origins = vec!["https://a.example", "https://b.example"];
    let request = (
        select(requirements),
        select(methods),
        select(paths),
        select(origins),
        7..9_u8,
    );
    request.prop_map(|(requirement, method, path, origin, host)| Request {
        requirement,
        method,
        path,
        origin,
        address: IpAddr::from([192, 0, 2, host]),
        ..Request::usual()
    })
}

/// A request with a credential.
struct Ask<'a> {
    credential: &'a Credential,
    request: Request,
}

impl<'a> Ask<'a> {
    fn usual(credential: &'a Credential) -> Self {
        Self {
            credential,
            request: Request::usual(),
        }
    }

    fn parts(&self) -> Parts {
        let mut parts = get(self.request.path);
        parts.method = self.request.method.clone();
        let line = self.credential.authorization(SchemeName::L402);
        let line = HeaderValue::from_str(&line).unwrap();
        parts.headers.insert(header::AUTHORIZATION, line);
        let origin = HeaderValue::from_static(self.request.origin);
        parts.headers.insert(header::ORIGIN, origin);
        parts
    }
}

/// What differs from the request that was admitted.
#[derive(Clone, Copy, Debug)]
enum Change {
    Capability,
    Certificate,
    Client,
    Expiry,
    Method,
    Nothing,
    Origin,
    Path,
    Revocation,
    RevocationOfAll,
    Service,
    Tier,
}

impl Change {
    fn apply(self, ask: &mut Ask<'_>) {
        let request = &mut ask.request;
        match self {
            Self::Capability => {
                request.requirement = weather().with_capability("write".parse().unwrap());
            }
            Self::Certificate => request.certificate = None,
            Self::Client => request.address = IpAddr::from([192, 0, 2, 8]),
            Self::Method => request.method = Method::DELETE,
            Self::Origin => request.origin = "https://b.example",
            Self::Path => request.path = "/v2",
            Self::Service => request.requirement = Requirement::new(name("maps")),
            Self::Tier => request.requirement = weather().with_tier(1),
            Self::Expiry | Self::Nothing | Self::Revocation | Self::RevocationOfAll => {}
        }
    }

    async fn apply_to_gate(self, shop: &Shop, credential: &Credential) {
        let revocations = shop.gate.revocations();
        match self {
            // The clock is that of both gates.
            Self::Expiry => advance_secs(30),
            Self::Revocation => revocations.revoke(token_id(credential)).await.unwrap(),
            Self::RevocationOfAll => {
                let later = NOON.plus_secs(3_600);
                revocations.revoke_minted_before(later).await.unwrap();
            }
            Self::Capability
            | Self::Certificate
            | Self::Client
            | Self::Method
            | Self::Nothing
            | Self::Origin
            | Self::Path
            | Self::Service
            | Self::Tier => {}
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Nothing => "admitted",
            Self::Capability => "missing_capability",
            Self::Certificate | Self::Client | Self::Origin => "wrong_client",
            Self::Expiry => "expired",
            Self::Method => "wrong_method",
            Self::Path => "wrong_path",
            Self::Revocation | Self::RevocationOfAll => "revoked",
            Self::Service => "wrong_service",
            Self::Tier => "tier_too_low",
        }
    }
}

/// A token that is bound to everything a token can be bound to.
async fn bound(shop: &Shop) -> Credential {
    let fingerprint = format!("tls_fingerprint={}", "ab".repeat(32));
    [
        "weather_capabilities=read",
        "weather_valid_until=1800000060",
        "ip=192.0.2.7",
        "origin=https://a.example",
        &fingerprint,
        "method=GET,POST",
        "path_prefix=/v1",
    ]
    .iter()
    .fold(shop.buy().await, |token, caveat| narrowed(&token, caveat))
}

/// A shop with the keys of every other.
async fn shop_that_remembers(credentials_remembered_max: usize) -> Shop {
    let settings = GateSettings {
        credentials_remembered_max,
        ..settings()
    };
    Shop::with(Arc::new(MemoryLedger::new()), settings).await
}

/// The reason of a refusal, without a challenge; and what is granted of a token.
async fn outcome(shop: &Shop, ask: &Ask<'_>) -> String {
    let parts = ask.parts();
    let request = &ask.request;
    let peer = Peer {
        tls_fingerprint: request.certificate,
        ..Peer::at(request.address)
    };
    let info = RequestInfo::of(&parts, peer);
    match shop.gate.admit_paid(&request.requirement, &info).await {
        Ok(Redeemed::Admitted(mut admitted)) => {
            admitted.settlement.commit().await.unwrap();
            assert_eq!(
                admitted.grant.identifier().token_id,
                token_id(ask.credential)
            );
            match admitted.grant.uses_remaining() {
                Some(left) => format!("admitted, {left} left"),
                None => "admitted".to_owned(),
            }
        }
        Ok(Redeemed::Refused(reason)) => reason.code().as_str().to_owned(),
        Err(rejection) => rejection.code().as_str().to_owned(),
    }
}
