//! What is written is read back as it was.

use l402::{
    Caveat, Challenge, Credential, Identifier, LegacyLsat, Macaroon, Msat, PaymentHash, Preimage,
    RootKey, SchemeName, Token, TokenId, read_challenges, read_credentials,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn token() -> impl Strategy<Value = Macaroon> {
    let parts = (
        any::<[u8; 32]>(),
        "[ -~]{0,20}",
        vec(any::<u8>(), 1..150),
        vec(vec(any::<u8>(), 1..150), 0..8),
    );
    parts.prop_map(|(root, location, identifier, caveats)| {
        let token = Macaroon::mint(&RootKey::new(root), &location, &identifier).unwrap();
        caveats
            .iter()
            .fold(token, |token, caveat| token.with_caveat(caveat).unwrap())
    })
}

proptest! {
    #[test]
    fn macaroons_are_read_back_in_every_encoding(token in token()) {
        prop_assert_eq!(&Macaroon::parse_v2(token.as_bytes().to_vec()).unwrap(), &token);
        prop_assert_eq!(&Macaroon::parse(token.as_bytes()).unwrap(), &token);
        let base64 = token.to_base64();
        let url_safe = base64.replace('+', "-").replace('/', "_");
        for text in [&base64, &url_safe, url_safe.trim_end_matches('='), &token.to_hex()] {
            prop_assert_eq!(&Macaroon::parse_text(text).unwrap(), &token);
        }
    }

    #[test]
    fn emitted_challenges_are_read_back(token: Vec<u8>, invoice in "[a-z0-9]{0,300}") {
        let token = Token::from_bytes(token);
        let line = format!(r#"L402 macaroon="{}", invoice="{invoice}""#, token.as_str());
        let challenge = read_challenges([line.as_bytes()]).unwrap().remove(0);
        let written = challenge.header_values(LegacyLsat::Emit);
        let folded = written.join(", ");
        for read in [
            read_challenges(written.iter().map(String::as_bytes)).unwrap(),
            read_challenges([folded.as_bytes()]).unwrap(),
        ] {
            let names: Vec<SchemeName> = read.iter().map(Challenge::name).collect();
            prop_assert_eq!(names, [SchemeName::L402, SchemeName::Lsat]);
            for read in &read {
                prop_assert_eq!(read.token(), &token);
                prop_assert_eq!(read.invoice(), &*invoice);
            }
        }
    }

    #[test]
    fn credentials_are_read_back(token in token(), preimage: [u8; 32]) {
        let credential = Credential::new(token, Preimage::new(preimage));
        for scheme in [SchemeName::L402, SchemeName::Lsat] {
            let line = credential.authorization(scheme);
            prop_assert_eq!(&Credential::parse(&line).unwrap(), &credential);
            let read = read_credentials([line.as_bytes()], []);
            prop_assert_eq!(read, Ok(vec![credential.clone()]));
        }
    }

    #[test]
    fn identifiers_are_read_back(hash: [u8; 32], id: [u8; 32]) {
        let identifier = Identifier {
            payment_hash: PaymentHash::new(hash),
            token_id: TokenId::new(id),
        };
        let bytes = identifier.to_bytes();
        prop_assert_eq!(Identifier::parse(&bytes), Ok(identifier));
        prop_assert_eq!(Identifier::parse(hex::encode(bytes).as_bytes()), Ok(identifier));
        prop_assert_eq!(identifier.token_id.to_string().parse(), Ok(identifier.token_id));
    }

    #[test]
    fn caveats_are_read_back(condition in "[!-<>-~]{1,40}", value in "[!-~]{0,80}") {
        let caveat = Caveat::new(&condition, &value).unwrap();
        prop_assert_eq!(caveat.condition(), condition);
        prop_assert_eq!(caveat.value(), value);
        prop_assert_eq!(Caveat::parse(caveat.as_str()), Ok(caveat));
    }

    #[test]
    fn amounts_are_read_back(msat: u64) {
        let amount = Msat::from_msat(msat);
        prop_assert_eq!(amount.to_string().parse(), Ok(amount));
    }
}
