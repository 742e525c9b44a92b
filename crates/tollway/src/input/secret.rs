//! Text that may be a secret: what was typed or configured where a wallet's URI, a token, a
//! preimage, a key or a header belongs, or by mistake in another place.

use std::fmt;
use std::ops::Deref;

use serde::Deserialize;

/// Text that is never shown: it has no `Display`, and its `Debug` does not contain it.
#[derive(Clone, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Returns a value as an error shows it: quoted if it is too short and too plain for a secret.
pub(crate) fn shown(value: &str) -> String {
    if is_showable(value) {
        format!("`{value}`")
    } else {
        "the value (not shown)".to_owned()
    }
}

/// Returns true for a value that is too short and too plain for a secret.
pub(crate) fn is_showable(value: &str) -> bool {
    value.chars().count() <= SHOWN_MAX
        && !value.contains(['@', '?'])
        && !value.to_ascii_lowercase().contains("macaroon")
}

/// Returns true when a part of a text is long enough for a token, a key or a macaroon.
pub(crate) fn may_be_secret(text: &str) -> bool {
    let has_password = text.contains("://") && text.contains('@');
    let is_long = parts(text).any(|part| part.len() > PART_MAX);
    is_long || has_password || text.contains("macaroon=")
}

/// Returns a message without the arguments in it that may be secrets, in whatever place of the
/// command line they were typed.
pub(crate) fn hide(message: &str, arguments: &[String]) -> String {
    let mut message = message.to_owned();
    for argument in arguments.iter().filter(|argument| may_be_secret(argument)) {
        let named = argument.split_once('=').map_or("", |(_name, value)| value);
        for whole in [argument.as_str(), named, argument.trim_start_matches('@')] {
            if may_be_secret(whole) {
                message = message.replace(whole, HIDDEN);
            }
        }
        if let Some((user, _host)) = argument
            .rsplit_once('@')
            .filter(|(user, _)| !user.is_empty())
        {
            let user = user.split_once("://").map_or(user, |(_scheme, user)| user);
            message = message.replace(user, HIDDEN);
        }
        for part in parts(argument).filter(|part| part.len() > PART_MAX) {
            message = message.replace(part, HIDDEN);
        }
    }
    message
}

/// Returns the pieces of a text that could be one encoded value. `/` separates, or a path would
/// be one piece; a token in base64 is long enough to have a long piece all the same.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"+=_-".contains(letter))
}

/// Shorter than any token, key or macaroon.
const SHOWN_MAX: usize = 24;
/// 32 bytes take 43 letters in base64.
const PART_MAX: usize = 40;
const HIDDEN: &str = "(not shown)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::from("c2VjcmV0".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        assert_eq!(&*secret, "c2VjcmV0");
    }

    #[test]
    fn only_short_and_plain_values_are_shown() {
        for plain in ["10", "0.01 usd", "5 fortnights", "http://127.0.0.1:3000/"] {
            assert_eq!(shown(plain), format!("`{plain}`"));
        }
        for other in [
            "0201036c6e6402f801030a10c2VjcmV0",
            "me:hunter2@shop",
            "h?macaroon=c2VjcmV0",
        ] {
            assert!(!shown(other).contains("c2VjcmV0") && !shown(other).contains("hunter2"));
        }
    }

    #[test]
    fn an_argument_that_may_be_a_secret_is_taken_out_of_a_message() {
        let key = "07".repeat(32);
        let arguments = [
            format!("--config=/tmp/{key}"),
            "lndconnect://h:1?macaroon=AgED".to_owned(),
            "/home/me/a/path/that/is/quite/long/but/shown/config.toml".to_owned(),
        ];
        let message = format!(
            "/tmp/{key}: lndconnect://h:1?macaroon=AgED: {}",
            arguments[2]
        );

        let shown = hide(&message, &arguments);

        assert!(!shown.contains(&key) && !shown.contains("AgED"), "{shown}");
        assert!(shown.contains("config.toml"), "{shown}");
    }
}
