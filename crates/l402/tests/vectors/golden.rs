//! `l402-macaroon-vectors.json`: two tokens of Lightning Loop and one that was paid, each with
//! every link of its chain, as two independent libraries compute them.

use hmac::{Hmac, KeyInit, Mac};
use l402::{
    Credential, Denial, Identifier, Macaroon, Preimage, RequestContext, RevocationSet, RootKey,
    SchemeName, UnixSeconds, Verified, read_credentials, verify,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{array, bytes, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    root_key: String,
    derived_key: String,
    location: String,
    identifier: String,
    caveats: Vec<String>,
    sig_chain: Vec<String>,
    v2_hex: String,
    v2_base64: String,
    wrong_sig_if_key_not_derived: Option<String>,
    identifier_sha256: Option<String>,
    #[serde(flatten)]
    paid: Option<Paid>,
}

#[derive(Deserialize)]
struct Paid {
    preimage: String,
    payment_hash: String,
    authorization: String,
    paid_macaroon_caveats: Vec<String>,
    paid_macaroon_sig: String,
    paid_macaroon_hex_for_grpc_metadata: String,
}

fn vectors() -> Vec<Vector> {
    read("l402-macaroon-vectors.json")
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

impl Vector {
    fn root(&self) -> RootKey {
        RootKey::new(array(&self.root_key))
    }

    /// The token with its first caveats, for every number of them.
    fn links(&self) -> Vec<Macaroon> {
        let identifier = bytes(&self.identifier);
        let first = Macaroon::mint(&self.root(), &self.location, &identifier).unwrap();
        let mut links = vec![first];
        for caveat in &self.caveats {
            let next = links.last().unwrap().with_caveat(caveat.as_bytes());
            links.push(next.unwrap());
        }
        links
    }

    fn token(&self) -> Macaroon {
        self.links().pop().unwrap()
    }
}

#[test]
fn every_link_of_every_chain_is_reproduced() {
    for vector in vectors() {
        let signatures: Vec<String> = vector
            .links()
            .iter()
            .map(|link| hex::encode(link.signature()))
            .collect();
        assert_eq!(signatures, vector.sig_chain, "{}", vector.name);
    }
}

#[test]
fn the_root_key_goes_through_the_generator_and_is_never_used_as_it_is() {
    for vector in vectors() {
        let derived = hmac(b"macaroons-key-generator", &bytes(&vector.root_key));
        assert_eq!(hex::encode(&derived), vector.derived_key, "{}", vector.name);
        let first = hmac(&derived, &bytes(&vector.identifier));
        assert_eq!(hex::encode(first), vector.sig_chain[0], "{}", vector.name);

        let Some(wrong) = &vector.wrong_sig_if_key_not_derived else {
            continue;
        };
        let underived = vector.caveats.iter().fold(
            hmac(&bytes(&vector.root_key), &bytes(&vector.identifier)),
            |signature, caveat| hmac(&signature, caveat.as_bytes()),
        );
        assert_eq!(&hex::encode(underived), wrong, "{}", vector.name);
        assert_ne!(&hex::encode(vector.token().signature()), wrong);
        let mut forged = bytes(&vector.v2_hex);
        let signature_at = forged.len() - 32;
        forged[signature_at..].copy_from_slice(&bytes(wrong));
        let forged = Macaroon::parse_v2(forged).unwrap();
        assert!(forged.verify(&vector.root()).is_err(), "{}", vector.name);
    }
}

#[test]
fn the_bytes_are_what_other_libraries_write() {
    for vector in vectors() {
        let token = vector.token();

        assert_eq!(token.to_hex(), vector.v2_hex, "{}", vector.name);
        assert_eq!(token.to_base64(), vector.v2_base64, "{}", vector.name);
        for text in [&vector.v2_hex, &vector.v2_base64] {
            assert_eq!(Macaroon::parse_text(text).as_ref(), Ok(&token));
        }
        assert_eq!(token.verify(&vector.root()), Ok(()), "{}", vector.name);
        assert_eq!(token.location(), vector.location.as_bytes());
        assert_eq!(hex::encode(token.identifier()), vector.identifier);
    }
}

#[test]
fn stored_root_keys_are_found_by_the_hash_of_the_identifier() {
    for vector in vectors() {
        let Some(index) = &vector.identifier_sha256 else {
            continue;
        };
        let token = vector.token();
        assert_eq!(&hex::encode(Sha256::digest(token.identifier())), index);
    }
}

/// The vector that was paid.
fn paid() -> (Vector, Paid) {
    let mut vector = vectors().into_iter().find(|vector| vector.paid.is_some());
    let paid = vector.as_mut().and_then(|vector| vector.paid.take());
    (vector.unwrap(), paid.unwrap())
}

fn buys_weather(root: &RootKey, credential: &Credential) -> Result<Verified, Denial> {
    let now = UnixSeconds::new(4_102_444_799);
    let request = RequestContext::new("weather", "GET", "/", now);
    verify(root, &RevocationSet::default(), credential, &request)
}

#[test]
fn the_preimage_pays_the_hash_in_the_identifier() {
    let (vector, paid) = paid();
    let preimage = Preimage::from_hex(&paid.preimage).unwrap();
    let identifier = Identifier::parse(&bytes(&vector.identifier)).unwrap();

    assert_eq!(preimage.payment_hash().to_string(), paid.payment_hash);
    assert!(preimage.matches(&identifier.payment_hash));
}

#[test]
fn the_paid_token_buys_in_an_authorization_line() {
    let (vector, paid) = paid();
    let read = read_credentials([paid.authorization.as_bytes()], []).unwrap();

    assert_eq!(read[0].macaroon(), &vector.token());
    assert_eq!(read[0].preimage().expose_hex(), paid.preimage);
    assert_eq!(read[0].authorization(SchemeName::L402), paid.authorization);
    let grant = buys_weather(&vector.root(), &read[0]).unwrap();
    assert_eq!(
        grant.scope().expires_at(),
        Some(UnixSeconds::new(4_102_444_800))
    );
}

#[test]
fn the_paid_token_buys_in_metadata() {
    let (vector, paid) = paid();
    let preimage = paid.paid_macaroon_caveats.last().unwrap();
    let carrying = vector.token().with_caveat(preimage.as_bytes()).unwrap();
    let caveats: Vec<String> = carrying
        .unverified_caveats()
        .map(|caveat| String::from_utf8(caveat.id().to_vec()).unwrap())
        .collect();
    assert_eq!(caveats, paid.paid_macaroon_caveats);
    assert_eq!(hex::encode(carrying.signature()), paid.paid_macaroon_sig);
    let metadata = &paid.paid_macaroon_hex_for_grpc_metadata;
    assert_eq!(&carrying.to_hex(), metadata);

    let read = read_credentials([], [metadata.as_bytes()]).unwrap();

    assert_eq!(read[0].macaroon(), &carrying);
    assert_eq!(read[0].preimage().expose_hex(), paid.preimage);
    assert!(buys_weather(&vector.root(), &read[0]).is_ok());
}
