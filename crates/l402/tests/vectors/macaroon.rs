//! `macaroon.json`: every layout, valid and not.

use l402::{Macaroon, MacaroonError, RootKey};
use serde::Deserialize;

use super::{array, bytes, read, variant};

type Vectors = super::Vectors<Valid, Invalid>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Valid {
    name: String,
    hex: Option<String>,
    text: Option<String>,
    location: String,
    identifier_hex: String,
    caveats: Vec<CaveatView>,
    signature_hex: String,
    v2_hex: String,
    root_key_hex: String,
    verifies: bool,
}

#[derive(Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
struct CaveatView {
    hex: String,
    third_party: bool,
    location: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalid {
    name: String,
    hex: Option<String>,
    text: Option<String>,
    parts: Option<Vec<Part>>,
    error: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    hex: String,
    times: usize,
}

fn vectors() -> Vectors {
    read("macaroon.json")
}

/// Binary by its bytes, text by its characters.
fn parse(hex: Option<&str>, text: Option<&str>) -> Result<Macaroon, MacaroonError> {
    match (hex, text) {
        (Some(hex), None) => Macaroon::parse(&bytes(hex)),
        (None, Some(text)) => Macaroon::parse_text(text),
        _ => panic!("a vector is either binary or text"),
    }
}

impl Valid {
    fn parse(&self) -> Macaroon {
        parse(self.hex.as_deref(), self.text.as_deref())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

impl Invalid {
    fn parse(&self) -> Result<Macaroon, MacaroonError> {
        let Some(parts) = &self.parts else {
            return parse(self.hex.as_deref(), self.text.as_deref());
        };
        let whole: Vec<u8> = parts
            .iter()
            .flat_map(|part| bytes(&part.hex).repeat(part.times))
            .collect();
        Macaroon::parse(&whole)
    }
}

#[test]
fn valid_macaroons_are_read_whatever_their_layout() {
    for vector in vectors().valid {
        let macaroon = vector.parse();
        let caveats: Vec<CaveatView> = macaroon
            .unverified_caveats()
            .map(|caveat| CaveatView {
                hex: hex::encode(caveat.id()),
                third_party: caveat.is_third_party(),
                location: String::from_utf8(caveat.location().to_vec()).unwrap(),
            })
            .collect();

        let name = &vector.name;
        assert_eq!(macaroon.location(), vector.location.as_bytes(), "{name}");
        assert_eq!(
            hex::encode(macaroon.identifier()),
            vector.identifier_hex,
            "{name}"
        );
        assert_eq!(caveats, vector.caveats, "{name}");
        assert_eq!(
            hex::encode(macaroon.signature()),
            vector.signature_hex,
            "{name}"
        );
        let root = RootKey::new(array(&vector.root_key_hex));
        assert_eq!(macaroon.verify(&root).is_ok(), vector.verifies, "{name}");
    }
}

#[test]
fn every_layout_is_kept_as_the_same_v2_bytes() {
    for vector in vectors().valid {
        assert_eq!(vector.parse().to_hex(), vector.v2_hex, "{}", vector.name);
    }
}

#[test]
fn invalid_macaroons_are_refused_for_the_reason_given() {
    for vector in vectors().invalid {
        match vector.parse() {
            Ok(_) => panic!("{}: was read", vector.name),
            Err(error) => assert_eq!(variant(&error), vector.error, "{}: {error}", vector.name),
        }
    }
}

#[test]
fn no_layout_can_be_cut_short_anywhere() {
    for vector in vectors().valid {
        let whole = match (&vector.hex, &vector.text) {
            (Some(hex), _) => bytes(hex),
            (None, Some(text)) if text.starts_with('{') => text.clone().into_bytes(),
            (None, _) => continue,
        };
        for len in 0..whole.len() {
            assert!(
                Macaroon::parse(&whole[..len]).is_err(),
                "{} at {len}",
                vector.name
            );
        }
    }
}

#[test]
fn one_byte_more_is_too_much_in_every_binary_layout() {
    for vector in vectors().valid {
        let Some(hex) = &vector.hex else { continue };
        for extra in 0..=255 {
            let mut longer = bytes(hex);
            longer.push(extra);
            let refused = Macaroon::parse(&longer);
            assert_eq!(
                refused,
                Err(MacaroonError::Trailing { extra: 1 }),
                "{}",
                vector.name
            );
        }
    }
}

#[test]
fn there_are_more_invalid_vectors_than_valid_ones() {
    let vectors = vectors();
    assert!(vectors.invalid.len() > 2 * vectors.valid.len());
}
