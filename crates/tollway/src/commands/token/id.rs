//! IDs of stored tokens: the beginning of the payment hash.

use l402::UnixSeconds;
use tollway_client::Book;
use tollway_client::book::StoredCredential;

use crate::exit::Failure;
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
        let book = Book::open(&Dirs::from_env()?.client());
        let tokens = book.credentials().map_err(Failure::general)?;
        Ok(Self {
            book,
            tokens,
            now: moment::now()?,
        })
    }

    /// Returns the one token whose payment hash begins with `id`.
    pub(super) fn find(&self, id: &str) -> Result<&StoredCredential, Failure> {
        let wanted = id.trim().to_ascii_lowercase();
        // A preimage looks like an ID and is a secret.
        let shown = match wanted.get(..ID_LEN) {
            Some(start) if wanted.len() > ID_LEN => format!("{start}…"),
            Some(_) | None => wanted.clone(),
        };
        let matches = |token: &&StoredCredential| hash(token).starts_with(&wanted);
        let found: Vec<&StoredCredential> = self.tokens.iter().filter(matches).collect();
        match found.as_slice() {
            [token] => Ok(token),
            [] => Err(Failure::usage(format!(
                "no stored token `{shown}`: `tollway token list` shows the IDs"
            ))),
            several => {
                let ids: Vec<String> = several.iter().map(|token| self.id(token)).collect();
                let ids = ids.join(", ");
                Err(Failure::usage(format!("`{shown}` is ambiguous: {ids}")))
            }
        }
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
    fn an_id_is_short_hexadecimal_and_no_token() {
        assert!(is_id("1") && is_id("12ab") && is_id(&"0".repeat(64)));
        for text in ["", "AgEE", &"0".repeat(66), "L402 abcd", "wxyz"] {
            assert!(!is_id(text), "{text}");
        }
    }
}
