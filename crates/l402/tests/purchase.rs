//! What a buyer refuses to pay, and what it does when paying goes wrong.
//!
//! That no history at all overspends or pays twice is shown in `properties`; here are the
//! single steps, by name, with invoices as wallets make them.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use l402::{
    Challenge, Identifier, Invoice, LegacyLsat, Macaroon, Msat, Network, OutOfOrder, Payable,
    PaymentHash, Preimage, PurchaseAction, PurchaseEvent, PurchaseState, Quote, QuoteError,
    RootKey, SchemeName, Token, TokenId, UnixSeconds, read_challenges, step, unverified_deadline,
};
use lightning_invoice::Currency;

/// Real invoices, as the fuzz targets make them.
#[allow(unreachable_pub, reason = "part of a library when it is fuzzed")]
#[path = "../../../fuzz/src/invoice.rs"]
mod invoice;

const CREATED: UnixSeconds = UnixSeconds::new(1_700_000_000);
const EXPIRED: UnixSeconds = CREATED.plus_secs(3_600);
const PRICE: Msat = Msat::from_msat(10_000);
const FEE_MAX: Msat = Msat::from_msat(500);

fn preimage(byte: u8) -> Preimage {
    Preimage::new([byte; 32])
}

fn hash(byte: u8) -> PaymentHash {
    preimage(byte).payment_hash()
}

fn token_for(payment: PaymentHash) -> Token {
    let identifier = Identifier {
        payment_hash: payment,
        token_id: TokenId::new([2; 32]),
    };
    let token = Macaroon::mint(&RootKey::new([5; 32]), "lsat", &identifier.to_bytes());
    Token::from(&token.unwrap())
}

