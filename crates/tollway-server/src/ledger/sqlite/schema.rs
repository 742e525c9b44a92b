//! The ledger's file: its permissions, its version, its tables.
//!
//! `user_version` counts the migrations applied, `application_id` marks the file as a
//! ledger. A migration that has been released is never edited; another is appended.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::offers::SaleConflict;

/// Why the ledger cannot be opened. Raised before anything is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerOpenError {
    /// Others may read the file.
    #[error("others can read the ledger `{path}` (mode {mode:o}): run `chmod 600` on it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be opened or created.
    #[error("the ledger `{path}` cannot be opened")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is a database of another program.
    #[error("`{path}` is a database of another program: name another file for the ledger")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program wrote the file.
    #[error("the ledger `{path}` has version {found}, this program knows {known}: use a later one")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The latest version this program knows.
        known: usize,
    },
    /// An earlier version of this program wrote the file, and a reader does not change it.
    #[error(
        "the ledger `{path}` has version {found}, and version {known} is read: start the gateway \
         with this program first"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The version that is read.
        known: usize,
    },
    /// The database does not work.
    #[error("the ledger `{path}` cannot be used")]
    Store {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// The lock file that shows this process to be alive cannot be locked.
    #[error("no lock file next to the ledger `{path}` can be locked")]
    Lock {
        /// The ledger.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Something else is sold with the ledger.
    #[error("the ledger `{path}` cannot be shared")]
    Sale {
        /// The file.
        path: PathBuf,
        /// What is in the way.
        source: SaleConflict,
    },
    /// The operating system gives no thread to write with.
    #[error("no thread to write the ledger with")]
    Thread(#[source] io::Error),
}

/// Opens the file at `path` and brings its tables to this version.
///
/// Any number of processes may do so at once, also when there is no file yet.
pub(super) fn open(path: &Path) -> Result<Connection, LedgerOpenError> {
    private_file(path)?;
    when_not_busy(|| try_open(path))
}

/// Calls `open`, again for as long as another process is in its way.
pub(super) fn when_not_busy<T>(
    open: impl FnMut() -> Result<T, LedgerOpenError>,
) -> Result<T, LedgerOpenError> {
    retry_while_busy(|| thread::sleep(BUSY_PAUSE), open)
}

/// Calls `open` again, after each `pause`, for as long as another process is in its way.
///
/// SQLite itself waits for other processes almost everywhere, but not when it switches a file
/// to write-ahead logging.
fn retry_while_busy<T>(
    mut pause: impl FnMut(),
    mut open: impl FnMut() -> Result<T, LedgerOpenError>,
) -> Result<T, LedgerOpenError> {
    let began = Instant::now();
    loop {
        match open() {
            Err(LedgerOpenError::Store { source, .. })
                if is_busy(&source) && began.elapsed() < BUSY_TIMEOUT =>
            {
                pause();
            }
            opened => return opened,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn try_open(path: &Path) -> Result<Connection, LedgerOpenError> {
    let store = |source| LedgerOpenError::Store {
        path: path.to_owned(),
        source,
    };
    let mut connection = Connection::open(path).map_err(store)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(store)?;
    // In one transaction: another process may be creating the tables.
    let found = connection
        .transaction()
        .and_then(|transaction| version(&transaction))
        .map_err(store)?;
    check_version(path, found)?;
    configure(&connection).map_err(store)?;
    migrate(&mut connection).map_err(store)?;
    Ok(connection)
}

/// Returns the migrations applied, unless they are unknown or none of a ledger's.
pub(super) fn check_version(path: &Path, found: Option<usize>) -> Result<usize, LedgerOpenError> {
    let (path, known) = (path.to_owned(), MIGRATIONS.len());
    match found {
        None => Err(LedgerOpenError::Foreign { path }),
        Some(found) if found > known => Err(LedgerOpenError::Newer { path, found, known }),
        Some(found) => Ok(found),
    }
}

/// SQLite gives its other files the same permissions.
#[cfg(unix)]
fn private_file(path: &Path) -> Result<(), LedgerOpenError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

    let file = |source| LedgerOpenError::File {
        path: path.to_owned(),
        source,
    };
    let opened: File = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(OWNER_ONLY)
        .open(path)
        .map_err(file)?;
    let mode = opened.metadata().map_err(file)?.permissions().mode() & PERMISSION_BITS;
    if mode & !OWNER_ONLY != 0 {
        return Err(LedgerOpenError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn private_file(_path: &Path) -> Result<(), LedgerOpenError> {
    Ok(())
}

/// Migrations applied so far; `None` when the file is not a ledger.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<Option<usize>> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let version = number("user_version")?;
    let empty = tables == 0 && version == 0;
    if !empty && number("application_id")? != APPLICATION_ID {
        return Ok(None);
    }
    Ok(usize::try_from(version).ok())
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Applies what is missing. Looks again under the lock: another process may have been first.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let applied = version(&transaction)?.unwrap_or(MIGRATIONS.len());
    for migration in MIGRATIONS.iter().skip(applied) {
        transaction.execute_batch(migration)?;
    }
    if applied < MIGRATIONS.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    }
    transaction.commit()
}

const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE tokens (
    token_id      BLOB PRIMARY KEY,
    payment_hash  BLOB NOT NULL,
    service       TEXT NOT NULL,
    paid_msat     INTEGER,
    first_used_at INTEGER NOT NULL,
    last_used_at  INTEGER NOT NULL,
    requests      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sales (
    service      TEXT NOT NULL,
    utc_day      INTEGER NOT NULL,
    payments     INTEGER NOT NULL DEFAULT 0,
    revenue_msat INTEGER NOT NULL DEFAULT 0,
    unpriced     INTEGER NOT NULL DEFAULT 0,
    requests     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (service, utc_day)
) STRICT, WITHOUT ROWID;

CREATE TABLE refusals (
    service TEXT NOT NULL,
    reason  TEXT NOT NULL,
    utc_day INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (service, reason, utc_day)
) STRICT, WITHOUT ROWID;

CREATE TABLE uses (
    token_id BLOB PRIMARY KEY,
    used     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revoked_tokens (
    token_id BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE revoked_before (
    only_row      INTEGER PRIMARY KEY CHECK (only_row = 0),
    minted_before INTEGER NOT NULL
) STRICT;
",
    "
CREATE TABLE reservations (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    token_id BLOB NOT NULL,
    owner    INTEGER NOT NULL
) STRICT;
CREATE INDEX reservations_by_token ON reservations (token_id, owner);

CREATE TABLE revocations (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    token_id      BLOB UNIQUE,
    minted_before INTEGER
) STRICT;
INSERT INTO revocations (token_id) SELECT token_id FROM revoked_tokens;
INSERT INTO revocations (minted_before) SELECT minted_before FROM revoked_before;
DROP TABLE revoked_tokens;
DROP TABLE revoked_before;
",
    "
CREATE TABLE identity (
    only_row  INTEGER PRIMARY KEY CHECK (only_row = 0),
    ledger_id BLOB NOT NULL,
    has_key   INTEGER NOT NULL DEFAULT 0,
    latest    INTEGER,
    network   TEXT
) STRICT;
INSERT INTO identity (only_row, ledger_id) VALUES (0, randomblob(16));

CREATE TABLE offers (
    owner      INTEGER NOT NULL,
    service    TEXT NOT NULL,
    tier       INTEGER NOT NULL,
    capability TEXT,
    price_msat INTEGER NOT NULL,
    upstream   TEXT NOT NULL
) STRICT;
",
    "
ALTER TABLE tokens ADD COLUMN uses_max INTEGER;
CREATE INDEX tokens_by_first_use ON tokens (first_used_at);
",
];
/// `toll` in ASCII.
const APPLICATION_ID: i64 = 0x746f_6c6c;
/// The version that this program writes.
pub(super) const VERSION: usize = MIGRATIONS.len();
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(5);
#[cfg(unix)]
const OWNER_ONLY: u32 = 0o600;
#[cfg(unix)]
const PERMISSION_BITS: u32 = 0o777;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn a_new_ledger_has_this_version_and_opens_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");

        for _ in 0..2 {
            let connection = open(&path).unwrap();
            assert_eq!(version(&connection).unwrap(), Some(MIGRATIONS.len()));
        }
    }

    #[test]
    fn a_fresh_folder_can_be_opened_by_many_at_once() {
        for _ in 0..8 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ledger.db");
            let together = Barrier::new(8);
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        together.wait();
                        let connection = open(&path).unwrap();
                        assert_eq!(version(&connection).unwrap(), Some(MIGRATIONS.len()));
                    });
                }
            });
        }
    }

    #[test]
    fn a_file_that_another_process_locks_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let lock = || {
            let connection = Connection::open(&path)?;
            connection.busy_timeout(Duration::ZERO)?;
            connection.execute_batch("BEGIN EXCLUSIVE")?;
            Ok(connection)
        };
        let other = lock().unwrap();
        let mut pauses = 0;
        let pause = || {
            pauses += 1;
            other.execute_batch("ROLLBACK").unwrap();
        };

        let locked = retry_while_busy(pause, || {
            lock().map_err(|source| LedgerOpenError::Store {
                path: path.clone(),
                source,
            })
        });

        assert!(locked.is_ok());
        assert_eq!(pauses, 1);
    }

    #[test]
    fn the_database_of_another_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.db");
        private_file(&path).unwrap();
        let theirs = Connection::open(&path).unwrap();
        theirs.execute_batch("CREATE TABLE theirs (a)").unwrap();

        assert!(matches!(open(&path), Err(LedgerOpenError::Foreign { .. })));
        assert!(!table_exists(&theirs, "tokens"));
    }

    #[test]
    fn a_ledger_of_a_later_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let later = open(&path).unwrap();
        later.pragma_update(None, "user_version", 99).unwrap();
        drop(later);

        let refused = open(&path).unwrap_err();

        assert!(matches!(refused, LedgerOpenError::Newer { found: 99, .. }));
    }

    #[test]
    fn what_is_not_a_database_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        private_file(&path).unwrap();
        fs::write(
            &path,
            "not a database at all, but long enough to be one".repeat(100),
        )
        .unwrap();

        assert!(matches!(open(&path), Err(LedgerOpenError::Store { .. })));
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .starts_with("not a database")
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let refused = open(Path::new("/nowhere/at/all/ledger.db")).unwrap_err();

        assert!(
            refused.to_string().contains("/nowhere/at/all/ledger.db"),
            "{refused}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_ledger_and_the_files_beside_it() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let _open = open(&path).unwrap();

        let files = fs::read_dir(folder.path()).unwrap();
        let modes: Vec<u32> = files
            .map(|file| file.unwrap().metadata().unwrap().permissions().mode() & PERMISSION_BITS)
            .collect();
        assert!(modes.len() > 1, "the write-ahead log is a file of its own");
        assert!(modes.iter().all(|&mode| mode == OWNER_ONLY), "{modes:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_ledger_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        drop(open(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();

        let refused = open(&path).unwrap_err();

        assert!(
            matches!(refused, LedgerOpenError::Exposed { mode: 0o640, .. }),
            "{refused}"
        );
    }

    fn table_exists(connection: &Connection, name: &str) -> bool {
        connection
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE name = ?1",
                [name],
                |row| row.get::<_, i64>(0),
            )
            .unwrap()
            > 0
    }
}
