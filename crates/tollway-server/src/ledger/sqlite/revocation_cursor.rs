//! Revocations written since the last look, no matter by which process.

use rusqlite::Connection;

use super::statements;
use crate::ledger::Revocation;

/// How far the revocations of a database have been read: the last row seen.
///
/// Rows are only ever appended, so a look that finds nothing costs one step in a tree.
#[derive(Debug)]
pub(super) struct RevocationCursor(i64);

impl RevocationCursor {
    /// Starts after what is there.
    pub(super) fn at_end(connection: &Connection) -> rusqlite::Result<Self> {
        statements::last_revocation(connection).map(Self)
    }

    /// Returns what has been added since the last call.
    pub(super) fn advance(&mut self, connection: &Connection) -> rusqlite::Result<Vec<Revocation>> {
        let new = statements::revocations_after(connection, self.0)?;
        if let Some((row, _)) = new.last() {
            self.0 = *row;
        }
        Ok(new.into_iter().map(|(_, revocation)| revocation).collect())
    }
}
