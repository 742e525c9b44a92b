//! What a token is for: the payment that buys it, and its own name.
//!
//! Version 0 is 66 bytes: `u16be 0 ‖ payment hash 32 ‖ token id 32`. Other writers put the
//! same bytes in hexadecimal; both are read. Any other version or length is refused rather
//! than guessed at.

use crate::encoding;
use crate::hash::PaymentHash;
use crate::name32::name_of_32_bytes;

/// The identifier of an L402 token, version 0.
///
/// ```
/// use l402::{Identifier, PaymentHash, TokenId};
///
/// let identifier = Identifier {
///     payment_hash: PaymentHash::new([1; 32]),
///     token_id: TokenId::new([2; 32]),
/// };
/// let bytes = identifier.to_bytes();
/// assert_eq!(bytes.len(), Identifier::LEN);
/// assert_eq!(Identifier::parse(&bytes), Ok(identifier));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Identifier {
    /// The payment whose preimage makes the token valid.
    pub payment_hash: PaymentHash,
    /// Distinguishes tokens of one payment hash, and names the token when it is revoked.
    pub token_id: TokenId,
}

impl Identifier {
    /// Length of version 0 in bytes.
    pub const LEN: usize = 66;

    /// Returns the 66 bytes of version 0.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let parts = [0, 0]
            .iter()
            .chain(self.payment_hash.as_bytes())
            .chain(&self.token_id.0);
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = *from;
        }
        bytes
    }

    /// Reads version 0 in binary or in hexadecimal text.
    ///
    /// # Errors
    ///
    /// [`IdentifierError`] for any other length or version.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentifierError> {
        match bytes.len() {
            Self::LEN => Self::parse_binary(bytes),
            HEX_LEN => {
                let binary =
                    encoding::hex_any(bytes).ok_or(IdentifierError::Length { len: bytes.len() })?;
                Self::parse_binary(&binary)
            }
            len => Err(IdentifierError::Length { len }),
        }
    }

    fn parse_binary(bytes: &[u8]) -> Result<Self, IdentifierError> {
        let wrong_length = IdentifierError::Length { len: bytes.len() };
        let (version, rest) = bytes.split_first_chunk::<2>().ok_or(wrong_length.clone())?;
        let (hash, token_id) = rest.split_first_chunk::<32>().ok_or(wrong_length.clone())?;
        let token_id: [u8; 32] = token_id.try_into().map_err(|_wrong_length| wrong_length)?;
        match u16::from_be_bytes(*version) {
            0 => Ok(Self {
                payment_hash: PaymentHash::new(*hash),
                token_id: TokenId(token_id),
            }),
            version => Err(IdentifierError::Version { version }),
        }
    }
}

/// Names one token. Public: it appears in logs and in revocation lists.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TokenId([u8; 32]);

name_of_32_bytes!(TokenId, "a token id");

/// Why bytes are not an L402 identifier.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// Neither 66 bytes nor 132 hexadecimal digits.
    #[error("identifier of {len} bytes where 66, or 132 hexadecimal digits, are needed")]
    Length {
        /// Length found.
        len: usize,
    },
    /// A version other than 0.
    #[error("identifier version {version} is unknown, only 0 is")]
    Version {
        /// Version found.
        version: u16,
    },
}

const HEX_LEN: usize = 2 * Identifier::LEN;

#[cfg(test)]
mod tests {
    use super::*;

    fn identifier() -> Identifier {
        Identifier {
            payment_hash: PaymentHash::new([1; 32]),
            token_id: TokenId::new([2; 32]),
        }
    }

    #[test]
    fn binary_and_hexadecimal_read_the_same() {
        let bytes = identifier().to_bytes();

        assert_eq!(Identifier::parse(&bytes), Ok(identifier()));
        assert_eq!(
            Identifier::parse(encoding::to_hex(&bytes).as_bytes()),
            Ok(identifier())
        );
        assert_eq!(
            Identifier::parse(encoding::to_hex(&bytes).to_uppercase().as_bytes()),
            Ok(identifier())
        );
    }

    #[test]
    fn other_lengths_and_versions_are_refused() {
        let bytes = identifier().to_bytes();
        for len in [0, 1, 2, 34, 65] {
            assert_eq!(
                Identifier::parse(&bytes[..len]),
                Err(IdentifierError::Length { len })
            );
        }
        assert!(Identifier::parse(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Identifier::parse(&[b'g'; HEX_LEN]).is_err());
        let mut version_1 = bytes;
        version_1[1] = 1;
        assert_eq!(
            Identifier::parse(&version_1),
            Err(IdentifierError::Version { version: 1 })
        );
    }
}
