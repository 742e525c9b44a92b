//! How one event of a purchase is written as one line.
//!
//! A line is a checksum and a JSON object. The checksum covers the line before it as
//! well, so a changed, lost, doubled or moved line is noticed, not only a damaged one.
//!
//! These types exist for the disk alone: they hold secrets as text, so they have no
//! `Debug`, and nothing outside the journal sees them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use l402::{Msat, PaymentHash, Preimage, SchemeName, Token, UnixSeconds};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::entry::{Order, WalletName};
use super::session::SessionId;

/// The checksum of a line and, through it, of every line before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Chain([u8; 8]);

impl Chain {
    /// The link before the first line of a file.
    pub(super) const fn start(generation: [u8; 8]) -> Self {
        Self(generation)
    }

    fn next(self, json: &[u8]) -> Self {
        let digest = Sha256::new()
            .chain_update(self.0)
            .chain_update(json)
            .finalize();
        let mut link = [0; 8];
        link.iter_mut()
            .zip(digest)
            .for_each(|(to, from)| *to = from);
        Self(link)
    }
}

/// One event of one purchase, or the sum of purchases long done.
#[derive(Deserialize, Serialize)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Record {
    /// Written before paying.
    Begun(Begun),
    /// The wallet could not say what became of it.
    InDoubt { hash: Hash, reason: String },
    /// No money moved and none will.
    Failed { hash: Hash, reason: String },
    /// Paid; this preimage proves it.
    Paid {
        hash: Hash,
        preimage: String,
        fee_msat: u64,
    },
    /// The paid token is in the store.
    Kept { hash: Hash },
    /// What was spent at one host on one day by purchases no longer listed.
    Tally {
        host: String,
        utc_day: u64,
        spent_msat: u64,
    },
}

/// A payment hash in hexadecimal.
#[derive(Clone, Copy)]
pub(super) struct Hash(pub(super) PaymentHash);

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begun {
    hash: Hash,
    origin: String,
    path: String,
    wallet: String,
    price_msat: u64,
    fee_max_msat: u64,
    invoice: String,
    invoice_expires_at: u64,
    scheme: String,
    token: String,
    begun_at: u64,
    pay_until: u64,
    session: String,
}

impl Begun {
    pub(super) fn new(order: &Order, session: &SessionId) -> Self {
        Self {
            hash: Hash(order.payment_hash),
            origin: order.origin.to_string(),
            path: order.path.clone(),
            wallet: order.wallet.as_str().to_owned(),
            price_msat: order.price.as_msat(),
            fee_max_msat: order.fee_max.as_msat(),
            invoice: order.invoice.clone(),
            invoice_expires_at: order.invoice_expires_at.as_secs(),
            scheme: order.scheme.as_str().to_owned(),
            token: order.token.as_str().to_owned(),
            begun_at: order.begun_at.as_secs(),
            pay_until: order.pay_until.as_secs(),
            session: session.as_str().to_owned(),
        }
    }

    /// Reads the order back, or says which field has no meaning.
    pub(super) fn read(&self) -> Result<(Order, SessionId), &'static str> {
        let token = STANDARD
            .decode(&self.token)
            .map_err(|_secret| "token is not base64")?;
        let order = Order {
            payment_hash: self.hash.0,
            origin: self
                .origin
                .parse()
                .map_err(|_error| "origin is not a web address")?,
            path: self.path.clone(),
            wallet: WalletName::new(self.wallet.as_str()),
            price: Msat::from_msat(self.price_msat),
            fee_max: Msat::from_msat(self.fee_max_msat),
            invoice: self.invoice.clone(),
            invoice_expires_at: UnixSeconds::new(self.invoice_expires_at),
            scheme: read_scheme(&self.scheme).ok_or("scheme is neither L402 nor LSAT")?,
            token: Token::from_bytes(token),
            begun_at: UnixSeconds::new(self.begun_at),
            pay_until: UnixSeconds::new(self.pay_until),
        };
        let session = SessionId::read(&self.session).ok_or("session is not 16 hex digits")?;
        Ok((order, session))
    }
}

/// Reads back what [`SchemeName::as_str`] wrote.
pub(crate) fn read_scheme(text: &str) -> Option<SchemeName> {
    [SchemeName::L402, SchemeName::Lsat]
        .into_iter()
        .find(|scheme| scheme.as_str() == text)
}

/// Reads a preimage a record carries, without repeating it when it is none.
pub(super) fn read_preimage(text: &str) -> Result<Preimage, &'static str> {
    Preimage::from_hex(text).map_err(|_secret| "preimage is not 64 hexadecimal digits")
}

/// Writes a record as a line that follows `before`.
pub(super) fn encode(record: &Record, before: Chain) -> Result<(String, Chain), serde_json::Error> {
    let json = serde_json::to_string(record)?;
    let link = before.next(json.as_bytes());
    Ok((format!("{} {json}\n", hex::encode(link.0)), link))
}

/// Reads a line, without its end, that must follow `before`.
pub(super) fn decode(line: &[u8], before: Chain) -> Result<(Record, Chain), String> {
    let (checksum, json) = line
        .split_at_checked(CHECKSUM_LEN)
        .and_then(|(checksum, rest)| Some((checksum, rest.strip_prefix(b" ")?)))
        .ok_or("no checksum")?;
    let link = before.next(json);
    if checksum != hex::encode(link.0).as_bytes() {
        return Err("the checksum does not match".to_owned());
    }
    // serde's message quotes unknown names, never values of string fields.
    let record = serde_json::from_slice(json).map_err(|error| format!("{error}"))?;
    Ok((record, link))
}

const CHECKSUM_LEN: usize = 16;
