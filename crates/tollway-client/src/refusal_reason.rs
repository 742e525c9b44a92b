//! Why a credential no longer buys what is asked for.
//!
//! The codes are those of a tollway gateway: `L402-Reason` and the `reason` of its problem body.
//! What another seller writes is kept as text that may be shown: one short line without hidden
//! characters, and without anything long enough to be a token or a preimage.

use std::fmt;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::Value;

use crate::visible::visible;

/// Why a credential no longer buys what is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// Every use has been taken.
    Exhausted,
    /// Its deadline has passed.
    Expired,
    /// It was not issued by this gateway.
    Forged,
    /// It cannot be read.
    Malformed,
    /// It does not include a part of the service.
    MissingCapability,
    /// The seller wrote something else.
    Other(ReasonText),
    /// The seller has revoked it.
    Revoked,
    /// It is for a lower tier of the service.
    TierTooLow,
    /// The seller gave no reason.
    Unstated,
    /// It is bound to another client.
    WrongClient,
    /// It is for other methods.
    WrongMethod,
    /// It is for other paths.
    WrongPath,
    /// It is for another service.
    WrongService,
}

/// How far a refusal reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// Every resource of the seller, for a while: what was revoked may be restored.
    Everywhere,
    /// Every resource of the seller, for good.
    Final,
    /// What was requested.
    Resource,
}

/// What a seller wrote, fit to be shown: one line of at most 120 characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReasonText(String);

impl ReasonText {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RefusalReason {
    /// Returns its code, or the text of another seller; empty when none was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Expired => "expired",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::MissingCapability => "missing_capability",
            Self::Other(text) => text.as_str(),
            Self::Revoked => "revoked",
            Self::TierTooLow => "tier_too_low",
            Self::Unstated => "",
            Self::WrongClient => "wrong_client",
            Self::WrongMethod => "wrong_method",
            Self::WrongPath => "wrong_path",
            Self::WrongService => "wrong_service",
        }
    }

    /// Reads a code, or makes any other text fit to be shown.
    pub(crate) fn from_text(text: &str) -> Self {
        let known = KNOWN.iter().find(|known| known.as_str() == text.trim());
        if let Some(known) = known {
            return known.clone();
        }
        let shown = shown(text);
        // What every 402 means is no reason.
        if shown.is_empty() || shown.eq_ignore_ascii_case("payment required") {
            return Self::Unstated;
        }
        Self::Other(ReasonText(shown))
    }

    /// Reads what a response states: its header, or its body as far as that was read.
    pub(crate) fn of_response(headers: &HeaderMap, body: &[u8]) -> Self {
        if let Some(code) = headers.get(L402_REASON).and_then(|code| code.to_str().ok()) {
            return Self::from_text(code);
        }
        let content_type = headers.get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let media_type = content_type.and_then(|value| value.split(';').next());
        if headers.contains_key(CONTENT_ENCODING) {
            return Self::Unstated;
        }
        match media_type.map(str::trim) {
            Some("application/problem+json" | "application/json") => Self::of_json(body),
            Some("text/plain") => Self::from_text(&String::from_utf8_lossy(body)),
            Some(_) | None => Self::Unstated,
        }
    }

    /// Reads `reason`, the extension of a tollway gateway, or what RFC 9457 has for people.
    fn of_json(body: &[u8]) -> Self {
        let Ok(problem) = serde_json::from_slice::<Value>(body) else {
            return Self::Unstated;
        };
        let member = |name: &str| problem.get(name).and_then(Value::as_str);
        let text = member("reason").or_else(|| member("detail"));
        text.map_or(Self::Unstated, Self::from_text)
    }

    /// Returns how far a refusal for it reaches.
    pub(crate) const fn reach(&self) -> Reach {
        match self {
            Self::Exhausted | Self::Expired => Reach::Final,
            Self::Revoked => Reach::Everywhere,
            Self::Forged
            | Self::Malformed
            | Self::MissingCapability
            | Self::Other(_)
            | Self::TierTooLow
            | Self::Unstated
            | Self::WrongClient
            | Self::WrongMethod
            | Self::WrongPath
            | Self::WrongService => Reach::Resource,
        }
    }
}

/// For people.
impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::Unstated {
            return f.write_str("the server gives no reason");
        }
        f.write_str(self.as_str())
    }
}

/// Returns the first line of a text, as far as it may be shown.
fn shown(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let is_word = |c: char| c.is_ascii_alphanumeric() || "+/=-_".contains(c);
    let mut shown = String::new();
    for part in line.split_inclusive(|c| !is_word(c)).take(TEXT_MAX) {
        let word = part.trim_end_matches(|c| !is_word(c));
        if word.len() >= SECRET_MIN {
            shown.push('…');
            shown.extend(part.chars().skip_while(|c| is_word(*c)));
        } else {
            shown.push_str(part);
        }
    }
    visible(&shown, TEXT_MAX)
}

const KNOWN: [RefusalReason; 11] = [
    RefusalReason::Exhausted,
    RefusalReason::Expired,
    RefusalReason::Forged,
    RefusalReason::Malformed,
    RefusalReason::MissingCapability,
    RefusalReason::Revoked,
    RefusalReason::TierTooLow,
    RefusalReason::WrongClient,
    RefusalReason::WrongMethod,
    RefusalReason::WrongPath,
    RefusalReason::WrongService,
];
/// The header with the code of a gateway.
pub(crate) const L402_REASON: &str = "l402-reason";
/// Characters of another seller's text.
const TEXT_MAX: usize = 120;
/// Half a preimage in hexadecimal; no word is that long.
const SECRET_MIN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &'static str, body: &str) -> RefusalReason {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        RefusalReason::of_response(&headers, body.as_bytes())
    }

    #[test]
    fn a_gateways_code_is_read_from_its_header_or_its_problem() {
        let mut headers = HeaderMap::new();
        headers.insert(L402_REASON, "revoked".parse().unwrap());

        assert_eq!(
            RefusalReason::of_response(&headers, b""),
            RefusalReason::Revoked
        );
        for (body, reason) in [
            (
                r#"{"detail":"x","reason":"wrong_service"}"#,
                "wrong_service",
            ),
            (r#"{"detail":"used up"}"#, "used up"),
            (r#"{"reason":7}"#, ""),
            ("{", ""),
        ] {
            let read = of("application/problem+json; charset=utf-8", body);
            assert_eq!(read.as_str(), reason, "{body}");
        }
    }

    #[test]
    fn a_code_reads_back_as_it_was_written() {
        for known in KNOWN {
            assert_eq!(RefusalReason::from_text(known.as_str()), known);
        }
        let other = RefusalReason::from_text("used up");
        assert_eq!(RefusalReason::from_text(other.as_str()), other);
        assert_eq!(RefusalReason::from_text(""), RefusalReason::Unstated);
    }

    #[test]
    fn another_sellers_text_is_one_short_line_without_a_secret() {
        let preimage = "ab".repeat(32);
        let text = format!("token AgEE{preimage}:{preimage} \u{1b}[2J bad\nsecond line");

        let read = of("text/plain", &text);

        assert_eq!(read.as_str(), "token …:… [2J bad");
        let long = of("text/plain", &"word ".repeat(1_000));
        assert_eq!(long.as_str().len(), TEXT_MAX);
        assert_eq!(
            of("text/plain", "Payment required\n"),
            RefusalReason::Unstated
        );
        assert_eq!(of("text/html", "<p>x"), RefusalReason::Unstated);
    }
}
