//! `challenge.json`: what servers write into `WWW-Authenticate`.

use l402::{Challenge, ChallengeError, read_challenges};
use serde::Deserialize;

use super::{bytes, read, variant};

type Vectors = super::Vectors<Readable, Unreadable>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Readable {
    name: String,
    #[serde(default)]
    lines: Vec<String>,
    #[serde(default)]
    lines_hex: Vec<String>,
    challenges: Vec<ChallengeView>,
}

#[derive(Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
struct ChallengeView {
    scheme: String,
    token_hex: String,
    invoice: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unreadable {
    name: String,
    #[serde(default)]
    lines: Vec<String>,
    #[serde(default)]
    lines_hex: Vec<String>,
    error: String,
}

fn vectors() -> Vectors {
    read("challenge.json")
}

fn parse(lines: &[Vec<u8>]) -> Result<Vec<Challenge>, ChallengeError> {
    read_challenges(lines.iter().map(Vec::as_slice))
}

#[test]
fn every_deployed_form_is_read_and_nothing_is_made_up() {
    for vector in vectors().valid {
        let text = vector.lines.iter().map(|line| line.clone().into_bytes());
        let binary = vector.lines_hex.iter().map(|line| bytes(line));
        let challenges: Vec<ChallengeView> = parse(&text.chain(binary).collect::<Vec<_>>())
            .unwrap_or_else(|error| panic!("{}: {error}", vector.name))
            .iter()
            .map(|challenge| ChallengeView {
                scheme: challenge.name().to_string(),
                token_hex: hex::encode(challenge.token().as_bytes()),
                invoice: challenge.invoice().to_owned(),
            })
            .collect();
        assert_eq!(challenges, vector.challenges, "{}", vector.name);
    }
}

#[test]
fn unusable_challenges_are_refused_for_the_reason_given() {
    for vector in vectors().invalid {
        let text = vector.lines.into_iter().map(String::into_bytes);
        let binary = vector.lines_hex.iter().map(|line| bytes(line));
        match parse(&text.chain(binary).collect::<Vec<_>>()) {
            Ok(read) => panic!("{}: was read as {read:?}", vector.name),
            Err(error) => assert_eq!(variant(&error), vector.error, "{}: {error}", vector.name),
        }
    }
}

#[test]
fn sixty_four_kibibytes_are_read_and_no_more() {
    let line = vec![b'x'; 32 * 1_024];
    assert_eq!(parse(&[line.clone(), line.clone()]), Ok(vec![]));
    assert_eq!(
        parse(&[line.clone(), line, b"x".to_vec()]),
        Err(ChallengeError::TooLong)
    );
}
