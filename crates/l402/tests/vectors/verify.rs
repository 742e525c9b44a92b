//! `verify.json`: which token buys which request.

use std::net::IpAddr;
use std::num::NonZeroU64;

use l402::{
    ApertureKey, Credential, Denial, Identifier, KeyRing, Macaroon, MasterKey, Preimage, Proof,
    RequestContext, RevocationSet, RootKey, RootKeys as _, UnixSeconds, Verified, verify,
};
use serde::Deserialize;

use super::{array, bytes, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "about")]
    _about: String,
    root_key_hex: String,
    preimage_hex: String,
    payment_hash_hex: String,
    token_id_hex: String,
    request: RequestView,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// As a reader wants to see them; the token has them too.
    caveats: Vec<CaveatView>,
    token_hex: String,
    preimage_hex: Option<String>,
    #[serde(default)]
    revoked: bool,
    #[serde(default)]
    dialect: DialectView,
    #[serde(default)]
    request: RequestView,
    granted: Option<GrantView>,
    denied: Option<String>,
    saying: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CaveatView {
    Text(String),
    Binary { hex: String },
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DialectView {
    Aperture,
    #[default]
    Tollway,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RequestView {
    service: Option<String>,
    resource: Option<String>,
    tier: Option<u8>,
    capability: Option<String>,
    method: Option<String>,
    path: Option<String>,
    now: Option<u64>,
    client_ip: Option<IpAddr>,
    origin: Option<String>,
    tls_fingerprint: Option<String>,
}

/// What the grant must contain; what is left out may be anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantView {
    service: Option<String>,
    resource: Option<String>,
    tier: Option<u8>,
    #[serde(default, deserialize_with = "present")]
    expires_at: Option<Option<u64>>,
    uses_max: Option<u64>,
    capabilities: Option<Vec<String>>,
}

/// Distinguishes `null` from nothing.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl Vectors {
    fn verify(&self, case: &Case) -> Result<Verified, Denial> {
        let preimage = case.preimage_hex.as_ref().unwrap_or(&self.preimage_hex);
        let token = Macaroon::parse_v2(bytes(&case.token_hex)).unwrap();
        let identifier = Identifier::parse(token.identifier()).unwrap();
        assert_eq!(identifier.payment_hash.to_string(), self.payment_hash_hex);
        assert_eq!(identifier.token_id.to_string(), self.token_id_hex);

        let mut revoked = RevocationSet::default();
        if case.revoked {
            revoked.revoke(identifier.token_id);
        }
        let fingerprint = case.request.tls_fingerprint.as_deref().map(array);
        let request = self.context(&case.request, fingerprint.as_ref());
        let credential = Credential::new(token, Preimage::from_hex(preimage).unwrap());
        let root = RootKey::new(array(&self.root_key_hex));
        match case.dialect {
            DialectView::Aperture => {
                verify(&ApertureKey::new(root), &revoked, &credential, &request)
            }
            DialectView::Tollway => verify(&root, &revoked, &credential, &request),
        }
    }
}

impl Vectors {
    fn context<'a>(
        &'a self,
        asked: &'a RequestView,
        fingerprint: Option<&'a [u8; 32]>,
    ) -> RequestContext<'a> {
        let default = &self.request;
        let service = asked.service.as_ref().or(default.service.as_ref());
        let method = asked.method.as_ref().or(default.method.as_ref());
        let path = asked.path.as_ref().or(default.path.as_ref());
        let now = UnixSeconds::new(asked.now.or(default.now).unwrap());
        RequestContext::new(service.unwrap(), method.unwrap(), path.unwrap(), now)
            .with_resource(asked.resource.as_deref())
            .with_tier(asked.tier.unwrap_or(0))
            .with_capability(asked.capability.as_deref())
            .with_client_ip(asked.client_ip)
            .with_origin(asked.origin.as_deref())
            .with_tls_certificate(fingerprint)
    }

    /// The token of a case, minted under a key of `ring`.
    fn minted(&self, ring: &KeyRing, case: &Case) -> Credential {
        let preimage = case.preimage_hex.as_ref().unwrap_or(&self.preimage_hex);
        let identifier = Identifier {
            payment_hash: self.payment_hash_hex.parse().unwrap(),
            token_id: ring.token_id(UnixSeconds::new(0), [7; 20]),
        };
        let identifier = identifier.to_bytes();
        let root = ring.root_key(&identifier).unwrap();
        let bare = Macaroon::mint(&root, "lsat", &identifier).unwrap();
        let original = Macaroon::parse_v2(bytes(&case.token_hex)).unwrap();
        let token = original.unverified_caveats().fold(bare, |token, caveat| {
            token.with_caveat(caveat.id()).unwrap()
        });
        Credential::new(token, Preimage::from_hex(preimage).unwrap())
    }
}

