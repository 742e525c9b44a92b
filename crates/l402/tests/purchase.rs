//! What a buyer refuses to pay, and what it does when paying goes wrong.
//!
//! That no history at all overspends or pays twice is shown in `properties`; here are the
//! single steps, by name, with invoices as wallets make them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use l402::{
    Challenge, Credential, Identifier, Invoice, LegacyLsat, Limits, Macaroon, Msat, Network,
    OverLimit, PaymentHash, Preimage, PurchaseAction, PurchaseError, PurchaseEvent, PurchaseState,
    Purchases, Quote, QuoteError, Refusal, RootKey, SchemeName, Token, TokenId, UnixSeconds,
    read_challenges,
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

fn challenge(currency: Currency, msat: Option<u64>) -> Challenge {
    Challenge {
        name: SchemeName::L402,
        token: token_for(hash(1)),
        invoice: invoice::invoice(currency, msat, &[1; 32]),
    }
}

fn regtest() -> Challenge {
    challenge(Currency::Regtest, Some(10_000))
}

fn quote(byte: u8) -> Quote {
    let challenge = Challenge {
        name: SchemeName::L402,
        token: token_for(hash(byte)),
        invoice: invoice::invoice(Currency::Regtest, Some(10_000), &[byte; 32]),
    };
    Quote::read(&challenge, Network::Regtest, CREATED).unwrap()
}

fn purchases() -> Purchases {
    Purchases::new(Limits {
        price_max: PRICE,
        fee_max: FEE_MAX,
        per_host: None,
        per_day: None,
        total: Msat::from_sat(100),
    })
}

fn settled(byte: u8) -> PurchaseEvent {
    PurchaseEvent::Settled {
        preimage: preimage(byte),
        fee: Msat::from_msat(7),
    }
}

/// Purchases with one payment under way.
fn paying() -> Purchases {
    let mut purchases = purchases();
    let _ = purchases.begin(quote(1), "a.example", CREATED).unwrap();
    let action = purchases.on(&hash(1), PurchaseEvent::Recorded).unwrap();
    assert!(matches!(
        action,
        PurchaseAction::Pay {
            fee_max: FEE_MAX,
            ..
        }
    ));
    purchases
}

fn state(purchases: &Purchases) -> PurchaseState {
    purchases.get(&hash(1)).unwrap().state().clone()
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
        for invoice in ["", "lnbcrt100n1fake10", &regtest().invoice[1..]] {
            let unreadable = Challenge {
                invoice: invoice.to_owned(),
                ..regtest()
            };
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
        let mismatched = Challenge {
            token: token_for(hash(2)),
            ..regtest()
        };
        assert_eq!(
            refused(&mismatched, Network::Regtest, CREATED),
            QuoteError::HashMismatch {
                token: hash(2),
                invoice: hash(1)
            }
        );
    }

    #[test]
    fn a_token_that_names_no_payment_is_refused() {
        let nameless = Macaroon::mint(&RootKey::new([5; 32]), "lsat", b"hello").unwrap();
        let nameless = Challenge {
            token: Token::from_bytes(nameless.as_bytes().to_vec()),
            ..regtest()
        };
        let refused_for_name = refused(&nameless, Network::Regtest, CREATED);
        assert!(matches!(refused_for_name, QuoteError::Identifier(_)));
        for bytes in [vec![], vec![2], b"hexmac.signature".to_vec()] {
            let opaque = Challenge {
                token: Token::from_bytes(bytes),
                ..regtest()
            };
            let refused = refused(&opaque, Network::Regtest, CREATED);
            assert!(matches!(refused, QuoteError::Token(_)), "{refused}");
        }
    }

    #[test]
    fn a_record_is_read_after_its_invoice_has_expired() {
        let recorded = Quote::read_recorded(&regtest()).unwrap();
        assert_eq!(recorded, quote(1));
    }
}

mod machine {
    use super::*;

