//! What a buyer refuses to pay.

use super::*;

fn refused(challenge: &Challenge, network: Network, now: UnixSeconds) -> QuoteError {
    Quote::read(challenge, network, now).unwrap_err()
}

#[test]
fn a_good_offer_names_price_and_payment() {
    let quote = Quote::read(&regtest(), Network::Regtest, CREATED).unwrap();

    assert_eq!(quote.price(), PRICE);
    assert_eq!(quote.payment_hash(), hash(1));
    assert_eq!(quote.challenge(), &regtest());
}

#[test]
fn an_invoice_that_leaves_the_amount_to_the_payer_is_refused() {
    let open = challenge(Currency::Regtest, None);
    assert_eq!(
        refused(&open, Network::Regtest, CREATED),
        QuoteError::NoAmount
    );
}

#[test]
fn an_invoice_for_nothing_is_refused() {
    let zero = challenge(Currency::Regtest, Some(0));
    assert_eq!(
        refused(&zero, Network::Regtest, CREATED),
        QuoteError::NoAmount
    );
}

#[test]
fn an_invoice_that_cannot_be_read_is_refused_and_not_free() {
    for invoice in ["", "lnbcrt100n1fake10", &regtest().invoice()[1..]] {
        let unreadable = received(regtest().token(), invoice);
        let refused = refused(&unreadable, Network::Regtest, CREATED);
        assert!(matches!(refused, QuoteError::Invoice(_)), "{refused}");
    }
}

#[test]
fn every_network_but_the_wallets_is_refused() {
    let networks = [
        (Currency::Bitcoin, Network::Mainnet),
        (Currency::BitcoinTestnet, Network::Testnet),
        (Currency::Signet, Network::Signet),
        (Currency::Regtest, Network::Regtest),
        (Currency::Simnet, Network::Simnet),
    ];
    for (currency, found) in &networks {
        let challenge = challenge(currency.clone(), Some(10_000));
        for (_, expected) in &networks {
            let read = Quote::read(&challenge, *expected, CREATED);
            match read {
                Ok(_) => assert_eq!(found, expected),
                Err(error) => assert_eq!(
                    error,
                    QuoteError::WrongNetwork {
                        found: *found,
                        expected: *expected
                    }
                ),
            }
        }
    }
}

#[test]
fn an_invoice_is_payable_until_its_last_second_and_no_longer() {
    let last = UnixSeconds::new(EXPIRED.as_secs() - 1);
    assert!(Quote::read(&regtest(), Network::Regtest, last).is_ok());
    assert_eq!(
        refused(&regtest(), Network::Regtest, EXPIRED),
        QuoteError::Expired { seconds_ago: 0 }
    );
    assert_eq!(
        refused(&regtest(), Network::Regtest, UnixSeconds::new(u64::MAX)),
        QuoteError::Expired {
            seconds_ago: u64::MAX - EXPIRED.as_secs()
        }
    );
}

#[test]
fn a_token_for_another_payment_is_refused() {
    let mismatched = with_token(&token_for(hash(2)));
    assert_eq!(
        refused(&mismatched, Network::Regtest, CREATED),
        QuoteError::HashMismatch {
            token: hash(2),
            invoice: hash(1)
        }
    );
}

#[test]
fn a_record_whose_token_is_for_another_payment_is_not_restored() {
    let invoice = Invoice::parse(regtest().invoice()).unwrap();
    let restore = |token| Challenge::restore(SchemeName::L402, token, &invoice);

    assert_eq!(restore(token_for(hash(1))), Ok(regtest()));
    assert_eq!(
        restore(token_for(hash(2))),
        Err(QuoteError::HashMismatch {
            token: hash(2),
            invoice: hash(1)
        })
    );
    let opaque = restore(Token::from_bytes(vec![2]));
    assert!(matches!(opaque, Err(QuoteError::Token(_))));
}

#[test]
fn a_token_that_names_no_payment_is_refused() {
    let nameless = Macaroon::mint(&RootKey::new([5; 32]), "lsat", b"hello").unwrap();
    let nameless = with_token(&Token::from(&nameless));
    let refused_for_name = refused(&nameless, Network::Regtest, CREATED);
    assert!(matches!(refused_for_name, QuoteError::Identifier(_)));
    for bytes in [vec![], vec![2], b"hexmac.signature".to_vec()] {
        let opaque = with_token(&Token::from_bytes(bytes));
        let refused = refused(&opaque, Network::Regtest, CREATED);
        assert!(matches!(refused, QuoteError::Token(_)), "{refused}");
    }
}

fn with_token(token: &Token) -> Challenge {
    received(token, regtest().invoice())
}

fn with_caveat(caveat: &[u8]) -> Challenge {
    let token = regtest().token().macaroon().unwrap().with_caveat(caveat);
    with_token(&Token::from(&token.unwrap()))
}

#[test]
fn a_token_whose_own_deadline_is_past_is_refused() {
    let now = CREATED.as_secs();
    for (caveat, is_past) in [
        (format!("api_valid_until={now}"), true),
        (format!("valid_until={now}"), true),
        (format!("expiration={}000", now), true),
        (format!("api_valid_until={}", now + 1), false),
        (format!("expiration={}001", now), false),
        ("valid_until=2020-01-01".to_owned(), false),
        ("valid_until=".to_owned(), false),
    ] {
        let read = Quote::read(&with_caveat(caveat.as_bytes()), Network::Regtest, CREATED);
        assert_eq!(
            matches!(read, Err(QuoteError::TokenExpired { .. })),
            is_past,
            "{caveat}: {read:?}"
        );
    }
}

