//! What was pasted: a bare token, a credential or a challenge?

use std::io::Read as _;

use l402::{Challenge, Credential, Macaroon, SchemeName, read_challenges};

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
    /// Reads the text, or standard input for `-`. A header name before it is fine.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let text = if text == "-" {
            read_stdin()?
        } else {
            text.to_owned()
        };
        let text = without_header_name(text.trim());
        let Some(scheme) = scheme_of(text) else {
            return Macaroon::parse_text(text)
                .map(Self::Token)
                .map_err(Failure::usage);
        };
        if text.contains('=') && text.to_ascii_lowercase().contains("invoice") {
            return Self::read_challenge(text);
        }
        let credential = Credential::parse(text).map_err(Failure::usage)?;
        Ok(Self::Credential { credential, scheme })
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

    /// The same form with another token in it.
    pub(super) fn with_macaroon(&self, macaroon: Macaroon) -> Result<String, Failure> {
        match self {
            Self::Challenge { .. } => Err(Failure::usage(
                "a challenge is not narrowed before it is paid: give the token or the paid credential",
            )),
            Self::Credential { credential, scheme } => {
                Ok(Credential::new(macaroon, credential.preimage().clone()).authorization(*scheme))
            }
            Self::Token(_) => Ok(macaroon.to_base64()),
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
