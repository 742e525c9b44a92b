//! How one credential is written as one file.
//!
//! JSON, so that a person can read it and another program can take it over. The preimage
//! must match the payment hash beside it: a file damaged there is noticed before use.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use l402::{Msat, PaymentHash, Preimage, Token, UnixSeconds};
use serde::{Deserialize, Serialize};

use super::{Standing, StoredToken};
use crate::journal::record::read_scheme;

/// For the disk alone: it holds secrets as text, so it has no `Debug`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    version: u32,
    origin: String,
    path: String,
    scheme: String,
    token: String,
    preimage: String,
    payment_hash: String,
    price_msat: u64,
    fee_msat: u64,
    bought_at: u64,
}

pub(super) fn encode(token: &StoredToken) -> io::Result<String> {
    let file = TokenFile {
        version: VERSION,
        origin: token.origin.to_string(),
        path: token.path.clone(),
        scheme: token.scheme.as_str().to_owned(),
        token: token.token.as_str().to_owned(),
        preimage: token.preimage.expose_hex(),
        payment_hash: token.payment_hash().to_string(),
        price_msat: token.price.as_msat(),
        fee_msat: token.fee.as_msat(),
        bought_at: token.bought_at.as_secs(),
    };
    Ok(serde_json::to_string_pretty(&file)?)
}

/// Reads a file's content, or says what is wrong without repeating any of it.
pub(super) fn decode(bytes: &[u8]) -> Result<StoredToken, String> {
    let file: TokenFile = serde_json::from_slice(bytes)
        .map_err(|error| format!("line {}, column {}", error.line(), error.column()))?;
    if file.version != VERSION {
        return Err(format!("version {} is not {VERSION}", file.version));
    }
    let preimage = Preimage::from_hex(&file.preimage).map_err(|error| error.to_string())?;
    let hash: PaymentHash = file.payment_hash.parse().map_err(field("payment_hash"))?;
    if !preimage.matches(&hash) {
        return Err("its preimage does not match its payment hash".to_owned());
    }
    Ok(StoredToken {
        origin: file.origin.parse().map_err(field("origin"))?,
        path: file.path,
        scheme: read_scheme(&file.scheme).ok_or("scheme is neither L402 nor LSAT")?,
        token: Token::from_bytes(STANDARD.decode(&file.token).map_err(field("token"))?),
        preimage,
        price: Msat::from_msat(file.price_msat),
        fee: Msat::from_msat(file.fee_msat),
        bought_at: UnixSeconds::new(file.bought_at),
        standing: Standing::default(),
    })
}

fn field<E>(name: &'static str) -> impl Fn(E) -> String {
    move |_error| format!("{name} has no meaning")
}

const VERSION: u32 = 1;
