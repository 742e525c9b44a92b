//! The credentials of one request: every header line, folded or not, and gRPC's metadata.

use super::{Credential, CredentialError, split_scheme};
use crate::scheme::SchemeName;

/// The headers, besides `Authorization`, in which gRPC clients carry a token.
///
/// The value is a macaroon in hexadecimal with the preimage as its last caveat.
pub const METADATA_HEADERS: [&str; 3] = ["grpc-metadata-macaroon", "macaroon", "token"];

/// Reads every L402 credential a request presents, at most four, without repetitions.
///
/// `authorization` are the values of all `Authorization` lines, `metadata` those of the
/// [`METADATA_HEADERS`]. An empty list means that none was presented: other schemes, and
/// metadata with another issuer's macaroon are ignored.
///
/// # Errors
///
/// The first [`CredentialError`], when an L402 or LSAT credential was presented and none was
/// readable.
///
/// # Examples
///
/// ```
/// use l402::{CredentialError, read_credentials};
///
/// // Other schemes are ignored; a credential of this one must be readable.
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

/// Returns true when an `Authorization` line presents an L402 credential, readable or not, alone or
/// folded together with others.
///
/// What forwards a request must remove such lines: they are secrets between client and seller.
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

/// Returns true when a metadata value is a macaroon that carries its own preimage.
#[must_use]
pub fn is_credential_metadata(value: &[u8]) -> bool {
    std::str::from_utf8(value)
        .ok()
        .and_then(Credential::parse_metadata)
        .is_some()
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

const MAX_CREDENTIALS: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::tests::{credential, read};
    use super::*;
    use crate::encoding::HexError;
    use crate::macaroon::MacaroonError;

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
}
