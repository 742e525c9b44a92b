//! Wallet seeds.
//!
//! A seed is 32 random bytes in a file that only its owner can read. Everything that must
//! stay the same across restarts is derived from it: the node's identity and the API's keys.

use std::path::{Path, PathBuf};

use crate::disk::{self, DiskError};

/// What a node's keys are derived from.
#[derive(Clone)]
pub(crate) struct Seed(pub(crate) [u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(redacted)")
    }
}

/// Where a seed came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// Generated at this start.
    Generated,
    /// Read from a former start.
    Loaded,
}

/// Why a wallet has no seed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeedFileError {
    /// The file cannot be read or written, or is not a seed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The system gave no random bytes.
    #[error("no random bytes for {path}: {cause}")]
    NoEntropy {
        /// The file.
        path: PathBuf,
        /// What the system reported.
        cause: getrandom::Error,
    },
}

/// Reads the seed at `path`, or generates one and writes it there.
pub(crate) fn load_or_generate(path: &Path) -> Result<(Seed, Origin), SeedFileError> {
    if let Some(bytes) = disk::read(path)? {
        let seed = bytes.try_into().map_err(|bytes: Vec<u8>| {
            let len = bytes.len();
            DiskError::damaged(path, format!("{len} bytes instead of 32"))
        })?;
        return Ok((Seed(seed), Origin::Loaded));
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|cause| SeedFileError::NoEntropy {
        path: path.to_owned(),
        cause,
    })?;
    disk::replace(path, &seed)?;
    Ok((Seed(seed), Origin::Generated))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_seed_is_generated_once_and_loaded_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed");

        let (generated, first) = load_or_generate(&path).unwrap();
        let (loaded, second) = load_or_generate(&path).unwrap();

        assert_eq!((first, second), (Origin::Generated, Origin::Loaded));
        assert_eq!(generated.0, loaded.0);
        assert_ne!(generated.0, [0; 32]);
    }

    #[test]
    fn a_damaged_seed_is_kept_and_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed");
        fs::write(&path, [7; 31]).unwrap();

        let refused = load_or_generate(&path).unwrap_err();

        assert!(refused.to_string().contains("31 bytes"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), [7; 31]);
    }
}
