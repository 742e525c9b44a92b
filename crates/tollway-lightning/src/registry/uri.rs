//! Wallet URI: a scheme, a colon and what the scheme makes of the rest.

use std::fmt;

/// The text that names a wallet. It may hold a credential, therefore `Debug` and `Display`
/// show the scheme only.
#[derive(Clone, Eq, PartialEq)]
pub struct WalletUri {
    scheme: String,
    rest: String,
}

impl WalletUri {
    /// Reads a URI. White space around it is dropped, and its scheme may be in any case.
    ///
    /// # Errors
    ///
    /// [`WalletUriError`] when the text does not begin with a scheme.
    pub fn parse(text: &str) -> Result<Self, WalletUriError> {
        let (scheme, rest) = text.trim().split_once(':').ok_or(WalletUriError)?;
        let is_scheme = (1..=SCHEME_LEN_MAX).contains(&scheme.len())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme {
            return Err(WalletUriError);
        }
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            rest: rest.to_owned(),
        })
    }

    /// Returns the scheme, in lower case and without the colon.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns what follows the colon. It may hold a credential: never log it.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// Returns the whole URI. It may hold a credential: never log it.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{}:{}", self.scheme, self.rest)
    }
}

impl fmt::Debug for WalletUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WalletUri({self})")
    }
}

impl fmt::Display for WalletUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.scheme)
    }
}

/// A text does not begin with a scheme and a colon. Does not repeat the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a wallet URI: it begins with no scheme and colon")]
pub struct WalletUriError;

/// Longer than any scheme in use, shorter than any credential.
const SCHEME_LEN_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_read_whatever_surrounds_it_and_shows_its_scheme_only() {
        for text in [
            "lndconnect://h:1?macaroon=SECRET",
            " LNDCONNECT://h:1?macaroon=SECRET\n",
        ] {
            let uri = WalletUri::parse(text).unwrap();

            assert_eq!(uri.expose(), "lndconnect://h:1?macaroon=SECRET");
            assert_eq!(
                format!("{uri} {uri:?}"),
                "lndconnect:… WalletUri(lndconnect:…)"
            );
        }
    }

    #[test]
    fn a_text_without_a_scheme_is_no_uri() {
        for text in [
            "",
            "node",
            ":x",
            "two words:x",
            &format!("{}:x", "a".repeat(25)),
        ] {
            assert_eq!(WalletUri::parse(text), Err(WalletUriError), "{text}");
        }
    }
}
