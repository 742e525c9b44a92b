//! Read access that changes nothing in the directory of a book.
//!
//! By itself SQLite creates the index of a write-ahead log in order to read it, and the last
//! process that closes a database writes its log back and removes both. A reader must do
//! neither: what it reads may be a backup, or of another user. What is next to the file decides
//! how it is opened, [`Access`].

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::marker::Marker;
use super::schema::{self, Opened};
use crate::book::BookError;

/// Opens the file at `path` to read it. Looks again at what is next to it when another process
/// has opened or closed the database in between.
pub(super) fn open(path: &Path, marker: &Marker, patience: Duration) -> Result<Found, BookError> {
    let began = Instant::now();
    loop {
        match try_open(path, marker, patience) {
            Err(BookError::Database { source, .. })
                if is_transient(&source) && began.elapsed() < CHANGE_TIMEOUT =>
            {
                thread::sleep(CHANGE_PAUSE);
            }
            opened => return opened,
        }
    }
}

fn try_open(path: &Path, marker: &Marker, patience: Duration) -> Result<Found, BookError> {
    let error = |source| unreadable(path, source);
    let marked = marker.read()?;
    let metadata = fs::metadata(path).map_err(|source| schema::io_error(path, source))?;
    schema::check_private(path, &metadata)?;
    let opened = |access| {
        let connection = connect(path, access, patience)?;
        let applied = schema::version(&connection)?;
        Ok((connection, applied))
    };
    let (connection, applied) = match opened(Access::of(path)) {
        // An index that was begun on a full disk is of no use.
        Err(refused) if schema::is_out_of_room(&refused) => opened(Access::Log),
        opened => opened,
    }
    .map_err(error)?;
    match (schema::check_version(path, applied)?, marked) {
        (0, None) => Ok(Found::Nothing),
        (0, Some(_id)) => Err(marker.lost(path)),
        (applied, _) if applied < schema::VERSION => Ok(Found::Earlier),
        (_current, marked) => {
            let id = schema::id(&connection).map_err(error)?;
            if marked.is_some_and(|marked| marked != id) {
                return Err(marker.replaced(path));
            }
            Ok(Found::Book(Opened { connection, id }))
        }
    }
}

/// What a file holds.
#[derive(Debug)]
pub(super) enum Found {
    Book(Opened),
    /// A book of an earlier version, which cannot be read as it is.
    Earlier,
    /// A database without tables, which another process may be about to make a book.
    Nothing,
}

fn connect(path: &Path, access: Access, patience: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(path, access), flags)?;
    connection.busy_timeout(patience)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    if access == Access::Log {
        // The index is then in the memory of this process.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    Ok(connection)
}

/// Returns true for the error of a log or an index that was there and is gone, or is being made.
fn is_transient(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// Returns the error of a read. SQLite does not report which of its files it cannot open, or why.
fn unreadable(path: &Path, source: rusqlite::Error) -> BookError {
    if source.sqlite_error_code() == Some(ErrorCode::CannotOpen) {
        let others =
            [LOG_EXTENSION, INDEX_EXTENSION].map(|extension| path.with_extension(extension));
        for file in [path.to_owned()].iter().chain(&others) {
            match File::open(file) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return schema::io_error(file, source);
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    schema::database_error(path, source)
}

/// How a database is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Access {
    /// Without a log: no process has it open, and the file has everything.
    File,
    /// A log without its index: no process has it open, and it was not closed, or was copied.
    Log,
    /// A log and its index: other processes may be writing.
    Shared,
}

impl Access {
    fn of(path: &Path) -> Self {
        let has = |extension| path.with_extension(extension).exists();
        match (has(LOG_EXTENSION), has(INDEX_EXTENSION)) {
            (false, _) => Self::File,
            (true, false) => Self::Log,
            (true, true) => Self::Shared,
        }
    }

    const fn parameter(self) -> &'static str {
        match self {
            Self::File => "immutable=1",
            Self::Log => "vfs=unix-none",
            Self::Shared => "readonly_shm=1",
        }
    }
}

/// Returns the name of a database for SQLite, with how it is opened.
fn uri(path: &Path, access: Access) -> String {
    let path = path.to_string_lossy();
    let path = path.replace('%', "%25").replace('?', "%3f");
    format!("file:{}?{}", path.replace('#', "%23"), access.parameter())
}

/// SQLite names the write-ahead log and its index after the file.
const LOG_EXTENSION: &str = "sqlite-wal";
const INDEX_EXTENSION: &str = "sqlite-shm";
const CHANGE_PAUSE: Duration = Duration::from_millis(5);
const CHANGE_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;
    use crate::book::rows::Storage as _;
    use crate::book::sqlite::{BUSY_TIMEOUT, FILE, Reads, Sqlite};
    use crate::disk;

    fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files
            .map(|entry| (entry.path(), fs::read(entry.path()).unwrap()))
            .collect()
    }

    /// Root may write everywhere: that nothing is written is seen by the content.
    #[test]
    fn nothing_is_changed_by_reading_whatever_is_next_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("50% #1?");
        let read = |dir: &Path| match open(&dir.join(FILE), &Marker::new(dir), BUSY_TIMEOUT) {
            Ok(Found::Book(opened)) => Some(opened.id),
            Ok(Found::Earlier | Found::Nothing) | Err(_) => None,
        };
        let writer = Sqlite::new(&dir, Reads::ToBuy);
        writer.write(&mut |_rows, _session| Ok(())).unwrap();

        let (before, id) = (contents(&dir), read(&dir));
        assert!(id.is_some());
        assert_eq!(contents(&dir), before, "while a process has it open");
        for left_out in ["sqlite-", "sqlite-shm", "none"] {
            let copy = tempfile::tempdir().unwrap();
            for (path, bytes) in &before {
                let name = path.file_name().unwrap().to_str().unwrap();
                if !name.contains(left_out) {
                    let copied = copy.path().join(name);
                    disk::private_file().open(&copied).unwrap();
                    fs::write(&copied, bytes).unwrap();
                }
            }
            let copied = contents(copy.path());
            // All that was written is in the log.
            let expected = id.clone().filter(|_id| left_out != "sqlite-");
            assert_eq!(read(copy.path()), expected, "without {left_out}");
            assert_eq!(contents(copy.path()), copied, "without {left_out}");
        }
        drop(writer);
        let before = contents(&dir);
        assert_eq!(before.len(), 2, "the file and the marker");
        assert_eq!(read(&dir), id);
        assert_eq!(contents(&dir), before, "after it was closed");
    }
}
