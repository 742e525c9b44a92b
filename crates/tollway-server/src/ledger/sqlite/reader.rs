//! Reports of a ledger that other processes write.
//!
//! Reads what they have committed: events reach the file within a tenth of a second. Readers
//! and writers of a write-ahead log do not wait for each other. Nothing is created, brought to
//! another version, reserved or released.

use std::fmt;
use std::fs::{self, File};
use std::future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use l402::TokenId;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::{self, LedgerOpenError};
use super::{identity, statements};
use crate::keys::file::KeyId;
use crate::ledger::{
    LedgerError, LedgerId, Period, Refusals, Reports, Revocation, Sales, TokenRecord,
};

/// The reports of a [`SqliteLedger`](super::SqliteLedger), without opening it for use.
pub struct LedgerReader {
    id: LedgerId,
    connection: Mutex<Connection>,
}

impl LedgerReader {
    /// Opens the ledger at `path`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`LedgerOpenError`], also for a ledger of another version.
    pub fn open(path: &Path) -> Result<Option<Self>, LedgerOpenError> {
        let Some(connection) = open_to_read(path)? else {
            return Ok(None);
        };
        let id = identity::id(&connection).map_err(|source| LedgerOpenError::Store {
            path: path.to_owned(),
            source,
        })?;
        Ok(Some(Self {
            id,
            connection: Mutex::new(connection),
        }))
    }

    /// Returns the id of the ledger.
    #[must_use]
    pub const fn id(&self) -> LedgerId {
        self.id
    }

    /// Returns every revocation kept.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when they cannot be read.
    pub fn revocations(&self) -> Result<Vec<Revocation>, LedgerError> {
        self.read(statements::revocations)
    }

    /// Returns how many tokens that were ever used were minted by a key.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when they cannot be counted.
    pub fn tokens_minted_by(&self, key: KeyId) -> Result<u64, LedgerError> {
        self.read(|connection| statements::count_tokens(connection, key.as_bytes()))
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let connection = self.connection.lock();
        // A panic in between leaves a connection that only reads as it was.
        let connection = connection.unwrap_or_else(PoisonError::into_inner);
        Ok(read(&connection)?)
    }
}

impl Reports for LedgerReader {
    fn sales(&self, period: Period) -> BoxFuture<'_, Result<Vec<Sales>, LedgerError>> {
        let sales = self.read(|connection| statements::sales(connection, period));
        Box::pin(future::ready(sales))
    }

    fn refusals(&self, period: Period) -> BoxFuture<'_, Result<Vec<Refusals>, LedgerError>> {
        let refusals = self.read(|connection| statements::refusals(connection, period));
        Box::pin(future::ready(refusals))
    }

    fn token(&self, token: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, LedgerError>> {
        let record = self.read(|connection| statements::token(connection, &token));
        Box::pin(future::ready(record))
    }

    fn tokens(
        &self,
        period: Period,
        count_max: usize,
    ) -> BoxFuture<'_, Result<Vec<TokenRecord>, LedgerError>> {
        let tokens = self.read(|connection| statements::tokens(connection, period, count_max));
        Box::pin(future::ready(tokens))
    }
}

impl fmt::Debug for LedgerReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerReader")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Opens the file at `path` to read reports, without changing anything in its folder. `None`
/// when there is no ledger, or a process is about to create one.
fn open_to_read(path: &Path) -> Result<Option<Connection>, LedgerOpenError> {
    match fs::metadata(path) {
        Ok(file) if file.is_file() && file.len() == 0 => return Ok(None),
        Ok(_file) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = path.to_owned();
            return Err(LedgerOpenError::File { path, source });
        }
    }
    let began = Instant::now();
    loop {
        match schema::when_not_busy(|| try_open(path)) {
            // Another process has opened or closed the database: what is next to it has changed.
            Err(LedgerOpenError::Store { source, .. })
                if is_transient(&source) && began.elapsed() < CHANGE_TIMEOUT =>
            {
                thread::sleep(CHANGE_PAUSE);
            }
            opened => return opened,
        }
    }
}

