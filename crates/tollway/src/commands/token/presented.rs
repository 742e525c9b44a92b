//! A token in any of the forms in which people have one.

use std::io::Read as _;

use l402::{Challenge, Credential, Macaroon, SchemeName, read_challenges};

use super::id;
use crate::exit::Failure;

/// One thing a person may paste from a header, a file or a log.
pub(super) enum Presented {
    /// `WWW-Authenticate`: a token and the invoice that pays for it.
    Challenge {
        challenge: Challenge,
        macaroon: Macaroon,
    },
    /// `Authorization`: a token and its preimage.
    Credential {
        credential: Credential,
        scheme: SchemeName,
    },
    /// A macaroon by itself.
    Token(Macaroon),
}

impl Presented {
    /// Reads the ID of a stored token, a header line or its value, `token:preimage`, or a
    /// token; `-` reads one of them from standard input.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let text = if text == "-" {
            read_stdin()?
        } else {
            text.to_owned()
        };
        let text = text.trim();
        if id::is_id(text) {
            return Self::parse(&id::credential(text)?);
        }
        Self::parse(without_header_name(text))
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let Some(scheme) = scheme_of(text) else {
            return Self::parse_without_scheme(text);
        };
        if text.contains('=') && text.to_ascii_lowercase().contains("invoice") {
            return Self::read_challenge(text);
        }
        let credential = Credential::parse(text).map_err(Failure::usage)?;
        Ok(Self::Credential { credential, scheme })
    }

    /// Reads `token:preimage` or a token. A token in JSON has colons as well.
    fn parse_without_scheme(text: &str) -> Result<Self, Failure> {
        if text.contains(':') && !text.starts_with('{') {
            let scheme = SchemeName::L402;
            let credential = Credential::parse(&format!("{} {text}", scheme.as_str()));
            let credential = credential.map_err(Failure::usage)?;
            return Ok(Self::Credential { credential, scheme });
        }
        Macaroon::parse_text(text)
            .map(Self::Token)
            .map_err(Failure::usage)
    }

    fn read_challenge(text: &str) -> Result<Self, Failure> {
        let challenges = read_challenges([text.as_bytes()]).map_err(Failure::usage)?;
        let challenge = challenges
            .into_iter()
            .next()
            .ok_or_else(|| Failure::usage("no L402 or LSAT challenge in it"))?;
        let macaroon = challenge.token().macaroon().map_err(Failure::usage)?;
        Ok(Self::Challenge {
            challenge,
            macaroon,
        })
    }

    pub(super) const fn macaroon(&self) -> &Macaroon {
        match self {
            Self::Challenge { macaroon, .. } | Self::Token(macaroon) => macaroon,
            Self::Credential { credential, .. } => credential.macaroon(),
        }
    }

    /// Returns the `Authorization` value with another macaroon and the same preimage; `None`
    /// for a token that has no preimage with it.
    ///
    /// # Errors
    ///
    /// Refuses a challenge: what is paid for is the token in it, not one made from it.
    pub(super) fn authorization_with(&self, macaroon: Macaroon) -> Result<Option<String>, Failure> {
        match self {
            Self::Challenge { .. } => Err(Failure::usage(
                "a challenge is not narrowed before it is paid: give the token or the paid credential",
            )),
            Self::Credential { credential, scheme } => {
                let narrowed = Credential::new(macaroon, credential.preimage().clone());
                Ok(Some(narrowed.authorization(*scheme)))
            }
            Self::Token(_) => Ok(None),
        }
    }
}

fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_STDIN)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
    Ok(text)
}

fn without_header_name(text: &str) -> &str {
    let named = |name: &str| {
        let (found, rest) = text.split_at_checked(name.len())?;
        found
            .eq_ignore_ascii_case(name)
            .then_some(rest.trim_start())
    };
    ["authorization:", "www-authenticate:"]
        .into_iter()
        .find_map(named)
        .unwrap_or(text)
}

fn scheme_of(text: &str) -> Option<SchemeName> {
    let (name, _) = text.split_once(' ')?;
    [SchemeName::L402, SchemeName::Lsat]
        .into_iter()
        .find(|scheme| name.eq_ignore_ascii_case(scheme.as_str()))
}

const MAX_STDIN: u64 = 1_024 * 1_024;