#[test]
fn a_token_that_buys_nothing_once_it_is_paid_is_refused() {
    let at = |secs| CREATED.plus_secs(secs).as_secs();
    for (caveat, expected) in [
        (
            format!("valid_until={}", at(2)),
            Err(QuoteError::TokenExpiring { seconds_left: 2 }),
        ),
        (
            format!("api_valid_until={}", at(9)),
            Err(QuoteError::TokenExpiring { seconds_left: 9 }),
        ),
        (format!("api_valid_until={}", at(10)), Ok(())),
        ("max_uses=0".to_owned(), Err(QuoteError::NoUses)),
        ("max_uses=00".to_owned(), Err(QuoteError::NoUses)),
        ("max_uses= 0".to_owned(), Err(QuoteError::NoUses)),
        ("max_uses =0 ".to_owned(), Err(QuoteError::NoUses)),
        ("max_uses=1".to_owned(), Ok(())),
        ("max_uses=none".to_owned(), Ok(())),
    ] {
        let challenge = with_caveat(caveat.as_bytes());
        let read = Quote::read(&challenge, Network::Regtest, CREATED);
        assert_eq!(read.map(|_quote| ()), expected, "{caveat}");
    }
}

#[test]
fn the_earliest_of_several_deadlines_counts() {
    let token = regtest().token().macaroon().unwrap();
    assert_eq!(unverified_deadline(&token), None);
    let token = token.with_caveat(b"a_valid_until=200").unwrap();
    let token = token.with_caveat(b"expiration=100500").unwrap();
    assert_eq!(unverified_deadline(&token), Some(UnixSeconds::new(101)));
}

#[test]
fn a_token_bound_to_another_payments_preimage_is_refused() {
    let caveat = |byte| format!("preimage={}", preimage(byte).expose_hex());
    let read = |caveat: &str| {
        Quote::read(&with_caveat(caveat.as_bytes()), Network::Regtest, CREATED).map(|_| ())
    };
    assert_eq!(read(&caveat(2)), Err(QuoteError::ForeignPreimage));
    assert_eq!(read("preimage=none"), Err(QuoteError::ForeignPreimage));
    assert_eq!(read(&caveat(1)), Ok(()));
}

#[test]
fn a_token_with_a_third_partys_caveat_is_refused() {
    // Version 2, identifier, one caveat with location, identifier and verifier id.
    let regtest = regtest();
    let bytes = regtest.token().as_bytes();
    let (head, signature) = bytes.split_at(bytes.len() - 35);
    let caveat = [&[1, 1, b'x', 2, 1, b'y', 4, 1, b'z', 0][..]].concat();
    let token = [head, &caveat, signature].concat();
    let bound = with_token(&Token::from_bytes(token));
    assert_eq!(
        refused(&bound, Network::Regtest, CREATED),
        QuoteError::ThirdParty
    );
}

#[test]
fn an_amp_invoice_is_refused() {
    let invoice = amp(Currency::Regtest, 10_000, &[1; 32]);
    let amp = received(regtest().token(), &invoice);
    assert_eq!(refused(&amp, Network::Regtest, CREATED), QuoteError::Amp);
}

#[test]
fn what_is_payable_names_no_scheme() {
    let payable = quote(1).payable("a.example");

    assert_eq!(payable.host(), "a.example");
    assert_eq!((payable.payment_hash(), payable.price()), (hash(1), PRICE));
    assert_eq!(
        (payable.network(), payable.expires_at()),
        (Network::Regtest, EXPIRED)
    );
    let open = Invoice::parse(challenge(Currency::Regtest, None).invoice()).unwrap();
    assert_eq!(Payable::new(open, "a.example"), None);
}

#[test]
fn the_invoice_in_the_challenge_is_the_invoice_that_is_paid() {
    let quote = quote(1);
    let read = Invoice::parse(quote.challenge().invoice()).unwrap();
    assert_eq!(quote.invoice(), &read);
}

/// An invoice that asks for an atomic multi-path payment (feature bit 31).
fn amp(currency: Currency, amount_msat: u64, preimage: &[u8; 32]) -> String {
    use bitcoin::hashes::{Hash as _, sha256};
    use bitcoin::secp256k1::{Secp256k1, SecretKey};
    use lightning_invoice::{InvoiceBuilder, PaymentSecret, RawTaggedField, TaggedField};
    use std::time::Duration;
    let mut raw = InvoiceBuilder::new(currency)
        .description("a test".to_owned())
        .payment_hash(sha256::Hash::hash(preimage))
        .payment_secret(PaymentSecret([3; 32]))
        .duration_since_epoch(Duration::from_secs(1_700_000_000))
        .min_final_cltv_expiry_delta(80)
        .amount_milli_satoshis(amount_msat)
        .build_raw()
        .unwrap();
    for field in &mut raw.data.tagged_fields {
        if let RawTaggedField::KnownSemantics(TaggedField::Features(_)) = field {
            // BOLT 11: type, length and value in groups of five bits; BOLT 9: the bits.
            let bits: u64 = 1 << 31 | 1 << 14 | 1 << 8;
            let groups = (0..7)
                .rev()
                .map(|group| u8::try_from(bits >> (group * 5) & 31).unwrap());
            let coded = [5, 0, 7].into_iter().chain(groups);
            let coded = coded.map(|group| group.try_into().unwrap());
            *field = RawTaggedField::UnknownSemantics(coded.collect());
        }
    }
    let key = SecretKey::from_slice(&[0x11; 32]).unwrap();
    let secp = Secp256k1::signing_only();
    raw.sign::<_, ()>(|message| Ok(secp.sign_ecdsa_recoverable(message, &key)))
        .unwrap()
        .to_string()
}
