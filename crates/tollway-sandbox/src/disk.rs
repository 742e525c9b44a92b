//! Files that are replaced whole or not at all.
//!
//! A file is written under a temporary name and renamed. Files and folders are readable by
//! their user alone: even a sandbox's macaroon is a login to a local port.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file or folder of the sandbox that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Its content is not what was written there.
    #[error("{} is damaged ({reason}): delete it and it is created again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused to read or write it.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
}

impl DiskError {
    pub(crate) fn damaged(path: &Path, reason: impl ToString) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}

/// Creates a folder and its parents, for this user alone.
pub(crate) fn make_folder(path: &Path) -> Result<(), DiskError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(DiskError::io(path))
}

/// Replaces a file, whole or not at all, readable by this user alone.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), DiskError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // One left by a crash may have any permissions.
    remove(&temporary)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .map_err(DiskError::io(&temporary))?;
    fs::rename(&temporary, path).map_err(DiskError::io(path))
}

/// Reads a file of at most [`MAX_LEN`] bytes; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match fs::metadata(path) {
        Ok(found) if found.len() > MAX_LEN => Err(DiskError::damaged(
            path,
            "larger than anything written there",
        )),
        Ok(_) => fs::read(path).map(Some).map_err(DiskError::io(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DiskError::io(path)(source)),
    }
}

/// Removes a file; one that is not there is removed already.
pub(crate) fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DiskError::io(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

const MAX_LEN: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls.cert");

        replace(&path, b"first").unwrap();
        replace(&path, b"second").unwrap();

        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"second"[..]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn other_users_cannot_read_what_is_written() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("tls.key");

        make_folder(path.parent().unwrap()).unwrap();
        replace(&path, b"key").unwrap();

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn a_missing_file_is_none_and_a_huge_one_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.macaroon");

        assert_eq!(read(&path).unwrap(), None);
        fs::write(&path, vec![0; 65 * 1024]).unwrap();
        assert!(matches!(read(&path), Err(DiskError::Damaged { .. })));
    }
}
