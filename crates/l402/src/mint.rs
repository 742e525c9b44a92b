//! Making a token for a payment that has not happened yet.
//!
//! Pure: the invoice exists, the entropy is drawn and the clock is read. The token is
//! worth nothing until somebody learns the preimage, and nothing about it is stored.

use crate::caveat::Caveat;
use crate::hash::PaymentHash;
use crate::identifier::Identifier;
use crate::keys::KeyRing;
use crate::macaroon::{Macaroon, MacaroonError};
use crate::time::UnixSeconds;

/// Mints a token that the preimage of `payment_hash` will make valid.
///
/// `entropy` must come from a cryptographic random source. One of the caveats must name the
/// [`services`](crate::caveat::services()) sold: a token that names none buys nothing, and
/// since adding a caveat is always allowed, its holder could name any.
///
/// # Errors
///
/// [`MacaroonError::TooManyCaveats`] or [`MacaroonError::TooLarge`] when the caveats do not fit.
///
/// # Specification
///
/// L402 `macaroons.md`, "Macaroon Minting" (rows 2, 3 and 22 to 24 in `docs/spec.md`).
pub fn mint(
    ring: &KeyRing,
    payment_hash: PaymentHash,
    caveats: &[Caveat],
    now: UnixSeconds,
    entropy: [u8; 20],
) -> Result<Macaroon, MacaroonError> {
    let identifier = Identifier {
        payment_hash,
        token_id: ring.token_id(now, entropy),
    }
    .to_bytes();
    let token = Macaroon::mint(&ring.minting_key(&identifier), LOCATION, &identifier)?;
    caveats.iter().try_fold(token, |token, caveat| {
        token.with_caveat(caveat.as_str().as_bytes())
    })
}

/// What deployed issuers write; readers ignore it.
const LOCATION: &str = "lsat";
