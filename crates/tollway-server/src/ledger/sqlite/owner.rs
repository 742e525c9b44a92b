//! The owner of reservations: one per open ledger, alive as long as it holds a lock.
//!
//! An owner is a number, and a lock on the file `<ledger>.owner-<number>` next to the database.
//! The operating system drops the lock however the process ends, SIGKILL included, so whether
//! an owner is alive is never a guess and needs no clock. Lock files are not deleted: the next
//! owner takes the first number that is free, which proves its predecessor dead.
//!
//! Deleting a lock file by hand while its owner runs makes its reservations look abandoned;
//! committing one then fails, and no use is taken twice.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::file_owner::keep_owner;

/// An owner that is alive: this one.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) number: i64,
    ledger: PathBuf,
    lock: File,
}

impl Owner {
    /// Takes the first free number for the ledger at `path`.
    pub(super) fn claim(path: &Path) -> io::Result<Self> {
        for number in 0..OWNERS_MAX {
            let lock = match create(&lock_path(path, number)) {
                Ok(lock) => lock,
                // The lock file of a process of another user.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
                Err(error) => return Err(error),
            };
            if let Ok(ledger) = fs::metadata(path) {
                // The owner of the ledger has to be able to lock it as well.
                let _not_permitted = keep_owner(&lock, &ledger);
            }
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Self {
                        number,
                        ledger: path.to_owned(),
                        lock,
                    });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other(
            "too many processes have the ledger open, or the folder cannot be written",
        ))
    }

    /// Returns whether another owner's process has ended. When that cannot be found out, it is
    /// taken to be alive: its reservations then wait, and none is given away twice.
    pub(super) fn is_dead(&self, number: i64) -> bool {
        if number == self.number {
            return false;
        }
        match File::open(lock_path(&self.ledger, number)) {
            // Shared, so that two processes can find it out at once.
            Ok(lock) => lock.try_lock_shared().is_ok_and(|()| lock.unlock().is_ok()),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

/// Unlocks the file. Closing it is not enough while a child process that is being started has
/// a copy of the descriptor.
impl Drop for Owner {
    fn drop(&mut self) {
        let _closed_later = self.lock.unlock();
    }
}

fn lock_path(ledger: &Path, number: i64) -> PathBuf {
    let mut path = OsString::from(ledger);
    path.push(format!(".owner-{number}"));
    PathBuf::from(path)
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Processes with one ledger open at once. Reached only by mistake.
const OWNERS_MAX: i64 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_alive_until_it_is_dropped_and_its_number_is_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        let first = Owner::claim(&ledger).unwrap();
        let second = Owner::claim(&ledger).unwrap();
        assert_eq!((first.number, second.number), (0, 1));
        assert!(!second.is_dead(0) && !first.is_dead(1) && !first.is_dead(0));

        drop(first);

        assert!(second.is_dead(0));
        assert_eq!(Owner::claim(&ledger).unwrap().number, 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_file_belongs_to_the_owner_of_the_ledger() {
        use std::os::unix::fs::{MetadataExt as _, chown};

        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        fs::write(&ledger, "").unwrap();
        let _root_only = chown(&ledger, Some(12_345), Some(54_321));

        let owner = Owner::claim(&ledger).unwrap();

        let uid = |path: &Path| fs::metadata(path).unwrap().uid();
        assert_eq!(uid(&lock_path(&ledger, owner.number)), uid(&ledger));
    }

    #[test]
    fn an_owner_is_dead_when_a_copy_of_its_descriptor_is_still_open() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        let (first, second) = (
            Owner::claim(&ledger).unwrap(),
            Owner::claim(&ledger).unwrap(),
        );
        let _inherited = first.lock.try_clone().unwrap();

        drop(first);

        assert!(second.is_dead(0));
    }

    #[test]
    fn an_owner_that_is_looked_at_by_another_process_is_dead_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        let (first, second) = (
            Owner::claim(&ledger).unwrap(),
            Owner::claim(&ledger).unwrap(),
        );
        drop(first);
        let other = File::open(lock_path(&ledger, 0)).unwrap();
        other.lock_shared().unwrap();

        assert!(second.is_dead(0));
    }

    #[test]
    fn an_owner_that_never_was_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner::claim(&folder.path().join("ledger.db")).unwrap();

        assert!(owner.is_dead(7));
    }
}