/// What a buyer reads, whether or not token and invoice belong together.
fn received(token: &Token, invoice: &str) -> Challenge {
    let token = token.as_str();
    let line = format!(r#"L402 macaroon="{token}", invoice="{invoice}""#);
    let challenge = read_challenges([line.as_bytes()]).unwrap().pop();
    challenge.unwrap()
}

fn challenge(currency: Currency, msat: Option<u64>) -> Challenge {
    let invoice = invoice::invoice(currency, msat, &[1; 32]);
    received(&token_for(hash(1)), &invoice)
}

fn regtest() -> Challenge {
    challenge(Currency::Regtest, Some(10_000))
}

fn quote(byte: u8) -> Quote {
    let invoice = invoice::invoice(Currency::Regtest, Some(10_000), &[byte; 32]);
    let challenge = received(&token_for(hash(byte)), &invoice);
    Quote::read(&challenge, Network::Regtest, CREATED).unwrap()
}

fn settled(byte: u8) -> PurchaseEvent {
    PurchaseEvent::Settled {
        preimage: preimage(byte),
        fee: Msat::from_msat(7),
    }
}

mod quotes {
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
}

mod machine {
    use super::*;

    /// Takes events in order; the last action, or the error of the first that does not fit.
    fn run(events: &[PurchaseEvent]) -> Result<(PurchaseState, PurchaseAction), OutOfOrder> {
        let mut at = (PurchaseState::Offered, PurchaseAction::Nothing);
        for event in events {
            at = step(&hash(1), &at.0, event.clone())?;
        }
        Ok(at)
    }

    const BEGUN: [PurchaseEvent; 2] = [PurchaseEvent::Admitted, PurchaseEvent::Recorded];

    fn paying_then(
        events: &[PurchaseEvent],
    ) -> Result<(PurchaseState, PurchaseAction), OutOfOrder> {
        run(&[&BEGUN[..], events].concat())
    }

    fn paid() -> PurchaseState {
        PurchaseState::Paid {
            preimage: preimage(1),
            fee: Msat::from_msat(7),
        }
    }

    #[test]
    fn the_road_from_challenge_to_credential() {
        let sent = regtest().header_values(LegacyLsat::Emit);
        let read = read_challenges(sent.iter().map(String::as_bytes)).unwrap();
        let quote = Quote::read(read.first().unwrap(), Network::Regtest, CREATED).unwrap();
        let hash = quote.payment_hash();

        let (state, record) =
            step(&hash, &PurchaseState::Offered, PurchaseEvent::Admitted).unwrap();
        let (state, pay) = step(&hash, &state, PurchaseEvent::Recorded).unwrap();
        let (state, keep) = step(&hash, &state, settled(1)).unwrap();

        assert_eq!(
            [record, pay, keep],
            [
                PurchaseAction::Record,
                PurchaseAction::Pay,
                PurchaseAction::Keep
            ]
        );
        assert_eq!(state, paid());
        assert_eq!(state.charge(PRICE, FEE_MAX), Msat::from_msat(10_007));
    }

    #[test]
    fn a_lost_payment_is_looked_up_and_never_paid_again() {
        let lost = paying_then(&[PurchaseEvent::Unknown]);

        assert_eq!(lost, Ok((PurchaseState::Unknown, PurchaseAction::LookUp)));
        for again in BEGUN {
            let again = [PurchaseEvent::Unknown, again];
            assert_eq!(paying_then(&again), Err(OutOfOrder));
        }
        let found = paying_then(&[PurchaseEvent::Unknown, settled(1)]);
        assert_eq!(found, Ok((paid(), PurchaseAction::Keep)));
    }

    #[test]
    fn only_an_open_purchase_is_offered_again() {
        let again = paying_then(&[PurchaseEvent::Unknown, PurchaseEvent::Reoffered]);
        assert_eq!(again, Ok((PurchaseState::Paying, PurchaseAction::Pay)));

        for ended in [settled(1), PurchaseEvent::Failed] {
            let again = paying_then(&[ended, PurchaseEvent::Reoffered]);
            assert_eq!(again, Err(OutOfOrder));
        }
        assert_eq!(run(&[PurchaseEvent::Reoffered]), Err(OutOfOrder));
    }

    #[test]
    fn a_settlement_with_a_wrong_preimage_is_not_believed() {
        let lie = paying_then(&[settled(2)]);

        assert_eq!(lie, Ok((PurchaseState::Unknown, PurchaseAction::LookUp)));
    }

    #[test]
    fn a_failed_payment_gives_its_money_back_and_may_be_begun_again() {
        let failed = paying_then(&[PurchaseEvent::Failed]).unwrap();

        assert_eq!(failed, (PurchaseState::Failed, PurchaseAction::Release));
        assert_eq!(failed.0.charge(PRICE, FEE_MAX), Msat::ZERO);
        let again = step(&hash(1), &failed.0, PurchaseEvent::Admitted);
        assert_eq!(again, Ok((PurchaseState::Reserved, PurchaseAction::Record)));
    }

    #[test]
    fn a_settlement_after_a_failure_is_kept_and_a_lie_changes_nothing() {
        let late = paying_then(&[PurchaseEvent::Failed, settled(1)]);
        let lie = paying_then(&[PurchaseEvent::Failed, settled(2)]);

        assert_eq!(late, Ok((paid(), PurchaseAction::Keep)));
        assert_eq!(lie, Ok((PurchaseState::Failed, PurchaseAction::Nothing)));
    }

    #[test]
    fn nothing_is_paid_before_it_is_recorded() {
        for event in [settled(1), PurchaseEvent::Unknown, PurchaseEvent::Reoffered] {
            assert_eq!(run(&[PurchaseEvent::Admitted, event]), Err(OutOfOrder));
        }
    }

    #[test]
    fn what_could_not_be_recorded_gives_its_money_back() {
        let (state, action) = run(&[PurchaseEvent::Admitted, PurchaseEvent::Failed]).unwrap();

        assert_eq!(
            (&state, action),
            (&PurchaseState::Offered, PurchaseAction::Release)
        );
        assert_eq!(state.charge(PRICE, FEE_MAX), Msat::ZERO);
    }

    #[test]
    fn a_paid_purchase_stays_paid_whatever_is_reported() {
        for event in [
            PurchaseEvent::Admitted,
            PurchaseEvent::Failed,
            PurchaseEvent::Recorded,
            PurchaseEvent::Reoffered,
            PurchaseEvent::Unknown,
        ] {
            assert_eq!(paying_then(&[settled(1), event]), Err(OutOfOrder));
        }
        let twice = paying_then(&[settled(1), settled(2)]);
        assert_eq!(twice, Ok((paid(), PurchaseAction::Nothing)));
    }

    #[test]
    fn what_may_be_spent_counts_until_it_is_known() {
        for state in [
            PurchaseState::Reserved,
            PurchaseState::Paying,
            PurchaseState::Unknown,
        ] {
            assert_eq!(state.charge(PRICE, FEE_MAX), Msat::from_msat(10_500));
        }
        assert_eq!(PurchaseState::Paying.charge(Msat::MAX, FEE_MAX), Msat::MAX);
    }

    #[test]
    fn no_debug_text_of_a_purchase_shows_its_preimage() {
        let told = format!("{:?} {:?}", paid(), settled(1));
        assert!(!told.contains(&preimage(1).expose_hex()), "{told}");
        let secret_bytes = format!("{:?}", [1_u8; 32]);
        assert!(!told.contains(&secret_bytes), "{told}");
    }
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
