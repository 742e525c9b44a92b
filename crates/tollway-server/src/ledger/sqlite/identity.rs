//! Identity of a ledger: its id, whether keys belong to it, and the latest time it has seen.

use std::fs;
use std::path::Path;

use l402::UnixSeconds;
use rusqlite::{Connection, OpenFlags};

use super::schema::{self, LedgerOpenError};
use crate::ledger::LedgerId;

/// What is known of a ledger without opening it for use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Identity {
    /// `None` when there is no ledger, or one without an id.
    pub(crate) id: Option<LedgerId>,
    /// Whether a key file belongs to it: its tokens may have been sold.
    pub(crate) has_key: bool,
    /// The time of its latest event.
    pub(crate) latest: Option<UnixSeconds>,
}

/// Reads the identity of the ledger at `path`, without creating one.
pub(crate) fn identify(path: &Path) -> Result<Identity, LedgerOpenError> {
    match fs::metadata(path) {
        Ok(file) if file.is_file() && file.len() > 0 => {}
        // SQLite would create a database in an empty file.
        Ok(_empty) => return Ok(Identity::default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Identity::default());
        }
        Err(source) => {
            return Err(LedgerOpenError::File {
                path: path.to_owned(),
                source,
            });
        }
    }
    schema::when_not_busy(|| {
        read(path).map_err(|source| LedgerOpenError::Store {
            path: path.to_owned(),
            source,
        })
    })
}

fn read(path: &Path) -> rusqlite::Result<Identity> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(schema::BUSY_TIMEOUT)?;
    let transaction = connection.transaction()?;
    match schema::version(&transaction)? {
        // The database of another program, or one that is being created.
        None | Some(0) => Ok(Identity::default()),
        Some(1..WITH_IDENTITY) => Ok(Identity {
            has_key: has_sold(&transaction)?,
            ..Identity::default()
        }),
        Some(_) => {
            let sql = "SELECT ledger_id, has_key, latest FROM identity";
            transaction.query_row(sql, [], |row| {
                Ok(Identity {
                    id: Some(LedgerId::new(row.get(0)?)),
                    has_key: row.get(1)?,
                    latest: row.get::<_, Option<u64>>(2)?.map(UnixSeconds::new),
                })
            })
        }
    }
}

/// Returns whether anything depends on the keys of a ledger of an earlier version.
fn has_sold(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM tokens) OR EXISTS (SELECT 1 FROM uses)";
    connection.query_row(sql, [], |row| row.get(0))
}

/// Records that a key file belongs to this ledger.
pub(super) fn mark_key(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE identity SET has_key = 1 WHERE has_key = 0";
    connection.execute(sql, []).map(drop)
}

pub(super) fn id(connection: &Connection) -> rusqlite::Result<LedgerId> {
    let sql = "SELECT ledger_id FROM identity";
    connection.query_row(sql, [], |row| row.get(0).map(LedgerId::new))
}

/// The version that has the table `identity`.
const WITH_IDENTITY: usize = 3;