fn try_open(path: &Path) -> Result<Option<Connection>, LedgerOpenError> {
    let connected = connect(path, Access::of(path));
    let (connection, found) = connected.map_err(|source| unreadable(path, source))?;
    match schema::check_version(path, found)? {
        0 => Ok(None),
        found if found < schema::VERSION => Err(LedgerOpenError::Older {
            path: path.to_owned(),
            found,
            known: schema::VERSION,
        }),
        _current => Ok(Some(connection)),
    }
}

/// Returns true for the error of a log or an index that was there and is gone, or is being made.
fn is_transient(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// Connects, and returns the number of migrations that were applied to the database.
///
/// By itself SQLite creates the index of a write-ahead log in order to read it, and the last
/// process that closes a database writes its log back and removes both.
fn connect(path: &Path, access: Access) -> rusqlite::Result<(Connection, Option<usize>)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(path, access), flags)?;
    connection.busy_timeout(schema::BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    if access == Access::Log {
        // The index is then in the memory of this process.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    let found = schema::version(&connection)?;
    Ok((connection, found))
}

/// How a database is read, by what is next to it.
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
        match (beside(path, LOG).exists(), beside(path, INDEX).exists()) {
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

/// Returns the error of a read. SQLite does not report which of its files it cannot open, or why.
fn unreadable(path: &Path, source: rusqlite::Error) -> LedgerOpenError {
    if source.sqlite_error_code() == Some(ErrorCode::CannotOpen) {
        for path in [path.to_owned(), beside(path, LOG), beside(path, INDEX)] {
            match File::open(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return LedgerOpenError::File { path, source };
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    let path = path.to_owned();
    LedgerOpenError::Store { path, source }
}

/// Returns the path of a file that SQLite names after the database.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Returns the name of a database for SQLite, with how it is opened.
fn uri(path: &Path, access: Access) -> String {
    let path = path.to_string_lossy();
    let path = path.replace('%', "%25").replace('?', "%3f");
    format!("file:{}?{}", path.replace('#', "%23"), access.parameter())
}

/// The write-ahead log, and the index that its readers share.
const LOG: &str = "-wal";
const INDEX: &str = "-shm";
const CHANGE_PAUSE: Duration = Duration::from_millis(5);
const CHANGE_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }

    fn read(folder: &Path) -> LedgerId {
        let ledger = LedgerReader::open(&folder.join(NAME)).unwrap();
        ledger.unwrap().id()
    }

    /// Root may write everywhere: that nothing is written is seen by the content.
    #[test]
    fn nothing_is_changed_by_reading_whatever_is_next_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let writer = schema::open(&folder.join(NAME)).unwrap();
        let (before, id) = (contents(folder), read(folder));
        assert_eq!(before.len(), 3, "the file, its log and the index");
        // The writer is in this process, and SQLite has one index for all of a process.
        let without_index = |mut files: BTreeMap<PathBuf, Vec<u8>>| {
            files.retain(|path, _| !path.to_string_lossy().ends_with(INDEX));
            files
        };
        let is_unchanged = without_index(contents(folder)) == without_index(before.clone());
        assert!(is_unchanged, "while a process has it open");

        for left_out in ["-shm", "none"] {
            let copy = tempfile::tempdir().unwrap();
            for (path, bytes) in &before {
                let name = path.file_name().unwrap().to_str().unwrap();
                if !name.ends_with(left_out) {
                    fs::write(copy.path().join(name), bytes).unwrap();
                }
            }
            let copied = contents(copy.path());
            assert_eq!(read(copy.path()), id, "without {left_out}");
            assert!(contents(copy.path()) == copied, "without {left_out}");
        }
        drop(writer);
        let before = contents(folder);
        assert_eq!(before.len(), 1);
        assert_eq!(read(folder), id);
        assert!(contents(folder) == before, "after it was closed");
    }

    #[test]
    fn a_ledger_of_an_earlier_version_is_named_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let earlier = schema::open(&path).unwrap();
        earlier.pragma_update(None, "user_version", 3).unwrap();
        drop(earlier);

        let refused = LedgerReader::open(&path).unwrap_err();

        assert!(
            matches!(refused, LedgerOpenError::Older { found: 3, .. }),
            "{refused}"
        );
    }

    const NAME: &str = "50% #1?.sqlite";
}
