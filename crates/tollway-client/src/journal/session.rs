//! Is the process that wrote this record still alive?
//!
//! Each open journal holds a lock on a file of its own for as long as it lives, and the
//! operating system drops that lock with the process, however it ends. A file that is
//! missing or can be locked therefore belongs to nobody.
//!
//! Callers hold the journal's lock: a session file is created, examined and cleared only
//! under it, or a file could be cleared between its creation and its locking.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk;

/// Names one open journal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SessionId(String);

impl SessionId {
    pub(super) fn read(text: &str) -> Option<Self> {
        let is_id = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_id.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// An open journal's sign of life.
pub(super) struct Session {
    id: SessionId,
    path: PathBuf,
    /// Locked while this session lives.
    _alive: File,
}

impl Session {
    /// Starts a session and clears the files of dead ones.
    pub(super) fn start(dir: &Path) -> io::Result<Self> {
        disk::create_private_dir(dir)?;
        clear_dead(dir)?;
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let id = SessionId(hex::encode(bytes));
        let path = dir.join(id.as_str());
        let file = disk::private_file().open(&path)?;
        file.lock()?;
        Ok(Self {
            id,
            path,
            _alive: file,
        })
    }

    pub(super) const fn id(&self) -> &SessionId {
        &self.id
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A file left behind is unlocked, which says the same.
        let _ = fs::remove_file(&self.path);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.id.as_str())
    }
}

/// True while the process that started session `id` lives.
pub(super) fn is_alive(dir: &Path, id: &SessionId) -> io::Result<bool> {
    is_held(&dir.join(id.as_str()))
}

fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn clear_dead(dir: &Path) -> io::Result<()> {
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        if !is_held(&path)? {
            disk::remove(&path)?;
        }
    }
    Ok(())
}