    #[test]
    fn the_road_from_challenge_to_credential() {
        let sent = regtest().header_values(LegacyLsat::Emit);
        let read = read_challenges(sent.iter().map(String::as_bytes)).unwrap();
        let quote = Quote::read(read.first().unwrap(), Network::Regtest, CREATED).unwrap();
        let mut purchases = purchases();

        let recorded = purchases
            .begin(quote.clone(), "a.example", CREATED)
            .unwrap();
        let PurchaseAction::Record(purchase) = recorded else {
            panic!("{recorded:?}");
        };
        assert_eq!(
            (purchase.host(), purchase.begun_at()),
            ("a.example", CREATED)
        );
        let pay = purchases.on(&hash(1), PurchaseEvent::Recorded).unwrap();
        assert_eq!(
            pay,
            PurchaseAction::Pay {
                quote: Box::new(quote),
                fee_max: FEE_MAX
            }
        );
        let keep = purchases.on(&hash(1), settled(1)).unwrap();

        let token = regtest().token.macaroon().unwrap();
        assert_eq!(
            keep,
            PurchaseAction::Keep(Credential::new(token, preimage(1)))
        );
        assert_eq!(purchases.budget().used(), Msat::from_msat(10_007));
    }

    #[test]
    fn the_token_in_the_credential_is_the_one_received_byte_for_byte() {
        let quote = quote(1);
        let received = quote.challenge().token.as_bytes().to_vec();
        let mut purchases = paying();
        let PurchaseAction::Keep(credential) = purchases.on(&hash(1), settled(1)).unwrap() else {
            panic!("it is paid");
        };
        assert_eq!(credential.macaroon().as_bytes(), received);
    }

    #[test]
    fn a_price_over_the_limit_is_refused_and_nothing_is_set_aside() {
        let mut purchases = Purchases::new(Limits {
            price_max: Msat::from_msat(9_999),
            ..*purchases().budget().limits()
        });

        let refused = purchases.begin(quote(1), "a.example", CREATED);

        assert!(matches!(
            refused,
            Err(Refusal::OverLimit(OverLimit::Price { .. }))
        ));
        assert_eq!(purchases.budget().used(), Msat::ZERO);
        assert!(purchases.get(&hash(1)).is_none());
    }

    #[test]
    fn the_same_challenge_is_not_paid_a_second_time() {
        let mut purchases = paying();
        for event in [PurchaseEvent::Lost, PurchaseEvent::Lost] {
            assert_eq!(
                purchases.begin(quote(1), "a.example", CREATED),
                Err(Refusal::InProgress {
                    payment_hash: hash(1)
                })
            );
            let _ = purchases.on(&hash(1), event).unwrap();
        }
        let _ = purchases.on(&hash(1), settled(1)).unwrap();
        assert_eq!(
            purchases.begin(quote(1), "b.example", EXPIRED),
            Err(Refusal::AlreadyPaid {
                payment_hash: hash(1)
            })
        );
    }

    #[test]
    fn a_lost_payment_is_looked_up_and_never_paid_again() {
        let mut purchases = paying();
        let set_aside = purchases.budget().used();

        let action = purchases.on(&hash(1), PurchaseEvent::Lost);

        assert_eq!(action, Ok(PurchaseAction::LookUp(hash(1))));
        assert_eq!(purchases.budget().used(), set_aside);
        assert!(matches!(
            purchases.on(&hash(1), PurchaseEvent::Recorded),
            Err(PurchaseError::OutOfOrder { .. })
        ));
        assert!(matches!(
            purchases.on(&hash(1), settled(1)),
            Ok(PurchaseAction::Keep(_))
        ));
    }

    #[test]
    fn a_settlement_with_a_wrong_preimage_is_not_believed() {
        let mut purchases = paying();
        let set_aside = purchases.budget().used();

        let action = purchases.on(&hash(1), settled(2));

        assert_eq!(action, Ok(PurchaseAction::LookUp(hash(1))));
        assert_eq!(state(&purchases), PurchaseState::InDoubt);
        assert_eq!(purchases.budget().used(), set_aside);
    }

    #[test]
    fn a_failed_payment_gives_its_money_back_and_may_be_begun_again() {
        let mut purchases = paying();

        let action = purchases.on(&hash(1), PurchaseEvent::Failed);

        assert_eq!(action, Ok(PurchaseAction::Nothing));
        assert_eq!(purchases.budget().used(), Msat::ZERO);
        assert!(purchases.begin(quote(1), "a.example", CREATED).is_ok());
    }

    #[test]
    fn a_settlement_after_a_failure_is_kept_and_counted() {
        let mut purchases = paying();
        let _ = purchases.on(&hash(1), PurchaseEvent::Failed).unwrap();

        let action = purchases.on(&hash(1), settled(1));

        assert!(matches!(action, Ok(PurchaseAction::Keep(_))));
        assert_eq!(purchases.budget().used(), Msat::from_msat(10_007));
        assert!(matches!(state(&purchases), PurchaseState::Paid { .. }));
    }

