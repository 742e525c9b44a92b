//! `credential.json`: what clients present.

use l402::{Credential, CredentialError, read_credentials};
use serde::Deserialize;

use super::{read, variant};

type Vectors = super::Vectors<Readable, Unreadable>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Readable {
    name: String,
    authorization: Vec<String>,
    metadata: Vec<String>,
    credentials: Vec<CredentialView>,
}

#[derive(Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
struct CredentialView {
    macaroon_hex: String,
    preimage_hex: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unreadable {
    name: String,
    authorization: Vec<String>,
    metadata: Vec<String>,
    error: String,
}

fn vectors() -> Vectors {
    read("credential.json")
}

fn parse(
    authorization: &[String],
    metadata: &[String],
) -> Result<Vec<Credential>, CredentialError> {
    read_credentials(
        authorization.iter().map(String::as_bytes),
        metadata.iter().map(String::as_bytes),
    )
}

#[test]
fn every_spelling_is_read_and_nothing_is_made_up() {
    for vector in vectors().valid {
        let credentials: Vec<CredentialView> = parse(&vector.authorization, &vector.metadata)
            .unwrap_or_else(|error| panic!("{}: {error}", vector.name))
            .iter()
            .map(|credential| CredentialView {
                macaroon_hex: credential.macaroon().to_hex(),
                preimage_hex: credential.preimage().expose_hex(),
            })
            .collect();
        assert_eq!(credentials, vector.credentials, "{}", vector.name);
    }
}

#[test]
fn broken_credentials_are_refused_for_the_reason_given() {
    for vector in vectors().invalid {
        match parse(&vector.authorization, &vector.metadata) {
            Ok(read) => panic!("{}: {} were read", vector.name, read.len()),
            Err(error) => assert_eq!(variant(&error), vector.error, "{}: {error}", vector.name),
        }
    }
}

#[test]
fn no_error_repeats_the_credential() {
    for vector in vectors().invalid {
        let error = parse(&vector.authorization, &vector.metadata).unwrap_err();
        let told = format!("{error} {error:?}");
        for part in vector
            .authorization
            .iter()
            .flat_map(|line| line.split([' ', ':']))
        {
            let secret = part.len() > 8 && told.contains(part);
            assert!(!secret, "{}: {told}", vector.name);
        }
    }
}

#[test]
fn whatever_reads_as_a_credential_line_is_recognised_for_removal() {
    let vectors = vectors();
    let presented = vectors
        .valid
        .iter()
        .filter(|vector| vector.authorization.len() == 1 && !vector.credentials.is_empty())
        .filter(|vector| vector.metadata.is_empty())
        .map(|vector| (&vector.name, &vector.authorization[0]));
    for (name, line) in presented {
        assert!(l402::is_credential_line(line.as_bytes()), "{name}");
    }
}
