//! Errors of key files.

use std::io;
use std::path::{Path, PathBuf};

use l402::{HexError, KeyIdTaken};

use super::id::KeyId;
use crate::rejection::EntropyError;

/// Why a key file cannot be used. Contains no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is no randomness for a new key.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// Others may read the file.
    #[error("others can read the key file `{path}` (mode {mode:o}): run `chmod 600` on it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be read or written.
    #[error("the key file `{path}` cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Two keys have one id.
    #[error("the key file `{path}` has two keys with one id")]
    KeyTaken {
        /// The file.
        path: PathBuf,
        /// What the ring makes of them.
        source: KeyIdTaken,
    },
    /// A line is not a key.
    #[error("line {line} of the key file `{path}` is damaged: restore the file from a backup")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; 0 when there is none.
        line: usize,
        /// What is wrong with its key, if that is it.
        source: Option<HexError>,
    },
    /// The key mints, so it cannot be removed.
    #[error("key {id} mints new tokens: rotate before removing it")]
    Minting {
        /// The key.
        id: KeyId,
    },
    /// Invoices of the key's tokens can still be paid.
    #[error(
        "invoices of tokens of key {id} can be paid for {secs} s more, and would buy nothing \
         without it: remove it then"
    )]
    Payable {
        /// The key.
        id: KeyId,
        /// Seconds until the last of them expires.
        secs: u64,
    },
    /// The file has no such key.
    #[error("there is no key {id} in the file: its keys are {}", listed(known))]
    Unknown {
        /// The key.
        id: KeyId,
        /// The keys in the file, newest first.
        known: Vec<KeyId>,
    },
}

fn listed(ids: &[KeyId]) -> String {
    let ids: Vec<String> = ids.iter().map(KeyId::to_string).collect();
    ids.join(", ")
}

impl KeyFileError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}
