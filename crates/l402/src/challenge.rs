//! Challenges: what a server asks for in the `WWW-Authenticate` lines of a 402.
//!
//! Reading is tolerant, because deployed servers differ in parameter names, order, quoting
//! and separators, and because proxies fold and reorder lines. The whole challenge list of
//! RFC 9110 is read, so challenges of other schemes are skipped. Writing is the one form that every deployed client understands.
//!
//! A challenge is not trusted: nothing is paid until [`Quote::read`](crate::Quote::read)
//! has compared token and invoice.
//!
//! Specification: RFC 9110 section 11.6.1; L402 `protocol-specification.md`; rows 5, 6, 15,
//! 19, 41, 42 and 54 in `docs/spec.md`.

#[cfg(feature = "invoice")]
mod issue;
mod list;

use self::list::Item;
use crate::hash::Preimage;
use crate::scheme::{Scheme, SchemeName};
use crate::token::{Token, TokenTextError};

/// One L402 or LSAT challenge: a token, and the invoice whose payment makes it valid.
///
/// A seller [issues](Self::issue) one, a buyer [reads](read_challenges) what it received, and a
/// record of one is [restored](Self::restore). Nothing else pairs a token with an invoice.
/// What was read is still the server's claim.
///
/// ```
/// use l402::{Challenge, KeyRing, LegacyLsat, MasterKey, Services, UnixSeconds, read_challenges};
/// # let invoice = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/invoice.txt")).trim();
///
/// // The seller has an invoice of its wallet.
/// let ring = KeyRing::new(MasterKey::new([1; 32]));
/// let services = Services::new("weather", 0)?;
/// let now = UnixSeconds::new(1_700_000_000);
/// let issued = Challenge::issue(&ring, &invoice.parse()?, &services, &[], now, [2; 20])?;
/// let lines = issued.header_values(LegacyLsat::Emit);
///
/// // The buyer prefers the newer of the two names.
/// let read = read_challenges(lines.iter().map(String::as_bytes))?;
/// assert_eq!(read.len(), 2);
/// assert_eq!(read.first(), Some(&issued));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    name: SchemeName,
    token: Token,
    invoice: String,
}

/// Whether a server also writes the challenge under its older name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LegacyLsat {
    /// Only the `L402` line.
    Omit,
    /// An `LSAT` line first, for clients that know only that.
    #[default]
    Emit,
}

impl Challenge {
    /// Returns the payment scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        Scheme::L402
    }

    /// Returns the name of the scheme it was made in; the credential is presented in the same.
    #[must_use]
    pub const fn name(&self) -> SchemeName {
        self.name
    }

    /// Returns the token that the payment makes valid.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// Returns the BOLT 11 invoice to pay, as received and unread.
    #[must_use]
    pub fn invoice(&self) -> &str {
        &self.invoice
    }

    /// Returns the value of the `Authorization` header once the invoice is paid, in the text
    /// and under the scheme name received. A secret: never log it.
    #[must_use]
    pub fn authorization(&self, preimage: &Preimage) -> String {
        self.token.authorization(self.name, preimage)
    }

    /// Returns the values of the `WWW-Authenticate` lines, in the order to send them.
    #[must_use]
    pub fn header_values(&self, lsat: LegacyLsat) -> Vec<String> {
        let token = self.token.as_str();
        let invoice = &self.invoice;
        let l402 = format!(
            r#"L402 macaroon="{token}", invoice="{invoice}", version="0", token="{token}""#
        );
        match lsat {
            LegacyLsat::Omit => vec![l402],
            LegacyLsat::Emit => vec![
                format!(r#"LSAT macaroon="{token}", invoice="{invoice}""#),
                l402,
            ],
        }
    }

    fn from_item(name: SchemeName, item: &Item<'_>) -> Result<Self, ChallengeError> {
        let invoice = item.parameter("invoice")?.ok_or(ChallengeError::Missing {
            parameter: "invoice",
        })?;
        let macaroon = item.parameter("macaroon")?;
        let token = item.parameter("token")?;
        let (Some(text), other) = (macaroon.or(token), token) else {
            return Err(ChallengeError::Missing {
                parameter: "macaroon",
            });
        };
        let token = Token::from_text(text)?;
        let other = other.map(Token::from_text).transpose()?;
        if other.is_some_and(|other| other.as_bytes() != token.as_bytes()) {
            return Err(ChallengeError::Ambiguous { parameter: "token" });
        }
        Ok(Self {
            name,
            token,
            invoice: invoice.to_owned(),
        })
    }
}

