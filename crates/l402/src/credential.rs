//! Credentials: a token and the preimage that paid for it, as a client presents them.
//!
//! Read from `Authorization` lines and from the metadata gRPC clients send. Every spelling
//! deployed clients use is read; lines of other schemes are ignored. A
//! request may present several credentials, and which of them is good is not decided here.
//!
//! Specification: L402 `protocol-specification.md`, "Authorization header"; rows 9, 13,
//! 16 to 18, 33, 38 and 50 to 53 in `docs/spec.md`.

use std::fmt;
use std::str::FromStr;

use crate::caveat;
use crate::challenge::Token;
use crate::encoding::{self, HexError};
use crate::hash::Preimage;
use crate::macaroon::{Macaroon, MacaroonError};
use crate::scheme::{Scheme, SchemeName};

/// The headers, besides `Authorization`, in which gRPC clients carry a token.
///
/// The value is a macaroon in hexadecimal with the preimage as its last caveat.
pub const METADATA_HEADERS: [&str; 3] = ["grpc-metadata-macaroon", "macaroon", "token"];

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

/// Reads every L402 credential a request presents, at most four, without repetitions.
///
/// `authorization` are the values of all `Authorization` lines, `metadata` those of the
/// [`METADATA_HEADERS`]. An empty list means that none was presented: other schemes, and
/// metadata with another issuer's macaroon are ignored.
///
/// # Errors
///
/// The first [`CredentialError`], when something was meant for us and nothing was readable.
///
/// ```
/// use l402::{CredentialError, read_credentials};
///
/// // Other schemes are none of ours; what is meant as ours must be readable.
/// assert!(read_credentials([&b"Bearer abc"[..]], [])?.is_empty());
/// let broken = read_credentials([&b"L402 AgEE"[..]], []);
/// assert_eq!(broken, Err(CredentialError::Colon));
/// # Ok::<(), CredentialError>(())
/// ```
pub fn read_credentials<'a>(
    authorization: impl IntoIterator<Item = &'a [u8]>,
    metadata: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Credential>, CredentialError> {
    let mut found = Found::default();
    for line in authorization {
        found.read_line(line);
    }
    for value in metadata {
        let readable = std::str::from_utf8(value)
            .ok()
            .and_then(Credential::parse_metadata);
        if let Some(credential) = readable {
            found.add(Ok(credential));
        }
    }
    match found.error {
        Some(error) if found.credentials.is_empty() => Err(error),
        Some(_) | None => Ok(found.credentials),
    }
}

/// True when an `Authorization` line presents an L402 credential, readable or not, alone or
/// folded together with others.
///
/// What forwards a request must remove such lines: they are the seller's business only.
///
/// ```
/// use l402::is_credential_line;
///
/// assert!(is_credential_line(b"Basic abc, L402 AgEE:00"));
/// assert!(!is_credential_line(b"Bearer abc"));
/// ```
#[must_use]
pub fn is_credential_line(line: &[u8]) -> bool {
    // Nearly always the whole line is ours, and need not be searched for commas.
    starts_with_ours(line) || line.split(|byte| *byte == b',').any(starts_with_ours)
}

fn starts_with_ours(piece: &[u8]) -> bool {
    let piece = piece.trim_ascii_start();
    [SchemeName::L402, SchemeName::Lsat]
        .into_iter()
        .any(|scheme| {
            let name = scheme.as_str().as_bytes();
            let start = piece.split_at_checked(name.len());
            start.is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(name) && rest.first() == Some(&b' ')
            })
        })
}

