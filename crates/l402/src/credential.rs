//! Credentials: a token and the preimage that paid for it, as a client presents them.
//!
//! Read from `Authorization` lines and from the metadata gRPC clients send. Every spelling
//! deployed clients use is read; lines of other schemes are ignored. A
//! request may present several credentials, and which of them is good is not decided here.
//!
//! Specification: L402 `protocol-specification.md`, "Authorization header"; rows 9, 13,
//! 16 to 18, 33, 38 and 50 to 53 in `docs/spec.md`.

mod list;

use std::fmt;
use std::str::FromStr;

pub use self::list::{
    METADATA_HEADERS, is_credential_line, is_credential_metadata, read_credentials,
};
use crate::caveat;
use crate::encoding::{self, HexError};
use crate::hash::Preimage;
use crate::macaroon::{Macaroon, MacaroonError};
use crate::scheme::{Scheme, SchemeName};
use crate::token::Token;

/// A token and a preimage. Not verified: see [`verify`](crate::verify()).
///
/// Its holder can use what it bought, so `Debug` shows nothing of it.
///
/// ```
/// use l402::{Credential, Macaroon, Preimage, RootKey, SchemeName, caveat};
///
/// # let macaroon = Macaroon::mint(&RootKey::new([1; 32]), "lsat", b"identifier")?;
/// # let bought = Credential::new(macaroon, Preimage::new([9; 32])).authorization(SchemeName::L402);
/// // The holder of a credential hands out one that buys less.
/// let credential: Credential = bought.parse()?;
/// let macaroon = credential.macaroon().with_caveat(caveat::path_prefix("/v1")?)?;
/// let narrowed = Credential::new(macaroon, credential.preimage().clone());
///
/// let line = narrowed.authorization(SchemeName::L402);
/// assert_eq!(Credential::parse(&line)?, narrowed);
/// assert_eq!(format!("{narrowed:?}"), "Credential(redacted)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Credential {
    macaroon: Macaroon,
    preimage: Preimage,
}

impl Credential {
    /// Creates a credential of a token and its preimage.
    #[must_use]
    pub const fn new(macaroon: Macaroon, preimage: Preimage) -> Self {
        Self { macaroon, preimage }
    }

    /// Returns the token.
    #[must_use]
    pub const fn macaroon(&self) -> &Macaroon {
        &self.macaroon
    }

    /// Returns the preimage.
    #[must_use]
    pub const fn preimage(&self) -> &Preimage {
        &self.preimage
    }

    /// Returns the payment scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        Scheme::L402
    }

    /// Returns the value of an `Authorization` header, with the token as padded standard
    /// base64 of its V2 bytes. A secret: never log it.
    ///
    /// A buyer presents a token as it was received, by
    /// [`Challenge::authorization`](crate::Challenge::authorization).
    #[must_use]
    pub fn authorization(&self, name: SchemeName) -> String {
        Token::from(&self.macaroon).authorization(name, &self.preimage)
    }

    /// Reads one `Authorization` credential, scheme included.
    ///
    /// # Errors
    ///
    /// [`CredentialError`]; also [`CredentialError::Scheme`] for another scheme.
    pub fn parse(value: &str) -> Result<Self, CredentialError> {
        let (_, rest) = split_scheme(value.trim_ascii()).ok_or(CredentialError::Scheme)?;
        Self::parse_unschemed(rest)
    }

    fn parse_unschemed(text: &str) -> Result<Self, CredentialError> {
        let (token, preimage) = text.rsplit_once(':').ok_or(CredentialError::Colon)?;
        let preimage =
            read_preimage(preimage.trim_matches(' ')).map_err(CredentialError::Preimage)?;
        let bytes = read_token(token.trim_matches(' '))?;
        let macaroon = if bytes.first() == Some(&2) {
            Macaroon::parse_v2(bytes)
        } else {
            Macaroon::parse(&bytes)
        };
        Ok(Self {
            macaroon: macaroon.map_err(CredentialError::Token)?,
            preimage,
        })
    }

    /// Reads a macaroon that carries its preimage as a caveat, in hexadecimal or base64.
    fn parse_metadata(text: &str) -> Option<Self> {
        let macaroon = Macaroon::parse_text(text).ok()?;
        let preimage = macaroon.unverified_caveats().find_map(|caveat| {
            let value = caveat
                .id()
                .strip_prefix(caveat::PREIMAGE.as_bytes())?
                .strip_prefix(b"=")?;
            encoding::hex_32(value).ok().map(Preimage::new)
        })?;
        Some(Self { macaroon, preimage })
    }
}

/// Decodes a token's text. Errors are classified only after decoding fails.
fn read_token(text: &str) -> Result<Vec<u8>, CredentialError> {
    let decoded = (text.len() <= MAX_TOKEN_TEXT)
        .then(|| encoding::base64_any(text.as_bytes()))
        .flatten();
    decoded.ok_or_else(|| match text.len() {
        _ if text.contains(',') => CredentialError::Discharges,
        len if len > MAX_TOKEN_TEXT => CredentialError::Token(MacaroonError::TooLarge { len }),
        _ => CredentialError::Token(MacaroonError::Text),
    })
}

