//! Ids of ledgers.

use std::fmt;
use std::str::FromStr;

/// The id of a ledger on disk, drawn when its database was created.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct LedgerId([u8; 16]);

impl LedgerId {
    /// Creates an id.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Reads 32 hexadecimal digits.
impl FromStr for LedgerId {
    type Err = LedgerIdError;

    fn from_str(text: &str) -> Result<Self, LedgerIdError> {
        let is_hex = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = is_hex
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten();
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or(LedgerIdError)
    }
}

/// A text is not the id of a ledger.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the id of a ledger: 32 hexadecimal digits")]
pub struct LedgerIdError;
