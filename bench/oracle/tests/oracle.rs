//! Two implementations, one chain: tokens of the `macaroon` crate are read and verified here,
//! and ours there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use l402::{Macaroon, RootKey};
use macaroon::{ByteString, Format, MacaroonKey, Verifier};
use proptest::collection::vec;
use proptest::prelude::*;

fn theirs(root: [u8; 32], identifier: &[u8], caveats: &[Vec<u8>]) -> macaroon::Macaroon {
    let key = MacaroonKey::generate(&root);
    let location = Some("lsat".to_owned());
    let identifier = ByteString(identifier.to_vec());
    let mut token = macaroon::Macaroon::create(location, &key, identifier).unwrap();
    for caveat in caveats {
        token.add_first_party_caveat(ByteString(caveat.clone()));
    }
    token
}

fn ours(root: [u8; 32], identifier: &[u8], caveats: &[Vec<u8>]) -> Macaroon {
    let token = Macaroon::mint(&RootKey::new(root), "lsat", identifier).unwrap();
    caveats
        .iter()
        .fold(token, |token, caveat| token.with_caveat(caveat).unwrap())
}

fn signature(theirs: &macaroon::Macaroon) -> [u8; 32] {
    let signature = theirs.signature();
    <[u8; 32]>::try_from(&signature[..]).unwrap()
}

fn some_bytes(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..=longest)
}

fn caveats() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(some_bytes(200), 0..12)
}

proptest! {
    #[test]
    fn both_sign_alike(root: [u8; 32], identifier in some_bytes(200), caveats in caveats()) {
        let (ours, theirs) = (ours(root, &identifier, &caveats), theirs(root, &identifier, &caveats));
        prop_assert_eq!(*ours.signature(), signature(&theirs));
    }

    #[test]
    fn ours_reads_and_verifies_theirs(root: [u8; 32], identifier in some_bytes(200), caveats in caveats()) {
        let theirs = theirs(root, &identifier, &caveats);
        for format in [Format::V1, Format::V2] {
            let read = Macaroon::parse_text(&theirs.serialize(format).unwrap()).unwrap();
            prop_assert_eq!(&read, &ours(root, &identifier, &caveats));
            prop_assert_eq!(read.verify(&RootKey::new(root)), Ok(()));
            let mut other = root;
            other[0] ^= 1;
            prop_assert!(read.verify(&RootKey::new(other)).is_err());
        }
    }

    #[test]
    fn ours_reads_their_json(root: [u8; 32], identifier in "[ -~]{1,40}", caveats in vec("[ -~]{1,40}", 0..6)) {
        let caveats: Vec<Vec<u8>> = caveats.into_iter().map(String::into_bytes).collect();
        let theirs = theirs(root, identifier.as_bytes(), &caveats);
        let read = Macaroon::parse_text(&theirs.serialize(Format::V2JSON).unwrap()).unwrap();
        prop_assert_eq!(read, ours(root, identifier.as_bytes(), &caveats));
    }

    #[test]
    fn theirs_reads_and_verifies_ours(root: [u8; 32], identifier in some_bytes(200), caveats in caveats()) {
        let ours = ours(root, &identifier, &caveats);
        let read = macaroon::Macaroon::deserialize(ours.to_base64()).unwrap();
        prop_assert_eq!(read.identifier().0, identifier);
        let mut verifier = Verifier::default();
        for caveat in &caveats {
            verifier.satisfy_exact(ByteString(caveat.clone()));
        }
        prop_assert!(verifier.verify(&read, &MacaroonKey::generate(&root), vec![]).is_ok());
    }

    #[test]
    fn the_chain_runs_through_third_party_caveats_alike(
        root: [u8; 32],
        before in caveats(),
        id in some_bytes(60),
        after in caveats(),
    ) {
        let mut theirs = theirs(root, b"id", &before);
        let key = MacaroonKey::generate(b"of another issuer");
        theirs.add_third_party_caveat("https://auth.example", &key, ByteString(id));
        let read = Macaroon::parse_text(&theirs.serialize(Format::V2).unwrap()).unwrap();
        prop_assert_eq!(read.verify(&RootKey::new(root)), Ok(()));

        let mut narrowed = read;
        for caveat in after {
            narrowed = narrowed.with_caveat(&caveat).unwrap();
            theirs.add_first_party_caveat(ByteString(caveat));
        }
        prop_assert_eq!(*narrowed.signature(), signature(&theirs));
    }
}
