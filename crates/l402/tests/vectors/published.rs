//! `published.json`: signatures that other implementations publish.

use l402::Macaroon;
use serde::Deserialize;

use super::{bytes, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "about")]
    _about: String,
    chains: Vec<Chain>,
    tokens: Vec<Token>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chain {
    name: String,
    signature_hex: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    caveat: String,
    signature_hex: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    name: String,
    text: String,
    location: String,
    identifier: Option<String>,
    caveats: Vec<String>,
    signature_hex: String,
}

/// A V2 macaroon whose chain stands at `signature`.
fn standing_at(signature: &str) -> Macaroon {
    let head = [0x02, 0x02, 0x01, b'x', 0x00, 0x00, 0x06, 0x20];
    Macaroon::parse_v2([&head[..], &bytes(signature)].concat()).unwrap()
}

#[test]
fn published_chains_are_continued_to_the_published_signatures() {
    for chain in read::<Vectors>("published.json").chains {
        let mut token = standing_at(&chain.signature_hex);
        for step in chain.steps {
            token = token.with_caveat(step.caveat.as_bytes()).unwrap();
            let signature = hex::encode(token.signature());
            assert_eq!(
                signature, step.signature_hex,
                "{}: {}",
                chain.name, step.caveat
            );
        }
    }
}

#[test]
fn published_tokens_are_read() {
    for vector in read::<Vectors>("published.json").tokens {
        let token = Macaroon::parse_text(&vector.text).unwrap();
        let caveats: Vec<String> = token
            .unverified_caveats()
            .map(|caveat| String::from_utf8(caveat.id().to_vec()).unwrap())
            .collect();

        let name = &vector.name;
        assert_eq!(token.location(), vector.location.as_bytes(), "{name}");
        assert_eq!(caveats, vector.caveats, "{name}");
        assert_eq!(
            hex::encode(token.signature()),
            vector.signature_hex,
            "{name}"
        );
        if let Some(identifier) = vector.identifier {
            assert_eq!(token.identifier(), identifier.as_bytes(), "{name}");
        }
    }
}
