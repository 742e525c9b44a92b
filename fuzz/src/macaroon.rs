//! Whatever is read as a macaroon is one, and has one spelling.

use l402::{Macaroon, RootKey};

/// Reads the bytes in every way there is.
pub fn run(data: &[u8]) {
    if let Ok(macaroon) = Macaroon::parse(data) {
        check(&macaroon);
    }
    if let Ok(macaroon) = Macaroon::parse_v2(data.to_vec()) {
        assert_eq!(macaroon.as_bytes(), data, "V2 bytes are kept as they are");
        check(&macaroon);
    }
    if let Some(macaroon) = std::str::from_utf8(data)
        .ok()
        .and_then(|text| Macaroon::parse_text(text).ok())
    {
        check(&macaroon);
    }
}

fn check(macaroon: &Macaroon) {
    let written = [macaroon.to_base64(), macaroon.to_hex()];
    for text in &written {
        assert_eq!(Macaroon::parse_text(text).as_ref(), Ok(macaroon));
    }
    assert_eq!(Macaroon::parse(macaroon.as_bytes()).as_ref(), Ok(macaroon));

    let caveats = macaroon.unverified_caveats().count();
    assert!(caveats <= 64 && macaroon.as_bytes().len() <= 8 * 1_024);
    if let Ok(narrowed) = macaroon.with_caveat(b"method=GET") {
        assert_eq!(narrowed.unverified_caveats().count(), caveats + 1);
        assert_eq!(narrowed.identifier(), macaroon.identifier());
        assert_ne!(narrowed.signature(), macaroon.signature());
    }
    let root = RootKey::new([0; 32]);
    assert!(macaroon.verify(&root).is_err() || is_minted_under_zero(macaroon, &root));
}

/// The one way to a good signature: the same chain, built from the key.
fn is_minted_under_zero(macaroon: &Macaroon, root: &RootKey) -> bool {
    if macaroon
        .unverified_caveats()
        .any(|caveat| caveat.is_third_party())
    {
        return true;
    }
    let minted = Macaroon::mint(root, "", macaroon.identifier());
    let minted = macaroon
        .unverified_caveats()
        .try_fold(minted, |minted, caveat| {
            minted.map(|minted| minted.with_caveat(caveat.id()))
        });
    matches!(minted, Ok(Ok(minted)) if minted.signature() == macaroon.signature())
}