impl Case {
    fn check(&self, verdict: &Result<Verified, Denial>) {
        let name = &self.name;
        match (verdict, &self.granted, &self.denied) {
            (Ok(grant), Some(expected), None) => expected.check(name, grant),
            (Err(denial), None, Some(expected)) => {
                assert_eq!(denial.code(), expected, "{name}: {denial}");
                let said = self.saying.as_deref().unwrap_or_default();
                assert!(denial.to_string().contains(said), "{name}: {denial}");
            }
            _ => panic!("{name}: {verdict:?}"),
        }
    }
}

impl GrantView {
    fn check(&self, name: &str, verified: &Verified) {
        let grant = verified.scope();
        if let Some(service) = &self.service {
            assert_eq!(grant.service(), service, "{name}");
        }
        if self.resource.is_some() {
            assert_eq!(grant.resource(), self.resource.as_deref(), "{name}");
        }
        if let Some(tier) = self.tier {
            assert_eq!(grant.tier(), tier, "{name}");
        }
        if let Some(expires_at) = self.expires_at {
            assert_eq!(
                grant.expires_at().map(UnixSeconds::as_secs),
                expires_at,
                "{name}"
            );
        }
        if let Some(capabilities) = &self.capabilities {
            let held = grant.capabilities().into_iter().flatten();
            assert_eq!(held.collect::<Vec<_>>(), *capabilities, "{name}");
        }
        if self.uses_max.is_some() {
            assert_eq!(
                grant.uses_max().map(NonZeroU64::get),
                self.uses_max,
                "{name}"
            );
        }
    }
}

#[test]
fn every_token_buys_what_its_caveats_leave_and_nothing_else() {
    let vectors: Vectors = read("verify.json");
    for case in &vectors.cases {
        case.check(&vectors.verify(case));
    }
}

/// The token of every case, proven with its own request, and then with that of every case.
#[test]
fn a_proof_grants_what_a_verification_grants() {
    let vectors: Vectors = read("verify.json");
    let ring = KeyRing::new(MasterKey::new([1; 32]));
    let revoked = RevocationSet::default();
    let views = || vectors.cases.iter().map(|case| &case.request);
    let fingerprints: Vec<_> = views()
        .map(|asked| asked.tls_fingerprint.as_deref().map(array))
        .collect();
    let requests: Vec<_> = views()
        .zip(&fingerprints)
        .map(|(asked, fingerprint)| vectors.context(asked, fingerprint.as_ref()))
        .collect();
    let mut granted = [0, 0];
    for (case, own) in vectors.cases.iter().zip(&requests) {
        let credential = vectors.minted(&ring, case);
        let verdict = |request| verify(&ring, &revoked, &credential, request);
        let (verified, proof) = match Proof::establish(&ring, &revoked, &credential, own) {
            Ok(established) => established,
            Err(denial) => {
                assert_eq!(verdict(own), Err(denial), "{}", case.name);
                continue;
            }
        };
        assert_eq!(verdict(own), Ok(verified), "{}", case.name);
        assert!(proof.verify(&ring, &revoked, own).is_some());
        for request in &requests {
            if let Some(proven) = proof.verify(&ring, &revoked, request) {
                assert_eq!(verdict(request), Ok(proven), "{}", case.name);
                granted[0] += 1;
            } else {
                granted[1] += u32::from(verdict(request).is_ok());
            }
        }
    }
    let [by_proof, by_verification_alone] = granted;
    assert!(by_proof > 10 * by_verification_alone, "{granted:?}");
}

#[test]
fn the_caveats_shown_are_the_caveats_in_the_token() {
    for case in read::<Vectors>("verify.json").cases {
        let token = Macaroon::parse_v2(bytes(&case.token_hex)).unwrap();
        let found: Vec<Vec<u8>> = token
            .unverified_caveats()
            .map(|caveat| caveat.id().to_vec())
            .collect();
        let shown: Vec<Vec<u8>> = case
            .caveats
            .iter()
            .map(|caveat| match caveat {
                CaveatView::Text(text) => text.clone().into_bytes(),
                CaveatView::Binary { hex } => bytes(hex),
            })
            .collect();
        assert_eq!(found, shown, "{}", case.name);
    }
}

#[test]
fn more_cases_are_denied_than_granted() {
    let cases = read::<Vectors>("verify.json").cases;
    let denied = cases.iter().filter(|case| case.denied.is_some()).count();
    assert!(denied > cases.len() - denied);
}
