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
#[path = "../../../../fuzz/src/invoice.rs"]
mod invoice;
mod machine;
mod quotes;

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
