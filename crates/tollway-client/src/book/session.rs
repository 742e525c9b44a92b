//! Process liveness: a lock file per process that owns purchases.
//!
//! A session holds a lock on a file of its own for as long as it lives, and the operating
//! system drops that lock with the process, however it ends. A file that is missing or can be
//! locked therefore belongs to a process that is dead.
//!
//! Callers of [`Session::start`] hold the book's write lock: a file is created and cleared only
//! under it, or it could be cleared between its creation and its locking.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::SessionId;
use crate::disk;

/// The lock file of this process.
#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    path: PathBuf,
    /// Locked while this session lives.
    _lock: File,
}

impl Session {
    /// Starts a session and removes the files of dead ones.
    pub(super) fn start(dir: &Path) -> io::Result<Self> {
        disk::create_private_dir(dir)?;
        remove_dead(dir)?;
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let id = SessionId::new(hex::encode(bytes));
        let path = dir.join(id.as_str());
        let file = disk::private_file().open(&path)?;
        file.lock()?;
        Ok(Self {
            id,
            path,
            _lock: file,
        })
    }

    pub(super) const fn id(&self) -> &SessionId {
        &self.id
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A file left over is unlocked, which means the same.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns true while the process that started session `id` lives.
pub(super) fn is_alive(dir: &Path, id: &SessionId) -> io::Result<bool> {
    is_locked(&dir.join(id.as_str()))
}

fn is_locked(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        // Not a session's, and opening it may wait without end.
        Ok(_other) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // Shared: two processes that look at once must not take each other for the owner.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn remove_dead(dir: &Path) -> io::Result<()> {
    for file in fs::read_dir(dir)? {
        let file = file?;
        let path = file.path();
        if !file.file_type()?.is_file() || is_locked(&path)? {
            continue;
        }
        match fs::remove_file(&path) {
            // A session that ends removes its own file, without the write lock.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_is_not_a_file_is_no_session() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();

        let session = Session::start(dir.path()).unwrap();

        assert!(is_alive(dir.path(), session.id()).unwrap());
        for other in ["folder", "socket"] {
            let id = SessionId::new(other.to_owned());
            assert!(!is_alive(dir.path(), &id).unwrap(), "{other}");
            assert!(dir.path().join(other).exists(), "{other}");
        }
    }

    #[test]
    fn a_dead_session_is_dead_to_several_processes_that_look_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::start(dir.path()).unwrap();
        let id = session.id().clone();
        assert!(is_alive(dir.path(), &id).unwrap());
        // A process that is killed leaves its file.
        let path = session.path.clone();
        drop(session);
        let other = disk::private_file().open(path).unwrap();
        other.lock_shared().unwrap();

        assert!(!is_alive(dir.path(), &id).unwrap());
    }

    #[test]
    fn a_session_starts_while_another_one_ends() {
        let dir = tempfile::tempdir().unwrap();
        let write_lock = Mutex::new(());
        std::thread::scope(|scope| {
            for _process in 0..4 {
                scope.spawn(|| {
                    for _start in 0..200 {
                        let guard = write_lock.lock().unwrap();
                        let session = Session::start(dir.path()).unwrap();
                        drop(guard);
                        // Ends without the lock, as a process does.
                        drop(session);
                    }
                });
            }
        });
    }
}