/// Reads every L402 and LSAT challenge in the values of all `WWW-Authenticate` lines.
///
/// Those named `L402` come first, otherwise in the order received. An empty list means that
/// the server demanded another scheme.
///
/// # Errors
///
/// [`ChallengeError::TooLong`] over 64 KiB in all; otherwise the first error, when there
/// were L402 or LSAT challenges and none of them was readable.
///
/// # Examples
///
/// ```
/// use l402::read_challenges;
///
/// let line = br#"Basic realm="shop", L402 macaroon="AgEEbHNhdAIB+w==", invoice="lnbcrt100n1""#;
/// let challenges = read_challenges([&line[..]])?;
/// assert_eq!(challenges.len(), 1);
/// assert_eq!(challenges[0].invoice(), "lnbcrt100n1");
/// assert!(read_challenges([&b"Basic realm=\"shop\""[..]])?.is_empty());
/// # Ok::<(), l402::ChallengeError>(())
/// ```
pub fn read_challenges<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Challenge>, ChallengeError> {
    let mut challenges = Vec::new();
    let mut error = None;
    let mut len = 0_usize;
    for line in lines {
        len = len.saturating_add(line.len());
        if len > MAX_LINES_LEN {
            return Err(ChallengeError::TooLong);
        }
        // RFC 9110 allows bytes outside ASCII in quoted strings, and other schemes have them.
        for item in list::items(&String::from_utf8_lossy(line)) {
            let Some(name) = SchemeName::from_name(item.scheme()) else {
                continue;
            };
            match Challenge::from_item(name, &item) {
                Ok(challenge) => challenges.push(challenge),
                Err(reason) => error = error.or(Some(reason)),
            }
        }
    }
    match error {
        Some(error) if challenges.is_empty() => Err(error),
        Some(_) | None => {
            challenges.sort_by_key(|challenge| challenge.name != SchemeName::L402);
            Ok(challenges)
        }
    }
}

/// Why a challenge cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// A parameter given twice with different values.
    #[error("challenge gives `{parameter}` twice with different values")]
    Ambiguous {
        /// Its name.
        parameter: &'static str,
    },
    /// A parameter that must be there and is not.
    #[error("challenge has no `{parameter}`")]
    Missing {
        /// Its name.
        parameter: &'static str,
    },
    /// The token is not base64.
    #[error("challenge has a token that is not base64")]
    Token,
    /// More header text than any challenge needs.
    #[error("challenges are longer than {MAX_LINES_LEN} bytes")]
    TooLong,
}

impl From<TokenTextError> for ChallengeError {
    fn from(_not_base64: TokenTextError) -> Self {
        Self::Token
    }
}

