//! `identifier.json`: what a token is for.

use l402::Identifier;
use serde::Deserialize;

use super::{bytes, read, variant};

type Vectors = super::Vectors<Valid, Invalid>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Valid {
    name: String,
    hex: String,
    payment_hash: String,
    token_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalid {
    name: String,
    hex: String,
    error: String,
}

fn vectors() -> Vectors {
    read("identifier.json")
}

#[test]
fn valid_identifiers_are_read_in_binary_and_in_hexadecimal() {
    for vector in vectors().valid {
        let identifier = Identifier::parse(&bytes(&vector.hex)).unwrap();

        let name = &vector.name;
        assert_eq!(
            identifier.payment_hash.to_string(),
            vector.payment_hash,
            "{name}"
        );
        assert_eq!(identifier.token_id.to_string(), vector.token_id, "{name}");
        assert_eq!(
            Identifier::parse(&identifier.to_bytes()),
            Ok(identifier),
            "{name}"
        );
    }
}

#[test]
fn invalid_identifiers_are_refused_for_the_reason_given() {
    for vector in vectors().invalid {
        let error = Identifier::parse(&bytes(&vector.hex)).unwrap_err();
        assert_eq!(variant(&error), vector.error, "{}: {error}", vector.name);
    }
}
