//! Macaroons, the token format: an identifier, caveats, and a chain of HMACs over both.
//!
//! A [`Macaroon`] is one piece of memory holding valid V2 bytes, whatever layout it was read
//! from, so that what is signed is never re-encoded. The holder of a macaroon can add a
//! caveat; only the root key allows to take one away.
//!
//! Nothing here knows what a caveat means: see [`verify`](crate::verify()).
//!
//! Specification: L402 `macaroons.md`; layouts and key derivation as deployed by
//! go-macaroon and libmacaroons. `docs/spec.md` names the test for each requirement.

mod error;
mod hmac;
mod json;
mod root_key;
mod v1;
mod v2;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use subtle::ConstantTimeEq;

pub use self::error::MacaroonError;
pub(crate) use self::hmac::HmacKey;
pub use self::root_key::RootKey;
use self::v2::Layout;
pub use self::v2::RawCaveat;
use crate::encoding;
use crate::hash::equal_in_constant_time;

/// A valid macaroon, held as V2 bytes.
///
/// It is half of a credential, so `Debug` shows its size only and `==` takes constant time.
///
/// ```
/// use l402::{Macaroon, RootKey};
///
/// let root = RootKey::new([1; 32]);
/// let macaroon = Macaroon::mint(&root, "lsat", b"identifier")?;
/// let attenuated = macaroon.with_caveat("path_prefix=/v1")?;
///
/// let received: Macaroon = attenuated.to_base64().parse()?;
/// assert!(received.verify(&root).is_ok());
/// let caveats: Vec<&[u8]> = received.unverified_caveats().map(|caveat| caveat.id()).collect();
/// assert_eq!(caveats, [b"path_prefix=/v1"]);
/// # Ok::<(), l402::MacaroonError>(())
/// ```
#[derive(Clone)]
pub struct Macaroon(Arc<Parts>);

/// Shared, so that a grant can keep the token it was verified from.
struct Parts {
    bytes: Vec<u8>,
    layout: Layout,
}

impl Macaroon {
    /// Creates a macaroon without caveats under a root key.
    ///
    /// It is not limited to any service, and its holder can append any first caveat: tokens
    /// are sold by [`mint`](crate::mint()), which starts with the services.
    ///
    /// `location` is a hint for readers and is not signed; L402 issuers write `lsat`.
    ///
    /// # Errors
    ///
    /// [`MacaroonError::Empty`] without an identifier, [`MacaroonError::TooLarge`] over 8 KiB.
    pub fn mint(root: &RootKey, location: &str, identifier: &[u8]) -> Result<Self, MacaroonError> {
        let mut bytes = v2::write_header(location.as_bytes(), identifier);
        v2::write_end(&mut bytes, &root.first_signature(identifier));
        Self::parse_v2(bytes)
    }

