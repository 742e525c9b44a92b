//! Selling over the years: key rotation, revocation, and keys from a database.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use l402::{
    CountedUse, Credential, Denial, Identifier, KeyRing, Macaroon, MasterKey, Preimage,
    RequestContext, RevocationSet, RootKey, RootKeys, Services, UnixSeconds, Verified, mint,
    verify, verify_with,
};

const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

fn master(byte: u8) -> MasterKey {
    MasterKey::new([byte; 32])
}

fn preimage() -> Preimage {
    Preimage::new([9; 32])
}

fn sold_by(ring: &KeyRing, now: UnixSeconds) -> Macaroon {
    let services = Services::new("weather", 0).unwrap();
    mint(
        ring,
        preimage().payment_hash(),
        &services,
        &[],
        now,
        [7; 20],
    )
    .unwrap()
}

fn buys(
    keys: &impl RootKeys,
    revoked: &RevocationSet,
    token: &Macaroon,
) -> Result<Verified, Denial> {
    let request = RequestContext::new("weather", "GET", "/", NOW);
    let credential = Credential::new(token.clone(), preimage());
    verify(keys, revoked, &credential, &request)
}

fn none() -> RevocationSet {
    RevocationSet::default()
}

#[test]
fn a_retired_key_is_honoured_until_it_is_left_out() {
    let before = KeyRing::new(master(1));
    let rotated = KeyRing::new(master(2))
        .with_retired(master(1), NOW)
        .unwrap();
    let rotated_twice = KeyRing::new(master(3))
        .with_retired(master(2), NOW)
        .and_then(|ring| ring.with_retired(master(1), NOW))
        .unwrap();
    let (old, new) = (sold_by(&before, NOW), sold_by(&rotated, NOW));

    for ring in [&rotated, &rotated_twice] {
        assert!(buys(ring, &none(), &old).is_ok());
        assert!(buys(ring, &none(), &new).is_ok());
    }
    assert_eq!(
        buys(&KeyRing::new(master(2)), &none(), &old),
        Err(Denial::Forged)
    );
    assert_eq!(buys(&before, &none(), &new), Err(Denial::Forged));
}

#[test]
fn a_token_minted_under_a_retired_key_after_its_retirement_is_forged() {
    let before = KeyRing::new(master(1));
    let rotated = KeyRing::new(master(2))
        .with_retired(master(1), NOW)
        .unwrap();
    let late = sold_by(&before, NOW.plus_secs(1));

    assert_eq!(buys(&rotated, &none(), &late), Err(Denial::Forged));
    assert!(buys(&rotated, &none(), &sold_by(&before, NOW)).is_ok());
}

#[test]
fn a_token_that_names_another_key_of_the_ring_is_forged() {
    let ring = KeyRing::new(master(2))
        .with_retired(master(1), NOW)
        .unwrap();
    let old = sold_by(&KeyRing::new(master(1)), NOW);
    let new = sold_by(&ring, NOW);
    let mut bytes = old.as_bytes().to_vec();
    // Version, location and the length of the identifier come first; its key id at 34.
    let key_id = 9 + 34..9 + 38;
    bytes[key_id.clone()].copy_from_slice(&new.as_bytes()[key_id]);

    let renamed = Macaroon::parse_v2(bytes).unwrap();

    assert!(renamed.identifier().starts_with(&[0, 0]));
    assert_eq!(buys(&ring, &none(), &renamed), Err(Denial::Forged));
}

#[test]
fn a_token_of_another_seller_is_forged() {
    let theirs = sold_by(&KeyRing::new(master(8)), NOW);
    assert_eq!(
        buys(&KeyRing::new(master(1)), &none(), &theirs),
        Err(Denial::Forged)
    );
}

#[test]
fn what_was_minted_before_a_moment_is_revoked_and_nothing_else() {
    let ring = KeyRing::new(master(1));
    let mut revoked = none();
    revoked.revoke_minted_before(NOW);

    let old = sold_by(&ring, UnixSeconds::new(NOW.as_secs() - 1));
    assert_eq!(buys(&ring, &revoked, &old), Err(Denial::Revoked));
    assert!(buys(&ring, &revoked, &sold_by(&ring, NOW)).is_ok());
}

