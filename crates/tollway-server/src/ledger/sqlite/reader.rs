//! Reports of a ledger that other processes write.
//!
//! Reads what they have committed: events reach the file within a tenth of a second. Readers
//! and writers of a write-ahead log do not wait for each other. Nothing is created, brought to
//! another version, reserved or released.

use std::fmt;
use std::fs;
use std::future;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use l402::TokenId;
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

/// Opens the file at `path` to read reports, without changing it or creating one. `None` when
/// there is no ledger, or a process is about to create one.
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
    schema::when_not_busy(|| {
        let store = |source| LedgerOpenError::Store {
            path: path.to_owned(),
            source,
        };
        let (connection, found) = connect_to_read(path).map_err(store)?;
        match schema::check_version(path, found)? {
            0 => Ok(None),
            found if found < schema::VERSION => Err(LedgerOpenError::Older {
                path: path.to_owned(),
                found,
                known: schema::VERSION,
            }),
            _current => Ok(Some(connection)),
        }
    })
}

/// Connects without ever writing to the tables.
fn connect_to_read(path: &Path) -> rusqlite::Result<(Connection, Option<usize>)> {
    let opened = connect(path, Access::Shared);
    match &opened {
        Err(error) if is_unwritable(error) && !has_log(path) => connect(path, Access::Unchanging),
        Ok(_) | Err(_) => opened,
    }
}

/// How a file is read.
#[derive(Clone, Copy, Debug)]
enum Access {
    /// While others write: a reader of a write-ahead log writes to the index next to it.
    Shared,
    /// As it is, where not even the folder can be written and no process has it open.
    Unchanging,
}

/// Connects, and returns the number of migrations that were applied to the database.
fn connect(path: &Path, access: Access) -> rusqlite::Result<(Connection, Option<usize>)> {
    let (parameters, access) = match access {
        Access::Shared => ("", OpenFlags::SQLITE_OPEN_READ_WRITE),
        Access::Unchanging => ("?immutable=1", OpenFlags::SQLITE_OPEN_READ_ONLY),
    };
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(path, parameters), flags)?;
    connection.busy_timeout(schema::BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    let found = schema::version(&connection)?;
    Ok((connection, found))
}

/// Returns whether the database has a write-ahead log, as one has that a process has open.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).exists()
}

fn is_unwritable(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly)
    )
}

/// Returns the name of a database for SQLite, with parameters of how to open it.
fn uri(path: &Path, parameters: &str) -> String {
    let path = path.to_string_lossy();
    let path = path.replace('%', "%25").replace('?', "%3f");
    format!("file:{}{parameters}", path.replace('#', "%23"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root may write everywhere, so what is done without permission is done by itself.
    #[test]
    fn a_ledger_that_cannot_be_written_is_read_and_nothing_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("50% #1?.sqlite");
        drop(schema::open(&path).unwrap());
        assert!(!has_log(&path));

        let (connection, found) = connect(&path, Access::Unchanging).unwrap();

        assert_eq!(found, Some(schema::VERSION));
        assert!(identity::id(&connection).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
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
}
