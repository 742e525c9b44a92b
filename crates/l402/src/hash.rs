//! The two 32-byte values a payment turns on: its public hash and its secret preimage.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::encoding::{self, HexError};
use crate::name32::name_of_32_bytes;

/// SHA-256 of a payment's preimage, as an invoice and a token name it. Public.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PaymentHash([u8; 32]);

name_of_32_bytes!(PaymentHash, "a payment hash");

/// The secret that proves a payment: SHA-256 of it is the [`PaymentHash`].
///
/// It is half of a credential, so it has no `Display`, a redacting
/// `Debug`, a constant-time `==`, and is wiped when dropped.
///
/// ```
/// use l402::{PaymentHash, Preimage};
///
/// let preimage = Preimage::from_hex("0101010101010101010101010101010101010101010101010101010101010101")?;
/// let hash: PaymentHash =
///     "72cd6e8422c407fb6d098690f1130b7ded7ec2f7f5e1d30bd9d521f015363793".parse()?;
/// assert!(preimage.matches(&hash));
/// assert_eq!(format!("{preimage:?}"), "Preimage(redacted)");
/// # Ok::<(), l402::HexError>(())
/// ```
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Preimage([u8; 32]);

impl Preimage {
    /// Wraps the 32 bytes of a preimage.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads exactly 64 hexadecimal digits of either case.
    ///
    /// # Errors
    ///
    /// [`HexError`], which does not repeat the secret.
    pub fn from_hex(text: &str) -> Result<Self, HexError> {
        encoding::hex_32(text.as_bytes()).map(Self)
    }

    /// Returns the SHA-256 of the preimage.
    #[must_use]
    pub fn payment_hash(&self) -> PaymentHash {
        PaymentHash(Sha256::digest(self.0).into())
    }

    /// Returns true when SHA-256 of this preimage is `hash`.
    #[must_use]
    pub fn matches(&self, hash: &PaymentHash) -> bool {
        equal_in_constant_time(&self.payment_hash().0, &hash.0)
    }

    /// Returns the secret bytes. Never log them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the secret as 64 lower-case hexadecimal digits, the form a credential carries.
    #[must_use]
    pub fn expose_hex(&self) -> String {
        encoding::to_hex(&self.0)
    }
}

impl Eq for Preimage {}

impl PartialEq for Preimage {
    fn eq(&self, other: &Self) -> bool {
        equal_in_constant_time(&self.0, &other.0)
    }
}

impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preimage(redacted)")
    }
}

/// Compares 32 bytes in a time that does not depend on them.
///
/// Slices would be compared byte by byte, with a barrier against the optimiser at each: their
/// differences are gathered in words first, and only the result is compared.
pub(crate) fn equal_in_constant_time(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let pairs = words(a).zip(words(b));
    let difference = pairs.fold(0, |difference, (a, b)| difference | (a ^ b));
    difference.ct_eq(&0).into()
}

fn words(bytes: &[u8; 32]) -> impl Iterator<Item = u64> {
    bytes.as_chunks().0.iter().copied().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preimage_pays_its_own_hash_only() {
        let preimage = Preimage::new([7; 32]);

        assert!(preimage.matches(&preimage.payment_hash()));
        assert!(!preimage.matches(&Preimage::new([8; 32]).payment_hash()));
    }

    #[test]
    fn a_difference_in_any_bit_is_a_difference() {
        let value = [0xa5; 32];
        assert!(equal_in_constant_time(&value, &value));
        for bit in 0..256 {
            let mut other = value;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!equal_in_constant_time(&value, &other), "bit {bit}");
        }
    }

    #[test]
    fn debug_does_not_leak_the_preimage() {
        assert_eq!(
            format!("{:?}", Preimage::new([7; 32])),
            "Preimage(redacted)"
        );
    }

    #[test]
    fn hex_is_64_digits_of_either_case() {
        let upper = "AE216C2EF5247A3782C135EFA279A3E4CDC61094270F5D2BE58C6204B7A612C9";
        assert_eq!(
            upper.parse::<PaymentHash>().unwrap().to_string(),
            upper.to_lowercase()
        );
        for bad in [
            "",
            "ae",
            &upper[1..],
            &format!("{upper}0"),
            &upper.replace('A', "g"),
        ] {
            assert!(bad.parse::<PaymentHash>().is_err(), "{bad}");
        }
    }
}
