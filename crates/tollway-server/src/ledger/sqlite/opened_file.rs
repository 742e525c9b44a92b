//! The file of an open ledger: whether it is still the one at its path.
//!
//! What is written to a file that was removed is lost, and another process counts the same uses
//! in a new one.

use std::fs;
use std::path::{Path, PathBuf};

/// The file at a path when the ledger was opened.
#[derive(Debug)]
pub(super) struct OpenedFile {
    path: PathBuf,
    number: Option<(u64, u64)>,
}

impl OpenedFile {
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            number: number(path),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether there is another file at the path, or none.
    pub(super) fn is_gone(&self) -> bool {
        number(&self.path) != self.number
    }
}

/// Returns what identifies a file.
#[cfg(unix)]
fn number(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;

    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn number(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|_file| (0, 0))
}
