//! What is offered: eight quotes for four payments, and the preimages that pay them.

use std::sync::LazyLock;

use l402::{
    Challenge, Identifier, Invoice, LegacyLsat, Macaroon, Network, PaymentHash, Preimage, Quote,
    RootKey, SchemeName, Token, TokenId, UnixSeconds, read_challenges,
};
use lightning_invoice::Currency;

/// Payments, and the offers for each: a seller may ask two prices for one payment.
pub(super) const PAYMENTS: u8 = 4;
const PRICES: [u64; 8] = [1_000, 4_000, 9_999, 20_000, 2_000, 50_000, 1, 9_000];
pub(super) const HOSTS: [&str; 3] = ["a.example", "b.example", "c.example"];

pub(super) static QUOTES: LazyLock<Vec<Quote>> = LazyLock::new(|| {
    let pairs = PRICES.iter().zip(0..);
    pairs.map(|(price, offer)| quote(offer, *price)).collect()
});

pub(super) fn preimage(payment: u8) -> Preimage {
    Preimage::new([payment % PAYMENTS + 1; 32])
}

fn quote(offer: u8, price: u64) -> Quote {
    let preimage = preimage(offer);
    let text = super::super::invoice::invoice(Currency::Regtest, Some(price), preimage.expose());
    let identifier = Identifier {
        payment_hash: preimage.payment_hash(),
        token_id: TokenId::new([offer; 32]),
    };
    let token = Macaroon::mint(&RootKey::new([5; 32]), "lsat", &identifier.to_bytes());
    let token = Token::from(&token.expect("it fits"));
    let invoice = Invoice::parse(&text).expect("a good invoice");
    let challenge = Challenge::restore(SchemeName::L402, token, &invoice).expect("one payment");
    let sent = challenge.header_values(LegacyLsat::Omit);
    let challenges = read_challenges(sent.iter().map(String::as_bytes)).expect("as written");
    let created = UnixSeconds::new(1_700_000_000);
    Quote::read(&challenges[0], Network::Regtest, created).expect("a good offer")
}

pub(super) fn hash_of(payment: u8) -> PaymentHash {
    preimage(payment).payment_hash()
}

pub(super) fn preimage_of(hash: &PaymentHash) -> Preimage {
    (0..PAYMENTS)
        .map(preimage)
        .find(|preimage| preimage.matches(hash))
        .expect("a payment of a quote")
}