/// True when a metadata value is a macaroon that carries its own preimage.
#[must_use]
pub fn is_credential_metadata(value: &[u8]) -> bool {
    std::str::from_utf8(value)
        .ok()
        .and_then(Credential::parse_metadata)
        .is_some()
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

#[derive(Default)]
struct Found {
    credentials: Vec<Credential>,
    error: Option<CredentialError>,
}

impl Found {
    /// Reads a line that may hold several credentials, as proxies fold repeated headers.
    ///
    /// A comma also separates the tokens of one credential, so a piece without a scheme
    /// belongs to the credential before it.
    fn read_line(&mut self, line: &[u8]) {
        // RFC 9110 allows bytes outside ASCII; what replaces them here is not visible ASCII.
        let line = &*String::from_utf8_lossy(line);
        // Nearly every line is one credential. What reads as one has no comma in it.
        if let Ok(credential) = Credential::parse(line) {
            return self.add(Ok(credential));
        }
        let mut start = None;
        let mut at = 0_usize;
        for piece in line.split(',') {
            let end_of_previous = at.saturating_sub(1);
            if starts_with_scheme(piece.trim_ascii_start()) {
                self.read_pieces(line, start, end_of_previous);
                start = Some(at);
            }
            at = at.saturating_add(piece.len()).saturating_add(1);
        }
        self.read_pieces(line, start, line.len());
    }

    fn read_pieces(&mut self, line: &str, start: Option<usize>, end: usize) {
        let text = start.and_then(|start| line.get(start..end));
        let Some((_, rest)) = text.map(str::trim_ascii).and_then(split_scheme) else {
            return;
        };
        // Neither base64 nor hexadecimal has room for anything that is not visible, so only a
        // credential that cannot be read has to be searched for it.
        let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        self.add(Credential::parse_unschemed(rest).map_err(|error| {
            if rest.bytes().all(visible) {
                error
            } else {
                CredentialError::Text
            }
        }));
    }

    fn add(&mut self, read: Result<Credential, CredentialError>) {
        match read {
            Ok(credential) if self.credentials.len() < MAX_CREDENTIALS => {
                if !self.credentials.contains(&credential) {
                    self.credentials.push(credential);
                }
            }
            Ok(_) => {}
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
    }
}

/// True when the text starts with any authentication scheme and a space.
fn starts_with_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(' ') else {
        return false;
    };
    !scheme.is_empty()
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Splits an L402 or LSAT credential into its scheme and the rest.
fn split_scheme(text: &str) -> Option<(SchemeName, &str)> {
    let (scheme, rest) = text.split_once(' ')?;
    Some((SchemeName::from_name(scheme)?, rest.trim_start()))
}

/// Hexadecimal digits of a preimage whose 64 digits were read as base64.
const TWICE_ENCODED_LEN: usize = 96;
const MAX_CREDENTIALS: usize = 4;
/// Base64 of the longest macaroon, with room for JSON.
const MAX_TOKEN_TEXT: usize = 24 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::macaroon::RootKey;

    fn credential(byte: u8) -> Credential {
        let macaroon = Macaroon::mint(&RootKey::new([byte; 32]), "lsat", &[byte; 66]).unwrap();
        Credential::new(macaroon, Preimage::new([byte; 32]))
    }

    fn read(lines: &[&str], metadata: &[&str]) -> Result<Vec<Credential>, CredentialError> {
        read_credentials(
            lines.iter().map(|line| line.as_bytes()),
            metadata.iter().map(|value| value.as_bytes()),
        )
    }

    #[test]
    fn a_credential_with_bytes_outside_ascii_is_refused_and_not_overlooked() {
        for line in [&b"L402 AgE\xfc:00"[..], b"Basic a\xfc, L402 AgE\xfc:00"] {
            assert_eq!(read_credentials([line], []), Err(CredentialError::Text));
        }
    }

    #[test]
    fn bytes_outside_ascii_in_another_scheme_hide_no_credential() {
        let ours = credential(1).authorization(SchemeName::L402);
        let line = [&b"Basic a\xfc, "[..], ours.as_bytes()].concat();

        assert_eq!(read_credentials([&*line], []), Ok(vec![credential(1)]));
        assert_eq!(read_credentials([&b"Basic a\xfc"[..]], []), Ok(vec![]));
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
    fn several_lines_and_folded_lines_give_each_credential_once() {
        let (a, b) = (credential(1), credential(2));
        let (line_a, line_b) = (
            a.authorization(SchemeName::Lsat),
            b.authorization(SchemeName::L402),
        );
        let both = Ok(vec![a.clone(), b]);

        assert_eq!(read(&[&line_a, "Bearer x", &line_b, &line_a], &[]), both);
        assert_eq!(read(&[&format!("{line_a}, {line_b}")], &[]), both);
        assert_eq!(
            read(&[&format!("Basic abc,{line_a},{line_b},LSAT broken")], &[]),
            both
        );
    }

    #[test]
    fn grpc_metadata_carries_the_preimage_as_a_caveat() {
        let paid = credential(3);
        let caveat = format!("preimage={}", paid.preimage().expose_hex());
        let macaroon = paid.macaroon().with_caveat(caveat.as_bytes()).unwrap();
        let wanted = Credential::new(macaroon.clone(), paid.preimage().clone());

        assert_eq!(read(&[], &[&macaroon.to_hex()]), Ok(vec![wanted.clone()]));
        assert_eq!(
            read(&["Bearer x"], &[&macaroon.to_base64()]),
            Ok(vec![wanted])
        );
    }

    #[test]
    fn a_credential_is_recognised_for_removal_wherever_it_is_read() {
        let ours = credential(1).authorization(SchemeName::L402);
        for line in [
            ours.clone(),
            format!(" {ours}"),
            format!("Basic abc, {ours}"),
            format!("Bearer abc,{ours}, Basic abc"),
            "L402 , abc".to_owned(),
            "lsat broken".to_owned(),
        ] {
            assert!(is_credential_line(line.as_bytes()), "{line}");
        }
        for line in ["", "Bearer abc", "Basic abc, Bearer L402", "L402x abc"] {
            assert!(!is_credential_line(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn what_was_not_meant_for_us_is_no_credential_and_no_error() {
        let unpaid = credential(3).macaroon().to_hex();
        assert_eq!(read(&[], &[]), Ok(vec![]));
        assert_eq!(
            read(
                &["Bearer abc", "Basic abc", "L402", "", "L402x a:b"],
                &["not hex", &unpaid, ""]
            ),
            Ok(vec![])
        );
    }

    #[test]
    fn what_was_meant_for_us_and_is_broken_says_how() {
        let good = credential(1);
        let token = good.macaroon().to_base64();
        let preimage = good.preimage().expose_hex();
        for (line, expected) in [
            (format!("L402 {token}"), CredentialError::Colon),
            (
                format!("L402 {token},{token}:{preimage}"),
                CredentialError::Discharges,
            ),
            (
                format!("L402 {token}:{}", &preimage[1..]),
                CredentialError::Preimage(HexError::Length { found: 63 }),
            ),
            (
                format!("L402 {token}:{}", preimage.replace('0', "g")),
                CredentialError::Preimage(HexError::Digit { at: 0 }),
            ),
            (
                format!("L402 :{preimage}"),
                CredentialError::Token(MacaroonError::Truncated { at: 0 }),
            ),
            (
                format!("L402 !!:{preimage}"),
                CredentialError::Token(MacaroonError::Text),
            ),
            (
                format!("L402 {token}\u{7}:{preimage}"),
                CredentialError::Text,
            ),
        ] {
            assert_eq!(read(&[&line], &[]), Err(expected), "{line}");
        }
    }

    #[test]
    fn whatever_is_read_as_a_credential_is_known_as_one_before_it_is_forwarded() {
        let good = credential(1).authorization(SchemeName::L402);
        let spaces = [
            " ", "\t", "\n", "\u{b}", "\u{c}", "\r", "\u{85}", "\u{a0}", "\u{3000}",
        ];
        for before in spaces {
            for line in [
                format!("{before}{good}"),
                format!("Bearer x,{before}{good}"),
            ] {
                let read = read(&[&line], &[]).is_ok_and(|found| !found.is_empty());
                assert!(!read || is_credential_line(line.as_bytes()), "{line:?}");
            }
        }
    }

    #[test]
    fn no_more_than_four_credentials_are_kept() {
        let lines: Vec<String> = (1..9)
            .map(|byte| credential(byte).authorization(SchemeName::L402))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(read(&lines, &[]).unwrap().len(), MAX_CREDENTIALS);
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", credential(1)), "Credential(redacted)");
    }
}
