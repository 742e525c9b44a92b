//! Key file on the disk: permissions, lock and replacement.
//!
//! A path that is a symbolic link stands for the file at its end: that file is locked and
//! replaced, and the link stays.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::error::KeyFileError;
use crate::file_owner::keep_owner;

/// Reads the file at `path`, which must be readable by its owner only.
pub(super) fn read(path: &Path) -> Result<String, KeyFileError> {
    let unusable = |source| KeyFileError::file(path, source);
    let mut file = open(path).map_err(unusable)?;
    let mode = mode(&file.metadata().map_err(unusable)?);
    if mode & OTHERS != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unusable)?;
    Ok(text)
}

/// Opens a regular file. Opening a pipe would wait for a process that writes to it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    File::open(path)
}

/// The file at the end of a path, which no other process changes while this exists.
#[derive(Debug)]
pub(super) struct LockedFile {
    path: PathBuf,
    /// Unlocked when closed.
    _lock: File,
}

impl LockedFile {
    /// Waits for the lock. The file itself need not exist.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = end_of_links(path)?;
        let lock = owner_only().truncate(false).open(sibling(&path, "lock"))?;
        if let Ok(file) = fs::metadata(&path) {
            // The owner of the keys has to be able to lock them as well.
            let _not_permitted = keep_owner(&lock, &file);
        }
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Writes a new file and renames it, so that a crash leaves the old one or the new one.
    ///
    /// The new file has the owner and the mode of the old one.
    pub(super) fn replace(&self, text: &str) -> io::Result<()> {
        let draft = sibling(&self.path, "new");
        // A crash may have left one.
        let _not_there = fs::remove_file(&draft);
        let mut file = owner_only().create_new(true).open(&draft)?;
        if let Ok(old) = fs::metadata(&self.path) {
            keep_owner(&file, &old)?;
            file.set_permissions(old.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        File::open(folder(&self.path))?.sync_all()
    }
}

/// Creates the folder that the file at the end of `path` belongs in.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(folder(&end_of_links(path)?))
}

/// Follows symbolic links, also to a file that does not exist.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if !path.is_symlink() {
            return Ok(path);
        }
        path = folder(&path).join(fs::read_link(&path)?);
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Returns the folder a file is in; a bare name is in the current one.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

fn sibling(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// Options that write a file, and create it for its owner only.
fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;

    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode(_metadata: &Metadata) -> u32 {
    0
}

/// The permission bits of everyone but the owner.
const OTHERS: u32 = 0o077;
/// As many as Linux follows.
const LINKS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_a_file_in_the_current_folder() {
        assert_eq!(folder(Path::new("master.key")), Path::new("."));
        assert_eq!(folder(Path::new("a/master.key")), Path::new("a"));
    }
}
