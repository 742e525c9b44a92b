//! A minted token with any bit changed buys nothing.

use std::num::NonZeroU64;

use l402::{
    Caveat, Credential, Denial, KeyRing, Macaroon, MasterKey, Preimage, RequestContext,
    RevocationSet, Services, UnixSeconds, caveat, mint, verify,
};
use proptest::prelude::*;

const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

fn request() -> RequestContext<'static> {
    RequestContext::new("weather", "GET", "/v1/today", NOW).with_capability("read")
}

fn ring() -> KeyRing {
    KeyRing::new(MasterKey::new([1; 32]))
        .with_retired(MasterKey::new([2; 32]), NOW)
        .unwrap()
}

fn preimage() -> Preimage {
    Preimage::new([9; 32])
}

fn caveats() -> Vec<Caveat> {
    [
        caveat::capabilities("weather", &["read"]),
        caveat::valid_until("weather", NOW.plus_secs(60)),
        caveat::methods(&["GET"]),
        caveat::path_prefix("/v1"),
        Ok(caveat::max_uses(NonZeroU64::new(5).unwrap())),
    ]
    .into_iter()
    .collect::<Result<_, _>>()
    .unwrap()
}

fn token() -> Macaroon {
    minted(&caveats())
}

fn minted(caveats: &[Caveat]) -> Macaroon {
    let services = Services::new("weather", 3).unwrap();
    let hash = preimage().payment_hash();
    mint(&ring(), hash, &services, caveats, NOW, [7; 20]).unwrap()
}

fn buys(token: Macaroon, preimage: Preimage) -> Result<(), Denial> {
    let credential = Credential::new(token, preimage);
    verify(&ring(), &RevocationSet::default(), &credential, &request()).map(|_| ())
}

/// Where the location hint lies, which nothing signs and nothing decides by.
const LOCATION: std::ops::Range<usize> = 3..7;

#[test]
fn the_untouched_token_buys() {
    assert_eq!(buys(token(), preimage()), Ok(()));
    assert_eq!(&token().as_bytes()[LOCATION], b"lsat");
}

#[test]
fn any_flipped_bit_is_refused_or_forged() {
    let token = token();
    let signed = (0..token.as_bytes().len()).filter(|at| !LOCATION.contains(at));
    for at in signed {
        for bit in 0..8 {
            let mut bytes = token.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            if let Ok(changed) = Macaroon::parse_v2(bytes) {
                assert_eq!(
                    buys(changed, preimage()),
                    Err(Denial::Forged),
                    "bit {bit} of {at}"
                );
            }
        }
    }
}

#[test]
fn any_flipped_bit_of_the_preimage_is_unpaid() {
    for at in 0..256 {
        let mut bytes = *preimage().expose();
        bytes[at / 8] ^= 1 << (at % 8);
        assert_eq!(buys(token(), Preimage::new(bytes)), Err(Denial::Unpaid));
    }
}

#[test]
fn no_caveat_can_be_left_out_or_moved() {
    let all = caveats();
    let signature = *token().signature();
    for without in 0..all.len() {
        let mut fewer = all.clone();
        let caveat = fewer.remove(without);
        assert_eq!(
            buys(signed(&fewer, &signature), preimage()),
            Err(Denial::Forged)
        );
        fewer.push(caveat);
        if without + 1 < all.len() {
            assert_eq!(
                buys(signed(&fewer, &signature), preimage()),
                Err(Denial::Forged)
            );
        }
    }
}

/// A token with these caveats and a signature from elsewhere.
fn signed(caveats: &[Caveat], signature: &[u8; 32]) -> Macaroon {
    let token = minted(caveats);
    let mut bytes = token.as_bytes().to_vec();
    let signature_at = bytes.len() - 32;
    bytes[signature_at..].copy_from_slice(signature);
    Macaroon::parse_v2(bytes).unwrap()
}

proptest! {
    #[test]
    fn any_other_bytes_behind_the_header_are_refused_or_forged(
        at in 7_usize..200,
        with in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut bytes = token().as_bytes().to_vec();
        let end = (at + with.len()).min(bytes.len());
        let at = at.min(end);
        bytes[at..end].copy_from_slice(&with[..end - at]);
        if let Ok(changed) = Macaroon::parse_v2(bytes)
            && changed != token()
        {
            prop_assert_eq!(buys(changed, preimage()), Err(Denial::Forged));
        }
    }
}