#[test]
fn narrowing_a_revoked_token_does_not_bring_it_back() {
    let ring = KeyRing::new(master(1));
    let token = sold_by(&ring, NOW);
    let identifier = Identifier::parse(token.identifier()).unwrap();
    let mut revoked = none();
    revoked.revoke(identifier.token_id);

    let narrowed = token.with_caveat(b"method=GET").unwrap();

    assert_eq!(buys(&ring, &revoked, &narrowed), Err(Denial::Revoked));
}

#[test]
fn a_key_from_a_database_verifies_its_own_token_only() {
    let identifier = Identifier {
        payment_hash: preimage().payment_hash(),
        token_id: l402::TokenId::new([3; 32]),
    };
    let key = RootKey::new([6; 32]);
    let token = Macaroon::mint(&key, "lsat", &identifier.to_bytes())
        .and_then(|token| token.with_caveat(b"services=weather:0"))
        .unwrap();

    assert!(buys(&key, &none(), &token).is_ok());
    assert_eq!(
        buys(&RootKey::new([7; 32]), &none(), &token),
        Err(Denial::Forged)
    );
    assert_eq!(
        buys(&KeyRing::new(master(1)), &none(), &token),
        Err(Denial::Forged)
    );
}

#[test]
fn an_identifier_that_cannot_be_read_is_forged_even_under_the_right_key() {
    let key = RootKey::new([6; 32]);
    for identifier in [&b"hello"[..], &[0; 65], &[1; 66]] {
        let token = Macaroon::mint(&key, "lsat", identifier).unwrap();
        assert_eq!(buys(&key, &none(), &token), Err(Denial::Forged));
    }
}

#[test]
fn an_identifier_in_hexadecimal_text_buys_as_well() {
    let identifier = Identifier {
        payment_hash: preimage().payment_hash(),
        token_id: l402::TokenId::new([3; 32]),
    };
    let key = RootKey::new([6; 32]);
    let text = hex::encode(identifier.to_bytes());
    let token = Macaroon::mint(&key, "lsat", text.as_bytes())
        .and_then(|token| token.with_caveat(b"services=weather:0"))
        .unwrap();

    assert_eq!(
        buys(&key, &none(), &token).unwrap().scope().identifier(),
        &identifier
    );
}

#[test]
fn a_condition_of_the_callers_own_is_judged_after_signature_and_payment() {
    let ring = KeyRing::new(master(1));
    let token = sold_by(&ring, NOW).with_caveat(b"region=eu").unwrap();
    let request = RequestContext::new("weather", "GET", "/", NOW);
    let in_region = |token: &Macaroon, preimage, region: &str| {
        let credential = Credential::new(token.clone(), preimage);
        let mut judged = Vec::new();
        let verified = verify_with(&ring, &none(), &credential, &request, &mut |caveat| {
            judged.push(caveat.id().to_vec());
            match caveat.id().strip_prefix(b"region=") {
                Some(bound) if bound != region.as_bytes() => Err(Denial::Unmet {
                    condition: "region".to_owned(),
                }),
                Some(_) | None => Ok(()),
            }
        });
        (verified.map(|_| ()), judged)
    };

    let (verdict, judged) = in_region(&token, preimage(), "eu");
    assert_eq!(verdict, Ok(()));
    assert_eq!(judged, [b"region=eu"], "known conditions are judged here");
    let (verdict, _) = in_region(&token, preimage(), "us");
    assert_eq!(verdict.unwrap_err().code(), "unmet_caveat");
    let (verdict, judged) = in_region(&token, Preimage::new([8; 32]), "eu");
    assert_eq!(verdict, Err(Denial::Unpaid));
    assert!(judged.is_empty());
}

#[test]
fn a_counted_token_is_granted_only_with_a_counted_use() {
    let ring = KeyRing::new(master(1));
    let token = sold_by(&ring, NOW).with_caveat(b"max_uses=3").unwrap();

    let Ok(Verified::Counted(uncounted)) = buys(&ring, &none(), &token) else {
        panic!("its uses are counted");
    };

    assert_eq!(uncounted.uses_max().get(), 3);
    let grant = uncounted.counted(CountedUse::new(2));
    assert_eq!(
        (grant.service(), grant.uses_remaining()),
        ("weather", Some(2))
    );
    let caveats: Vec<&[u8]> = grant.scope().caveats().map(|caveat| caveat.id()).collect();
    assert_eq!(caveats, [&b"services=weather:0"[..], b"max_uses=3"]);
}
