//! Names of stored tokens: the beginning of the payment hash, or the URL of what was bought.

use l402::UnixSeconds;
use tollway_client::book::StoredCredential;
use tollway_client::{Book, Origin};

use crate::exit::Failure;
use crate::input;
use crate::moment;
use crate::paths::Dirs;

/// Returns the credential that an ID names, as an `Authorization` value.
pub(super) fn credential(id: &str) -> Result<String, Failure> {
    Ok(authorization(StoredTokens::open()?.find(id)?))
}

/// Returns true for what could be an ID. Tokens are longer than a payment hash, whatever
/// their encoding.
pub(super) fn is_id(text: &str) -> bool {
    (1..=HASH_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns true for what is meant as a URL, and false for a token or a preimage, which are
/// secrets and could be read as the name of a host.
fn is_url(text: &str) -> bool {
    text.contains("://") || text.contains('.') || text.starts_with("localhost")
}

/// Returns true when a token with exactly this payment hash is stored.
pub(super) fn is_stored(hash: &str) -> bool {
    StoredTokens::open().is_ok_and(|stored| stored.find(hash).is_ok())
}

/// The stored tokens of this user, and the moment by which they are judged.
pub(super) struct StoredTokens {
    pub(super) book: Book,
    pub(super) tokens: Vec<StoredCredential>,
    pub(super) now: UnixSeconds,
}

impl StoredTokens {
    pub(super) fn open() -> Result<Self, Failure> {
        let book = Book::open_to_report(&Dirs::from_env()?.client());
        let tokens = book.credentials().map_err(Failure::general)?;
        Ok(Self {
            book,
            tokens,
            now: moment::now()?,
        })
    }

    /// Returns the one token whose payment hash begins with `name`, or that was bought for the
    /// URL `name`. Of several for a URL, those that have expired do not count.
    pub(super) fn find(&self, name: &str) -> Result<&StoredCredential, Failure> {
        let name = name.trim();
        let (shown, mut found) = match self.at_url(name) {
            Some((url, found)) => (url, found),
            None => self.by_hash(name),
        };
        if found.iter().any(|token| !token.is_expired(self.now)) && !is_id(name) {
            found.retain(|token| !token.is_expired(self.now));
        }
        match found.as_slice() {
            [token] => Ok(token),
            [] => Err(Failure::usage(format!(
                "no stored token `{shown}`: `tollway token list` shows the IDs"
            ))),
            several => {
                let candidate = |token: &&StoredCredential| {
                    let resource = &token.resource;
                    format!("{} ({}{})", self.id(token), resource.origin, resource.path)
                };
                let candidates: Vec<String> = several.iter().map(candidate).collect();
                let candidates = candidates.join(", ");
                Err(Failure::usage(format!(
                    "`{shown}` is ambiguous, write the ID of one: {candidates}"
                )))
            }
        }
    }

    fn by_hash(&self, name: &str) -> (String, Vec<&StoredCredential>) {
        let wanted = name.to_ascii_lowercase();
        // A preimage looks like an ID and is a secret.
        let shown = match wanted.get(..ID_LEN) {
            Some(start) if wanted.len() > ID_LEN => format!("{start}…"),
            Some(_) | None => wanted.clone(),
        };
        let tokens = self.tokens.iter();
        let found = tokens.filter(|token| hash(token).starts_with(&wanted));
        (shown, found.collect())
    }

    /// Returns the tokens that were bought for a URL, or for a path above it; `None` for what is
    /// no URL. A query is not shown: it may be a secret.
    fn at_url(&self, name: &str) -> Option<(String, Vec<&StoredCredential>)> {
        let url = input::url(name).ok().filter(|_url| is_url(name))?;
        let origin = Origin::of(&url).ok()?;
        let tokens = self.tokens.iter();
        let found =
            tokens.filter(|token| token.resource.origin == origin && token.covers(url.path()));
        Some((format!("{origin}{}", url.path()), found.collect()))
    }

    /// Returns the shortest beginning of the payment hash that names no other token, of 8
    /// digits or more.
    pub(super) fn id(&self, token: &StoredCredential) -> String {
        let own = hash(token);
        let is_unique = |len: &usize| {
            let start = own.get(..*len).unwrap_or(&own);
            let named = |other: &&StoredCredential| hash(other).starts_with(start);
            self.tokens.iter().filter(named).count() <= 1
        };
        let len = (ID_LEN..HASH_LEN).find(is_unique).unwrap_or(HASH_LEN);
        own.get(..len).unwrap_or(&own).to_owned()
    }
}

fn hash(token: &StoredCredential) -> String {
    token.payment_hash().to_string()
}

/// Returns a stored token as an `Authorization` value.
pub(super) fn authorization(token: &StoredCredential) -> String {
    let value = token.authorization();
    let text = value.to_str().expect("it is made of visible ASCII");
    text.to_owned()
}

const ID_LEN: usize = 8;
const HASH_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_no_url() {
        for text in ["http://[::1]/a", "api.example/report", "localhost:8402"] {
            assert!(is_url(text), "{text}");
        }
        for text in ["AgEEbHNhdAJCAADF", "AgEE/x+=:00ff", &"0".repeat(64)] {
            assert!(!is_url(text), "{text}");
        }
    }

    #[test]
    fn an_id_is_short_hexadecimal_and_no_token() {
        assert!(is_id("1") && is_id("12ab") && is_id(&"0".repeat(64)));
        for text in ["", "AgEE", &"0".repeat(66), "L402 abcd", "wxyz"] {
            assert!(!is_id(text), "{text}");
        }
    }
}
