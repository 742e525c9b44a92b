//! The book's file: whether it may be opened, and its tables.
//!
//! `user_version` counts the migrations applied, `application_id` marks the file as a book.
//! A migration that has been released is never edited; another is appended.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::marker::{BookId, Marker};
use crate::book::BookError;
use crate::disk;

/// An open database.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) id: BookId,
}

/// Opens the file at `path` and brings its tables to this version. Creates it if it does not
/// exist and there was none; `patience` is how long other processes may hold it.
pub(super) fn open(path: &Path, marker: &Marker, patience: Duration) -> Result<Opened, BookError> {
    // Read before the file is looked for: another process may be creating both.
    let marked = marker.read()?;
    let is_empty = || fs::metadata(path).map_or(true, |metadata| metadata.len() == 0);
    if marked.is_some() && is_empty() {
        // Not opened: SQLite removes the log of an empty file.
        return Err(marker.lost(path));
    }
    create_private(path)?;
    let error = |source| database_error(path, source);
    let attempt = || {
        let (mut connection, applied) = connect(path, patience)?;
        if applied == 0 && marked.is_some() {
            return Err(marker.lost(path));
        }
        prepare(&mut connection, applied).map_err(error)?;
        let id = id(&connection).map_err(error)?;
        Ok(Opened { connection, id })
    };
    let began = Instant::now();
    let opened = loop {
        match attempt() {
            // Switching to write-ahead logging does not wait for other processes by itself.
            Err(BookError::Busy { .. }) if began.elapsed() < patience => {
                std::thread::sleep(BUSY_PAUSE);
            }
            opened => break opened?,
        }
    };
    match marked {
        Some(marked) if marked != opened.id => Err(marker.replaced(path)),
        Some(_) | None => Ok(opened),
    }
}

/// Returns true for the error of a file or folder that cannot be written, because its disk is full
/// for example.
pub(super) fn is_unwritable(error: &BookError) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    match error {
        BookError::Io { source, .. } => {
            [PermissionDenied, ReadOnlyFilesystem].contains(&source.kind())
        }
        BookError::Database { source, .. } => {
            let code = source.sqlite_error_code();
            let is_denied = matches!(
                code,
                Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly)
            );
            is_denied || is_out_of_room(source)
        }
        BookError::Busy { .. }
        | BookError::Damaged { .. }
        | BookError::Exposed { .. }
        | BookError::Foreign { .. }
        | BookError::InUse { .. }
        | BookError::Lost { .. }
        | BookError::Newer { .. }
        | BookError::NotItsPreimage { .. }
        | BookError::Replaced { .. }
        | BookError::Unknown { .. } => false,
    }
}

/// Returns true for what SQLite reports of a full disk. It does not tell one from a broken one
/// where it cannot extend its index.
pub(super) fn is_out_of_room(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure))
}

/// Connects, and returns the number of migrations that were applied to the database.
fn connect(path: &Path, patience: Duration) -> Result<(Connection, usize), BookError> {
    let error = |source| database_error(path, source);
    let mut connection = Connection::open(path).map_err(error)?;
    connection.busy_timeout(patience).map_err(error)?;
    // In one transaction: another process may be creating the tables.
    let applied = connection
        .transaction()
        .and_then(|transaction| version(&transaction))
        .map_err(error)?;
    Ok((connection, check_version(path, applied)?))
}

/// Returns the migrations applied, unless the file is no book or of a later version.
pub(super) fn check_version(path: &Path, applied: Option<usize>) -> Result<usize, BookError> {
    let path = path.to_owned();
    match applied {
        None => Err(BookError::Foreign { path }),
        Some(applied) if applied > MIGRATIONS.len() => Err(BookError::Newer { path }),
        Some(applied) => Ok(applied),
    }
}

fn prepare(connection: &mut Connection, applied: usize) -> rusqlite::Result<()> {
    if applied < MIGRATIONS.len() {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        migrate(connection)?;
    }
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Maps what SQLite reports to what can be done about it.
pub(super) fn database_error(path: &Path, source: rusqlite::Error) -> BookError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => BookError::Busy { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => BookError::Damaged {
            path,
            reason: source.to_string(),
        },
        _ => BookError::Database { path, source },
    }
}

/// SQLite creates its other files with the permissions of this one.
fn create_private(path: &Path) -> Result<(), BookError> {
    let error = |source| io_error(path, source);
    if let Some(dir) = path.parent() {
        disk::create_private_dir(dir).map_err(error)?;
    }
    let file = disk::private_file().open(path).map_err(error)?;
    check_private(path, &file.metadata().map_err(error)?)
}

