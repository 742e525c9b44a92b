//! Minting: a token for a payment that has not happened yet.
//!
//! Pure: the invoice exists, the entropy is drawn and the clock is read. The token is
//! worth nothing without the preimage, and nothing about it is stored.

use crate::caveat::Caveat;
use crate::hash::PaymentHash;
use crate::identifier::Identifier;
use crate::keys::KeyRing;
use crate::macaroon::{Macaroon, MacaroonError};
use crate::services::Services;
use crate::time::UnixSeconds;

/// Mints a token that the preimage of `payment_hash` will make valid.
///
/// `entropy` must come from a cryptographic random source. The token is for `services` and
/// is narrowed by `caveats`, in their order.
///
/// # Errors
///
/// [`MacaroonError::TooManyCaveats`] or [`MacaroonError::TooLarge`] when the caveats do not fit.
///
/// # Specification
///
/// L402 `macaroons.md`, "Macaroon Minting" (rows 2, 3 and 22 to 24 in `docs/spec.md`).
///
/// # Examples
///
/// ```
/// use l402::{KeyRing, MasterKey, Preimage, Services, UnixSeconds, caveat, mint};
///
/// let ring = KeyRing::new(MasterKey::new([1; 32]));
/// let now = UnixSeconds::new(1_700_000_000);
/// let token = mint(
///     &ring,
///     Preimage::new([9; 32]).payment_hash(),
///     &Services::new("weather", 0)?,
///     &[caveat::valid_until("weather", now.plus_secs(3_600))?],
///     now,
///     [2; 20],
/// )?;
/// let caveats: Vec<&[u8]> = token.unverified_caveats().map(|caveat| caveat.id()).collect();
/// assert_eq!(caveats, [&b"services=weather:0"[..], b"weather_valid_until=1700003600"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mint(
    ring: &KeyRing,
    payment_hash: PaymentHash,
    services: &Services,
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
    let mut caveats = std::iter::once(services.caveat()).chain(caveats);
    caveats.try_fold(token, |token, caveat| token.with_caveat(caveat))
}

/// What deployed issuers write; readers ignore it.
const LOCATION: &str = "lsat";