    #[test]
    fn a_wrong_preimage_after_a_failure_changes_nothing() {
        let mut purchases = paying();
        let _ = purchases.on(&hash(1), PurchaseEvent::Failed).unwrap();

        assert_eq!(
            purchases.on(&hash(1), settled(2)),
            Ok(PurchaseAction::Nothing)
        );
        assert_eq!(state(&purchases), PurchaseState::Failed);
        assert_eq!(purchases.budget().used(), Msat::ZERO);
    }

    #[test]
    fn nothing_is_paid_before_it_is_recorded() {
        let mut purchases = purchases();
        let _ = purchases.begin(quote(1), "a.example", CREATED).unwrap();
        for event in [settled(1), PurchaseEvent::Failed, PurchaseEvent::Lost] {
            assert_eq!(
                purchases.on(&hash(1), event),
                Err(PurchaseError::OutOfOrder {
                    payment_hash: hash(1)
                })
            );
        }
        assert_eq!(state(&purchases), PurchaseState::Reserved);
    }

    #[test]
    fn what_could_not_be_recorded_is_forgotten_and_its_money_given_back() {
        let mut purchases = purchases();
        let _ = purchases.begin(quote(1), "a.example", CREATED).unwrap();

        let action = purchases.on(&hash(1), PurchaseEvent::Abandoned);

        assert_eq!(action, Ok(PurchaseAction::Nothing));
        assert_eq!(purchases.budget().used(), Msat::ZERO);
        assert!(purchases.get(&hash(1)).is_none());
    }

    #[test]
    fn a_paid_purchase_stays_paid_whatever_is_reported() {
        let mut purchases = paying();
        let _ = purchases.on(&hash(1), settled(1)).unwrap();
        let paid = state(&purchases);
        for event in [
            PurchaseEvent::Failed,
            PurchaseEvent::Lost,
            PurchaseEvent::Recorded,
            PurchaseEvent::Abandoned,
        ] {
            assert!(purchases.on(&hash(1), event).is_err());
        }
        assert_eq!(
            purchases.on(&hash(1), settled(2)),
            Ok(PurchaseAction::Nothing)
        );
        assert_eq!(state(&purchases), paid);
        assert_eq!(purchases.budget().used(), Msat::from_msat(10_007));
    }

    #[test]
    fn a_restored_purchase_is_looked_up_and_counts_whatever_the_limits_are() {
        let mut purchases = Purchases::new(Limits {
            price_max: Msat::ZERO,
            fee_max: Msat::ZERO,
            per_host: None,
            per_day: None,
            total: Some(Msat::ZERO),
        });

        let action = purchases.restore(quote(1), "a.example", FEE_MAX, CREATED);

        assert_eq!(action, PurchaseAction::LookUp(hash(1)));
        assert_eq!(purchases.budget().used(), Msat::from_msat(10_500));
        assert!(matches!(
            purchases.on(&hash(1), settled(1)),
            Ok(PurchaseAction::Keep(_))
        ));
    }

    #[test]
    fn restoring_what_is_paid_already_counts_it_once() {
        let mut purchases = paying();
        let kept = purchases.on(&hash(1), settled(1)).unwrap();
        let used = purchases.budget().used();

        let action = purchases.restore(quote(1), "a.example", FEE_MAX, CREATED);

        assert_eq!(action, kept);
        assert_eq!(purchases.budget().used(), used);
    }

    #[test]
    fn an_event_for_a_payment_nobody_began_is_an_error() {
        assert_eq!(
            purchases().on(&hash(9), settled(9)),
            Err(PurchaseError::Unknown {
                payment_hash: hash(9)
            })
        );
    }

    #[test]
    fn no_message_or_debug_text_of_a_purchase_shows_its_preimage() {
        let mut purchases = paying();
        let keep = purchases.on(&hash(1), settled(1)).unwrap();
        let told = format!("{purchases:?} {keep:?} {:?}", settled(1));
        assert!(!told.contains(&preimage(1).expose_hex()), "{told}");
        let secret_bytes = format!("{:?}", [1_u8; 32]);
        assert!(!told.contains(&secret_bytes), "{told}");
    }
}

#[test]
fn the_invoice_in_the_challenge_is_the_invoice_that_is_paid() {
    let quote = quote(1);
    let read = Invoice::parse(&quote.challenge().invoice).unwrap();
    assert_eq!(quote.invoice(), &read);
}
