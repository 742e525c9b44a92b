//! Ids of master keys.

use std::fmt;
use std::str::FromStr;

use l402::{KeyRing, MasterKey, UnixSeconds};

/// The public name of a master key: the first bytes of the id of every token it minted.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// Returns the name of a key.
    #[must_use]
    pub fn of(key: &MasterKey) -> Self {
        let token_id = KeyRing::new(key.clone()).token_id(UnixSeconds::new(0), [0; 20]);
        let [a, b, c, d, ..] = *token_id.as_bytes();
        Self([a, b, c, d])
    }

    /// Returns the beginning of the ids of its tokens.
    #[cfg(feature = "sqlite")]
    pub(crate) const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

/// Eight hexadecimal digits.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Reads eight hexadecimal digits.
impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let is_hex = text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = is_hex.then(|| u32::from_str_radix(text, 16).ok()).flatten();
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or_else(|| KeyIdError {
                text: text.to_owned(),
            })
    }
}

/// Why a text does not name a key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not the id of a key: write its eight hexadecimal digits")]
pub struct KeyIdError {
    text: String,
}
