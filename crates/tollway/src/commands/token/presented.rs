//! A token in any of the forms in which people have one.
//!
//! What is not understood is not repeated in an error: it may be half of a credential.

use std::fs::File;
use std::io::{self, Read};
use std::iter;
use std::path::Path;

use l402::{Challenge, Credential, Macaroon, SchemeName, Token, read_challenges};
use serde_json::{Map, Value};

use super::id;
use crate::exit::Failure;
use crate::input::condition;

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
        /// The token as its issuer wrote it.
        token: Token,
    },
    /// A macaroon by itself.
    Token(Macaroon),
}

/// What was given for a token, read from where it is.
pub(super) struct Given(String);

impl Given {
    /// Reads standard input for `-` and a file for `@FILE`; anything else is the text itself.
    pub(super) fn read(argument: &str) -> Result<Self, Failure> {
        let text = match argument.strip_prefix('@') {
            Some(file) => read_file(file)?,
            None if argument == "-" => read_all(io::stdin(), "standard input")?,
            None => argument.to_owned(),
        };
        let text = text.trim();
        if text.is_empty() {
            let from = match argument {
                "-" => "standard input",
                "" => "the argument",
                _ => "the file",
            };
            return Err(Failure::usage(format!("{from} is empty: {WHAT_TO_GIVE}")));
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the BOLT 11 invoice that this seems to be.
    pub(super) fn invoice(&self) -> Option<&str> {
        const PREFIXES: [&str; 4] = ["lnbc", "lntb", "lnsb", "lightning:"];
        let starts_with = |prefix: &str| {
            let start = self.0.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if self.0.contains(char::is_whitespace) || !PREFIXES.iter().copied().any(starts_with) {
            return None;
        }
        Some(self.0.rsplit(':').next().unwrap_or(&self.0))
    }
}

impl Presented {
    /// Reads the ID of a stored token, a header line or its value, `token:preimage`, a token,
    /// the output of another command, or a response with its head; `-` and `@FILE` are read.
    pub(super) fn read(argument: &str) -> Result<Self, Failure> {
        Self::read_or(argument, WHAT_TO_GIVE)
    }

    /// Reads what [`read`](Self::read) does; an error ends with `advice`.
    pub(super) fn read_or(argument: &str, advice: &str) -> Result<Self, Failure> {
        Self::of_or(&Given::read(argument)?, advice)
    }

    pub(super) fn of(given: &Given) -> Result<Self, Failure> {
        Self::of_or(given, WHAT_TO_GIVE)
    }

    fn of_or(given: &Given, advice: &str) -> Result<Self, Failure> {
        let text = given.as_str();
        if id::is_id(text) {
            return Self::parse(&id::credential(text)?);
        }
        if given.invoice().is_some() {
            return Err(Failure::usage(
                "this is an invoice, and no token: `tollway token inspect` shows it",
            ));
        }
        if text.starts_with('{')
            && let Ok(Value::Object(json)) = serde_json::from_str(text)
            && !json.contains_key("i")
            && !json.contains_key("i64")
        {
            return Self::of_json(&json);
        }
        match header_line(text) {
            Some(line) => Self::parse(line),
            None if text.contains('\n') && !text.starts_with('{') => Err(Failure::usage(format!(
                "there is no Authorization and no L402 challenge in these lines: {advice}"
            ))),
            None => Self::parse(text).map_err(|failure| explained(text, failure, advice)),
        }
    }

    /// Reads what `token show --json` and `token attenuate --json` print.
    fn of_json(json: &Map<String, Value>) -> Result<Self, Failure> {
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        match text("authorization").or_else(|| text("token")) {
            Some(text) => Self::parse(text),
            None if json.contains_key("tokens") => Err(Failure::usage(
                "this is a list of tokens without their credentials: give the ID of one",
            )),
            None => Err(Failure::usage(
                "this JSON has neither `authorization` nor `token`, and is no macaroon",
            )),
        }
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let Some(scheme) = scheme_of(text) else {
            return Self::parse_without_scheme(text);
        };
        if text.contains('=') && text.to_ascii_lowercase().contains("invoice") {
            return Self::read_challenge(text);
        }
        Self::read_credential(text, scheme)
    }

    /// Reads `token:preimage` or a token. A token in JSON has colons as well.
    fn parse_without_scheme(text: &str) -> Result<Self, Failure> {
        if text.contains(':') && !text.starts_with('{') {
            let scheme = SchemeName::L402;
            return Self::read_credential(&format!("{} {text}", scheme.as_str()), scheme);
        }
        Macaroon::parse_text(text)
            .map(Self::Token)
            .map_err(Failure::usage)
    }

    fn read_credential(text: &str, scheme: SchemeName) -> Result<Self, Failure> {
        let credential = Credential::parse(text).map_err(Failure::usage)?;
        let (_, value) = text.split_once(' ').unwrap_or_default();
        let (token, _preimage) = value.rsplit_once(':').unwrap_or_default();
        let token = Token::from_text(token.trim()).map_err(Failure::usage)?;
        Ok(Self::Credential {
            credential,
            scheme,
            token,
        })
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
            Self::Credential {
                credential, scheme, ..
            } => {
                let narrowed = Credential::new(macaroon, credential.preimage().clone());
                Ok(Some(narrowed.authorization(*scheme)))
            }
            Self::Token(_) => Ok(None),
        }
    }
}

fn read_file(name: &str) -> Result<String, Failure> {
    let file = File::open(name).map_err(|error| {
        // A name may be a token with an `@` in front of it.
        let shown = condition::shown(name);
        Failure::usage(format!("`{shown}` cannot be read: {error}"))
    })?;
    read_all(file, "the file")
}

fn read_all(from: impl Read, what: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    from.take(MAX_READ)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("{what} cannot be read: {error}")))?;
    // The body of a response need not be text; its head is.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the value of the first header line that presents or asks for a token: in a text of
/// one line or among the lines of a response, as curl prints them with -i or -v.
fn header_line(text: &str) -> Option<&str> {
    let value = |line| {
        let names = ["authorization:", "www-authenticate:"];
        names.into_iter().find_map(|name| value_of(line, name))
    };
    let mut values = text.lines().filter_map(value);
    let first = values.next()?;
    let is_ours = |value: &&str| scheme_of(value).is_some();
    // A value without its scheme is read as well, where there is no other.
    Some(
        iter::once(first)
            .chain(values)
            .find(is_ours)
            .unwrap_or(first),
    )
}

fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let line = line.trim_start_matches(['<', '>', ' ']);
    let (found, value) = line.split_at_checked(name.len())?;
    found.eq_ignore_ascii_case(name).then(|| value.trim())
}

