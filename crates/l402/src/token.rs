//! Tokens as text: what a challenge carries and a credential presents.

use std::fmt;

use crate::encoding;
use crate::hash::Preimage;
use crate::macaroon::{Macaroon, MacaroonError};
use crate::scheme::SchemeName;

/// A token exactly as it was received: its text, and the bytes that text encodes.
///
/// The text is what a credential presents. A server may understand only the alphabet, the
/// padding and the macaroon layout it wrote itself.
///
/// ```
/// use l402::{Preimage, SchemeName, Token};
///
/// // URL-safe and without padding: presented as it is.
/// let token = Token::from_text("AgEEbHNhdAIB-w")?;
/// let authorization = token.authorization(SchemeName::Lsat, &Preimage::new([1; 32]));
/// assert!(authorization.starts_with("LSAT AgEEbHNhdAIB-w:0101"));
/// # Ok::<(), l402::TokenTextError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Token {
    text: String,
    bytes: Vec<u8>,
}

/// The text of a token is not base64.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the token is not base64")]
pub struct TokenTextError;

impl Token {
    /// Creates the token of bytes, written in padded standard base64.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self {
            text: encoding::to_base64(&bytes),
            bytes,
        }
    }

    /// Reads the text of a token in any base64 alphabet, padded or not.
    ///
    /// # Errors
    ///
    /// [`TokenTextError`] when it is not base64.
    pub fn from_text(text: &str) -> Result<Self, TokenTextError> {
        let bytes = encoding::base64_any(text.as_bytes()).ok_or(TokenTextError)?;
        Ok(Self {
            text: text.to_owned(),
            bytes,
        })
    }

    /// Returns the text as received.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the bytes that the text encodes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the token as a macaroon.
    ///
    /// # Errors
    ///
    /// [`MacaroonError`] when it is none, or none this crate reads.
    pub fn macaroon(&self) -> Result<Macaroon, MacaroonError> {
        Macaroon::parse(&self.bytes)
    }

    /// Returns the value of the `Authorization` header that presents the token. A secret:
    /// never log it.
    ///
    /// # Specification
    ///
    /// L402 `protocol-specification.md`, "Authorization header" (row 38 in `docs/spec.md`).
    #[must_use]
    pub fn authorization(&self, name: SchemeName, preimage: &Preimage) -> String {
        format!("{name} {}:{}", self.text, preimage.expose_hex())
    }
}

impl From<&Macaroon> for Token {
    /// Creates the token of a macaroon: its V2 bytes in padded standard base64.
    fn from(macaroon: &Macaroon) -> Self {
        Self::from_bytes(macaroon.as_bytes().to_vec())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes, redacted)", self.bytes.len())
    }
}