pub(super) fn check_private(path: &Path, metadata: &fs::Metadata) -> Result<(), BookError> {
    let mode = disk::mode(metadata);
    if mode & !disk::OWNER_ONLY != 0 {
        return Err(BookError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

pub(super) fn io_error(path: &Path, source: io::Error) -> BookError {
    BookError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Returns the number of migrations applied; `None` when the file is not a book.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<Option<usize>> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let version = number("user_version")?;
    if number("application_id")? == APPLICATION_ID {
        return Ok(usize::try_from(version).ok());
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((tables == 0 && version == 0).then_some(0))
}

/// Reads the id that the database was given when its tables were created.
pub(super) fn id(connection: &Connection) -> rusqlite::Result<BookId> {
    connection.query_row("SELECT id FROM book", [], |row| row.get(0).map(BookId::new))
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

/// The version that this program writes.
pub(super) const VERSION: usize = MIGRATIONS.len();
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE purchases (
    payment_hash BLOB PRIMARY KEY,
    origin       TEXT NOT NULL,
    host         TEXT NOT NULL,
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    query        TEXT NOT NULL,
    invoice      TEXT NOT NULL,
    price_msat   INTEGER NOT NULL,
    fee_max_msat INTEGER NOT NULL,
    scheme       TEXT NOT NULL,
    scheme_name  TEXT NOT NULL,
    token        TEXT NOT NULL,
    wallet       TEXT NOT NULL,
    wallet_name  TEXT NOT NULL,
    begun_at     INTEGER NOT NULL,
    utc_day      INTEGER NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('paying', 'unknown', 'failed', 'paid')),
    charge_msat  INTEGER NOT NULL,
    preimage     BLOB,
    fee_msat     INTEGER,
    reason       TEXT NOT NULL,
    session      TEXT NOT NULL,
    absent_at    INTEGER
) STRICT;
CREATE INDEX purchases_open ON purchases (origin) WHERE state IN ('paying', 'unknown');
CREATE INDEX purchases_by_day ON purchases (utc_day, charge_msat);
CREATE INDEX purchases_by_host ON purchases (host, charge_msat);

CREATE TABLE credentials (
    payment_hash BLOB PRIMARY KEY,
    origin       TEXT NOT NULL,
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    path_prefix  TEXT NOT NULL,
    query        TEXT NOT NULL,
    scheme       TEXT NOT NULL,
    scheme_name  TEXT NOT NULL,
    token        TEXT NOT NULL,
    preimage     BLOB NOT NULL,
    price_msat   INTEGER NOT NULL,
    fee_msat     INTEGER NOT NULL,
    bought_at    INTEGER NOT NULL,
    holder       TEXT
) STRICT;
CREATE INDEX credentials_by_origin ON credentials (origin);

CREATE TABLE refusals (
    payment_hash BLOB NOT NULL,
    origin       TEXT NOT NULL,
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    query        TEXT NOT NULL,
    times        INTEGER NOT NULL,
    until        INTEGER NOT NULL,
    PRIMARY KEY (payment_hash, method, path, query)
) STRICT, WITHOUT ROWID;

CREATE TABLE brakes (
    origin       TEXT NOT NULL,
    path         TEXT NOT NULL,
    payment_hash BLOB NOT NULL,
    paid_msat    INTEGER NOT NULL,
    until        INTEGER NOT NULL,
    PRIMARY KEY (origin, path)
) STRICT, WITHOUT ROWID;
",
    "
CREATE TABLE book (id TEXT NOT NULL) STRICT;
INSERT INTO book VALUES (lower(hex(randomblob(16))));
",
    // How often an earlier version asked for a payment is not known: more than once is assumed.
    "
ALTER TABLE purchases DROP COLUMN absent_at;
ALTER TABLE purchases ADD COLUMN requests INTEGER NOT NULL DEFAULT 2;
",
    "
ALTER TABLE refusals ADD COLUMN reason TEXT NOT NULL DEFAULT '';
CREATE INDEX refusals_by_origin ON refusals (origin);

CREATE TABLE acceptances (
    payment_hash BLOB NOT NULL,
    path         TEXT NOT NULL,
    path_prefix  TEXT NOT NULL,
    PRIMARY KEY (payment_hash, path)
) STRICT;
",
    "
ALTER TABLE credentials ADD COLUMN is_undelivered INTEGER NOT NULL DEFAULT 0;
",
    // What an earlier version bought counts as accepted once. Its brakes stopped whole origins.
    "
ALTER TABLE credentials RENAME COLUMN is_undelivered TO lost;
ALTER TABLE credentials ADD COLUMN delivered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
UPDATE credentials SET delivered = 1 WHERE lost = 0 AND holder IS NULL AND payment_hash IN
    (SELECT payment_hash FROM purchases WHERE state = 'paid');

CREATE TABLE presentations (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    payment_hash BLOB NOT NULL,
    session      TEXT NOT NULL
) STRICT;
CREATE INDEX presentations_by_hash ON presentations (payment_hash);

ALTER TABLE brakes RENAME TO brakes_of_origins;
CREATE TABLE brakes (
    origin       TEXT NOT NULL,
    scope        TEXT NOT NULL,
    path         TEXT NOT NULL,
    payment_hash BLOB NOT NULL,
    paid_msat    INTEGER NOT NULL,
    until        INTEGER NOT NULL,
    cause        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    PRIMARY KEY (origin, scope)
) STRICT, WITHOUT ROWID;
INSERT OR REPLACE INTO brakes
    SELECT origin, '*', path, payment_hash, paid_msat, until, 'refused', ''
    FROM brakes_of_origins ORDER BY until;
DROP TABLE brakes_of_origins;
",
];
/// `tbuy` in ASCII.
const APPLICATION_ID: i64 = 0x7462_7579;
const BUSY_PAUSE: Duration = Duration::from_millis(5);