/// Returns why a text is no token, with what else it may be.
fn explained(text: &str, failure: Failure, advice: &str) -> Failure {
    let name = text.split_once('=').map(|(name, _)| name);
    if let Some(name) = name.and_then(condition::named) {
        let (name, example) = (name.name, name.example);
        return Failure::usage(format!(
            "`{name}=…` is a condition: the token comes first, like `tollway token attenuate ID {example}`"
        ));
    }
    if text.len() <= FILE_NAME_MAX && Path::new(text).is_file() {
        return Failure::usage(format!("`{text}` is a file: write @{text} to read it"));
    }
    // A longer text is a token with an error in it, or a secret.
    if text.len() <= WORD_MAX && !text.contains([':', ' ']) {
        return Failure::usage(format!("`{text}` is no token: {failure}; {advice}"));
    }
    failure
}

fn scheme_of(text: &str) -> Option<SchemeName> {
    let (name, _) = text.split_once(' ')?;
    [SchemeName::L402, SchemeName::Lsat]
        .into_iter()
        .find(|scheme| name.eq_ignore_ascii_case(scheme.as_str()))
}

const MAX_READ: u64 = 1_024 * 1_024;
const FILE_NAME_MAX: usize = 255;
const WORD_MAX: usize = 24;
const WHAT_TO_GIVE: &str =
    "give the ID of a stored token, a token, `token:preimage`, or a header line";
