//! Who is a wallet, across restarts?
//!
//! Its seed, 32 random bytes in a file that only the owner can read. Everything that must
//! stay the same is derived from it: the node's identity and the API's keys.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
    /// Drawn at this start.
    Generated,
    /// Read from a former start.
    Loaded,
}

/// A seed file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SeedFileError {
    /// It cannot be read or written.
    #[error("{path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gave no random bytes.
    #[error("no random bytes for {path}: {reason}")]
    NoEntropy {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is not 32 bytes long.
    #[error("{path} is not a seed: it has {len} bytes instead of 32; delete it to start anew")]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// Its length.
        len: usize,
    },
}

/// Reads the seed at `path`, or draws one and writes it there.
pub(crate) fn load_or_generate(path: &Path) -> Result<(Seed, Origin), SeedFileError> {
    let failed = |source| SeedFileError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::read(path) {
        Ok(bytes) => {
            let seed = bytes
                .try_into()
                .map_err(|bytes: Vec<u8>| SeedFileError::WrongLength {
                    path: path.to_owned(),
                    len: bytes.len(),
                })?;
            Ok((Seed(seed), Origin::Loaded))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|error| SeedFileError::NoEntropy {
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
            write(path, &seed).map_err(failed)?;
            Ok((Seed(seed), Origin::Generated))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes beside and renames, so that a crash leaves no half seed.
fn write(path: &Path, seed: &[u8; 32]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    // A draft from a crash may be there, with any permissions.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = owner_only().create_new(true).write(true).open(&draft)?;
    file.write_all(seed)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

#[cfg(unix)]
fn owner_only() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
fn owner_only() -> OpenOptions {
    OpenOptions::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_drawn_once_and_found_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed");

        let (drawn, first) = load_or_generate(&path).unwrap();
        let (found, second) = load_or_generate(&path).unwrap();

        assert_eq!((first, second), (Origin::Generated, Origin::Loaded));
        assert_eq!(drawn.0, found.0);
        assert_ne!(drawn.0, [0; 32]);
    }

    #[cfg(unix)]
    #[test]
    fn others_cannot_read_the_seed() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed");
        load_or_generate(&path).unwrap();

        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_seed_is_kept_and_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed");
        fs::write(&path, [7; 31]).unwrap();

        let refused = load_or_generate(&path).unwrap_err();

        assert!(matches!(
            refused,
            SeedFileError::WrongLength { len: 31, .. }
        ));
        assert_eq!(fs::read(&path).unwrap(), [7; 31]);
    }
}