/// Reads 64 hexadecimal digits, or 96: the hex of a hex string mistaken for base64
/// (l402-requests).
///
/// LND writes preimages in hexadecimal. Those 64 digits read as base64 are 48 bytes, which
/// that client writes in hexadecimal. Encoding the bytes as base64 gives the digits back, so
/// the length alone determines the form; the payment hash decides as for any preimage.
fn read_preimage(text: &str) -> Result<Preimage, HexError> {
    if text.len() != TWICE_ENCODED_LEN {
        return Preimage::from_hex(text);
    }
    let found = text.len();
    let text = encoding::hex_any(text.as_bytes()).ok_or(HexError::Length { found })?;
    Preimage::from_hex(&encoding::to_base64(&text))
}

impl FromStr for Credential {
    type Err = CredentialError;

    /// Reads one `Authorization` value, as [`parse`](Self::parse) does.
    fn from_str(value: &str) -> Result<Self, CredentialError> {
        Self::parse(value)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(redacted)")
    }
}

/// Why something presented as a credential is not one. Never repeats it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// No colon between token and preimage.
    #[error("no `:` between token and preimage: write `L402 <token>:<preimage>`")]
    Colon,
    /// Several tokens before the colon.
    #[error("several tokens before the `:`: discharge macaroons are not supported")]
    Discharges,
    /// The preimage is not 64 hexadecimal digits.
    #[error("preimage is {0}")]
    Preimage(#[source] HexError),
    /// Neither `L402` nor `LSAT`.
    #[error("scheme is neither L402 nor LSAT")]
    Scheme,
    /// The line is not visible ASCII.
    #[error("contains bytes that are not visible ASCII")]
    Text,
    /// The token is not a macaroon.
    #[error("token is not a macaroon: {0}")]
    Token(#[source] MacaroonError),
}

/// Splits an L402 or LSAT credential into its scheme and the rest.
fn split_scheme(text: &str) -> Option<(SchemeName, &str)> {
    let (scheme, rest) = text.split_once(' ')?;
    Some((SchemeName::from_name(scheme)?, rest.trim_start()))
}

/// Hexadecimal digits of a preimage whose 64 digits were read as base64.
const TWICE_ENCODED_LEN: usize = 96;
/// Base64 of the longest macaroon, with room for JSON.
const MAX_TOKEN_TEXT: usize = 24 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::macaroon::RootKey;

    pub(super) fn credential(byte: u8) -> Credential {
        let macaroon = Macaroon::mint(&RootKey::new([byte; 32]), "lsat", &[byte; 66]).unwrap();
        Credential::new(macaroon, Preimage::new([byte; 32]))
    }

    pub(super) fn read(
        lines: &[&str],
        metadata: &[&str],
    ) -> Result<Vec<Credential>, CredentialError> {
        read_credentials(
            lines.iter().map(|line| line.as_bytes()),
            metadata.iter().map(|value| value.as_bytes()),
        )
    }

    #[test]
    fn every_scheme_case_and_base64_alphabet_reads_the_same() {
        let wanted = credential(0xfb);
        let preimage = wanted.preimage().expose_hex();
        let token = wanted.macaroon().to_base64();
        let url_safe = token.replace('+', "-").replace('/', "_");
        assert_ne!(token, url_safe, "the token must need both alphabets");
        for scheme in ["L402", "LSAT", "l402", "lsat", "Lsat", "L402 "] {
            for token in [
                &token,
                &url_safe,
                token.trim_end_matches('='),
                url_safe.trim_end_matches('='),
            ] {
                for preimage in [preimage.clone(), preimage.to_uppercase()] {
                    let line = format!("{scheme} {token}:{preimage}");
                    assert_eq!(read(&[&line], &[]), Ok(vec![wanted.clone()]), "{line}");
                }
            }
        }
    }

    #[test]
    fn a_preimage_that_was_taken_for_base64_reads_the_same() {
        let wanted = credential(7);
        let hex = wanted.preimage().expose_hex();
        let mistaken = encoding::base64_any(hex.as_bytes()).unwrap();
        let token = wanted.macaroon().to_base64();

        let line = format!("L402 {token}:{}", encoding::to_hex(&mistaken));

        assert_eq!(read(&[&line], &[]), Ok(vec![wanted]));
    }

    #[test]
    fn ninety_six_digits_that_hold_no_preimage_are_refused() {
        let token = credential(7).macaroon().to_base64();

        let line = format!("L402 {token}:{}", "ff".repeat(48));

        assert_eq!(
            read(&[&line], &[]),
            Err(CredentialError::Preimage(HexError::Digit { at: 0 }))
        );
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", credential(1)), "Credential(redacted)");
    }
}