const MAX_LINES_LEN: usize = 64 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "AgEEbHNhdAIB+w==";
    const INVOICE: &str = "lnbcrt100n1fake";

    fn read(lines: &[&str]) -> Result<Vec<Challenge>, ChallengeError> {
        read_challenges(lines.iter().map(|line| line.as_bytes()))
    }

    fn challenge(name: SchemeName) -> Challenge {
        Challenge {
            name,
            token: Token::from_text(TOKEN).unwrap(),
            invoice: INVOICE.to_owned(),
        }
    }

    /// Every form that was seen from a deployed server or client test.
    #[test]
    fn all_deployed_forms_are_read() {
        let (m, i) = (TOKEN, INVOICE);
        let b2 = format!(r#"LSAT macaroon="{m}", invoice="{i}""#);
        let b = format!(r#"L402 macaroon="{m}", invoice="{i}""#);
        let a = format!(r#"L402 version="0", token="{m}", invoice="{i}""#);
        let payment = r#"Payment id="x", realm="a, b", method="lightning", request="e30=""#;
        let l402_only: Vec<(&str, String)> = vec![
            ("A", a.clone()),
            ("B", b.clone()),
            (
                "C",
                format!(r#"L402 macaroon="{m}", invoice="{i}", version="0", token="{m}""#),
            ),
            (
                "D1",
                format!(r#"L402 version="0", token="{m}", macaroon="{m}", invoice="{i}""#),
            ),
            (
                "D2",
                format!(r#"L402 version="0", macaroon="{m}", invoice="{i}""#),
            ),
            (
                "G",
                format!(r#"L402 version="0" token="{m}", invoice="{i}""#),
            ),
            ("H", format!("L402 macaroon={m}, invoice={i}")),
            ("I", format!(r#"L402 macaroon="{m}",invoice="{i}""#)),
            ("J", format!(r#"L402 macaroon="{m}" invoice="{i}""#)),
            ("K", format!(r#"l402 macaroon="{m}", invoice="{i}""#)),
            ("L", format!(r#"L402 invoice="{i}", macaroon="{m}""#)),
            (
                "M",
                format!(
                    r#"L402 macaroon="{}", invoice="{i}""#,
                    m.trim_end_matches('=')
                ),
            ),
            ("N", format!("{payment}, {b}")),
            ("O", format!("{b}, {payment}")),
        ];
        for (form, line) in &l402_only {
            let mut wanted = challenge(SchemeName::L402);
            if *form == "M" {
                wanted.token = Token::from_text(m.trim_end_matches('=')).unwrap();
            }
            assert_eq!(read(&[line]), Ok(vec![wanted]), "form {form}: {line}");
        }
        assert_eq!(
            read(&[&b2]),
            Ok(vec![challenge(SchemeName::Lsat)]),
            "form B2"
        );
        let both = Ok(vec![
            challenge(SchemeName::L402),
            challenge(SchemeName::Lsat),
        ]);
        assert_eq!(read(&[&format!("{b2}, {b}")]), both, "form E");
        assert_eq!(read(&[&format!("{b2}, {a}")]), both, "form F");
        assert_eq!(read(&[&b2, &b]), both, "two lines");
    }

    #[test]
    fn the_emitted_form_is_read_back_and_is_exact() {
        let written = challenge(SchemeName::L402).header_values(LegacyLsat::Emit);

        assert_eq!(
            written[0],
            format!(r#"LSAT macaroon="{TOKEN}", invoice="{INVOICE}""#)
        );
        assert_eq!(
            written[1],
            format!(
                r#"L402 macaroon="{TOKEN}", invoice="{INVOICE}", version="0", token="{TOKEN}""#
            )
        );
        assert_eq!(
            challenge(SchemeName::L402).header_values(LegacyLsat::Omit),
            written[1..]
        );
        let lines: Vec<&str> = written.iter().map(String::as_str).collect();
        assert_eq!(
            read(&lines),
            Ok(vec![
                challenge(SchemeName::L402),
                challenge(SchemeName::Lsat)
            ])
        );
    }

    #[test]
    fn unknown_parameters_are_ignored() {
        let line = format!(
            r#"L402 realm="a\"b, L402 c=", macaroon="{TOKEN}", future=1, invoice="{INVOICE}""#
        );
        assert_eq!(read(&[&line]), Ok(vec![challenge(SchemeName::L402)]));
    }

    #[test]
    fn bytes_outside_ascii_in_another_scheme_hide_no_challenge() {
        let ours = format!(r#"L402 macaroon="{TOKEN}", invoice="{INVOICE}""#);
        let line = [&b"Basic realm=\"f\xfcr\", "[..], ours.as_bytes()].concat();

        assert_eq!(
            read_challenges([&*line]),
            Ok(vec![challenge(SchemeName::L402)])
        );
    }

    #[test]
    fn a_challenge_with_bytes_outside_ascii_is_refused() {
        let line = b"L402 macaroon=\"AgE\xfc\", invoice=\"x\"";

        assert_eq!(read_challenges([&line[..]]), Err(ChallengeError::Token));
    }

    #[test]
    fn the_credential_presents_the_token_in_the_text_it_was_sold_in() {
        for text in [
            "AgEEbHNhdAIB+w==",
            "AgEEbHNhdAIB+w",
            "AgEEbHNhdAIB-w",
            "MDAxMmxvY2F0aW9u",
        ] {
            for name in ["L402", "LSAT"] {
                let line = format!(r#"{name} macaroon="{text}", invoice="{INVOICE}""#);
                let challenge = read(&[&line]).unwrap().remove(0);

                assert_eq!(
                    challenge.authorization(&Preimage::new([1; 32])),
                    format!("{name} {text}:{}", "01".repeat(32))
                );
            }
        }
    }

    #[test]
    fn other_schemes_are_no_challenge_and_no_error() {
        for line in [
            "",
            ",",
            "Basic",
            r#"Basic realm="L402 macaroon=\"x\"""#,
            "Negotiate YWJj==, Bearer",
            "L402x macaroon=a",
        ] {
            assert_eq!(read(&[line]), Ok(vec![]), "{line}");
        }
    }

    #[test]
    fn unusable_challenges_say_what_is_wrong() {
        let missing = |parameter| Err(ChallengeError::Missing { parameter });
        assert_eq!(read(&["L402"]), missing("invoice"));
        assert_eq!(read(&[r#"L402 macaroon="AgEE""#]), missing("invoice"));
        assert_eq!(read(&[r#"L402 invoice="x""#]), missing("macaroon"));
        assert_eq!(
            read(&[r#"L402 macaroon="!", invoice="x""#]),
            Err(ChallengeError::Token)
        );
        assert_eq!(
            read(&[r#"L402 macaroon="AgEE", token="AgEF", invoice="x""#]),
            Err(ChallengeError::Ambiguous { parameter: "token" })
        );
        assert_eq!(
            read(&[r#"L402 macaroon="AgEE", invoice="x", invoice="y""#]),
            Err(ChallengeError::Ambiguous {
                parameter: "invoice"
            })
        );
        assert_eq!(
            read(&[&"x".repeat(MAX_LINES_LEN + 1)]),
            Err(ChallengeError::TooLong)
        );
    }

    #[test]
    fn one_readable_challenge_is_enough() {
        let line = format!(
            r#"L402 macaroon="!", invoice="x", LSAT macaroon="{TOKEN}", invoice="{INVOICE}""#
        );
        assert_eq!(read(&[&line]), Ok(vec![challenge(SchemeName::Lsat)]));
    }
}