    /// Reads V2 binary, V1 binary or V2 JSON, distinguished by the first byte.
    ///
    /// # Errors
    ///
    /// [`MacaroonError`], naming what is wrong and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, MacaroonError> {
        match bytes.first() {
            None => Err(MacaroonError::Truncated { at: 0 }),
            Some(b'{') => Self::parse_v2(json::to_v2(bytes)?),
            Some(b'0'..=b'9' | b'a'..=b'f') => Self::parse_v2(v1::to_v2(bytes)?),
            Some(_) => Self::parse_v2(bytes.to_vec()),
        }
    }

    /// Reads V2 binary and keeps the bytes.
    ///
    /// # Errors
    ///
    /// [`MacaroonError`], naming what is wrong and where.
    pub fn parse_v2(bytes: Vec<u8>) -> Result<Self, MacaroonError> {
        let layout = v2::read(&bytes)?;
        Ok(Self(Arc::new(Parts { bytes, layout })))
    }

    /// Reads any layout written as text: JSON as it is, binary in hexadecimal or base64.
    ///
    /// # Errors
    ///
    /// [`MacaroonError::Text`] when it is neither; otherwise as [`parse`](Self::parse).
    pub fn parse_text(text: &str) -> Result<Self, MacaroonError> {
        let text = text.trim();
        if text.len() > MAX_TEXT_LEN {
            return Err(MacaroonError::TooLarge { len: text.len() });
        }
        if text.starts_with('{') {
            return Self::parse(text.as_bytes());
        }
        // Hexadecimal first: its digits are base64 as well, but base64 of a macaroon never
        // consists of them alone, since it starts with the letter of the version byte.
        encoding::hex_any(text.as_bytes())
            .or_else(|| encoding::base64_any(text.as_bytes()))
            .ok_or(MacaroonError::Text)
            .and_then(|bytes| Self::parse(&bytes))
    }

    /// Returns the macaroon with one more caveat: a [`Caveat`](crate::Caveat), or any bytes.
    ///
    /// # Errors
    ///
    /// [`MacaroonError::Empty`] for an empty condition, [`MacaroonError::TooLarge`] or
    /// [`MacaroonError::TooManyCaveats`] when the result would not be readable again.
    pub fn with_caveat(&self, condition: impl AsRef<[u8]>) -> Result<Self, MacaroonError> {
        let condition = condition.as_ref();
        let caveat = RawCaveat {
            location: &[],
            id: condition,
            vid: None,
        };
        let Parts { bytes, layout } = &*self.0;
        let signature = next_signature(&layout.signature, &caveat);
        let room = bytes.len().saturating_add(condition.len());
        let before = bytes.get(..layout.caveats.end).unwrap_or_default();
        let mut bytes = Vec::with_capacity(room.saturating_add(4));
        bytes.extend_from_slice(before);
        v2::write_caveat(&mut bytes, &caveat);
        v2::write_end(&mut bytes, &signature);
        Self::parse_v2(bytes)
    }

    /// Returns the V2 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Returns the V2 bytes in padded standard base64, the form HTTP headers carry.
    #[must_use]
    pub fn to_base64(&self) -> String {
        encoding::to_base64(&self.0.bytes)
    }

    /// Returns the V2 bytes in lower-case hexadecimal, the form gRPC metadata carries.
    #[must_use]
    pub fn to_hex(&self) -> String {
        encoding::to_hex(&self.0.bytes)
    }

    /// Returns the location hint. Not signed: never decide by it.
    #[must_use]
    pub fn location(&self) -> &[u8] {
        self.0
            .bytes
            .get(self.0.layout.location.clone())
            .unwrap_or_default()
    }

    /// Returns the identifier, signed but not yet verified.
    #[must_use]
    pub fn identifier(&self) -> &[u8] {
        self.0
            .bytes
            .get(self.0.layout.identifier.clone())
            .unwrap_or_default()
    }

    /// Returns the last link of the chain. Its holder can add caveats.
    #[must_use]
    pub fn signature(&self) -> &[u8; 32] {
        &self.0.layout.signature
    }

    /// Returns the caveats in order, whether or not the signature holds.
    pub fn unverified_caveats(&self) -> impl Iterator<Item = RawCaveat<'_>> {
        v2::caveats(&self.0.bytes, self.0.layout.caveats.clone())
    }

    /// Checks that identifier and caveats chain from `root` to the signature.
    ///
    /// Third-party caveats are chained but not discharged: a caller that grants anything
    /// must refuse macaroons that carry them.
    ///
    /// # Errors
    ///
    /// [`Forged`], without a hint where the chain broke.
    pub fn verify(&self, root: &RootKey) -> Result<(), Forged> {
        let mut signature = root.first_signature(self.identifier());
        for caveat in self.unverified_caveats() {
            signature = next_signature(&signature, &caveat);
        }
        if equal_in_constant_time(&signature, &self.0.layout.signature) {
            Ok(())
        } else {
            Err(Forged)
        }
    }
}

impl FromStr for Macaroon {
    type Err = MacaroonError;

    /// Reads any layout written as text, as [`parse_text`](Self::parse_text) does.
    fn from_str(text: &str) -> Result<Self, MacaroonError> {
        Self::parse_text(text)
    }
}

impl Eq for Macaroon {}

impl PartialEq for Macaroon {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl fmt::Debug for Macaroon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Macaroon({} bytes, redacted)", self.0.bytes.len())
    }
}

/// The signature does not chain to the root key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("signature does not match: the token was not issued under this key, or was changed")]
pub struct Forged;

fn next_signature(signature: &[u8; 32], caveat: &RawCaveat<'_>) -> [u8; 32] {
    let Some(vid) = caveat.vid else {
        return hmac::hmac(signature, caveat.id);
    };
    let key = HmacKey::new(signature);
    let mut both = [0; 64];
    let (first, second) = both.split_at_mut(32);
    first.copy_from_slice(&key.sign(vid));
    second.copy_from_slice(&key.sign(caveat.id));
    key.sign(&both)
}

/// Hexadecimal doubles the length; base64 is shorter.
const MAX_TEXT_LEN: usize = 2 * v2::MAX_MACAROON_LEN;
