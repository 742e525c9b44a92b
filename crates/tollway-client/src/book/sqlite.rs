//! A book in one SQLite file, shared by every process that uses its directory.
//!
//! Write-ahead log, `synchronous = FULL`: what is committed survives the process and the
//! machine. The file is opened by the first call that needs it; reading where there is none
//! creates none, and what cannot be written can be read. A book for reports is read through
//! [`reader`], which changes nothing. Where there was a file, [`marker`] makes its absence an error.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::TransactionBehavior;

use super::memory::Tables;
use super::rows::{Rows, Storage};
use super::session::{self, Session};
use super::{BookError, SessionId};

mod columns;
mod marker;
mod reader;
mod schema;
mod statements;

use marker::Marker;
use reader::Found;
use schema::Opened;
use statements::Statements;

/// The file and the session of this process.
#[derive(Debug)]
pub(super) struct Sqlite {
    file: PathBuf,
    sessions: PathBuf,
    marker: Marker,
    reads: Reads,
    /// How long other processes may hold the write lock.
    patience: Duration,
    opened: Mutex<Option<Opened>>,
    session: Mutex<Option<Session>>,
}

/// How a file is read that this process does not write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reads {
    /// Through the connection that writes: a purchase is decided on what is read.
    ToBuy,
    /// Without changing anything.
    ToReport,
}

impl Sqlite {
    pub(super) fn new(dir: &Path, reads: Reads) -> Self {
        Self {
            file: dir.join(FILE),
            sessions: dir.join(SESSIONS),
            marker: Marker::new(dir),
            reads,
            patience: BUSY_TIMEOUT,
            opened: Mutex::default(),
            session: Mutex::default(),
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    fn error(&self, source: rusqlite::Error) -> BookError {
        schema::database_error(&self.file, source)
    }

    /// Returns the open database, opening it if need be.
    fn opened<'a>(
        &self,
        slot: &'a mut MutexGuard<'_, Option<Opened>>,
    ) -> Result<&'a mut Opened, BookError> {
        let opened = match slot.take() {
            Some(opened) => opened,
            None => schema::open(&self.file, &self.marker, self.patience)?,
        };
        Ok(slot.insert(opened))
    }

    /// Returns true on the first start: there is no file, or an empty one. The marker is read
    /// before the file is looked for.
    fn is_new(&self) -> Result<bool, BookError> {
        let marked = self.marker.read()?;
        match (fs::metadata(&self.file), marked) {
            (Ok(metadata), _) if metadata.len() > 0 => Ok(false),
            (Err(source), _) if source.kind() != io::ErrorKind::NotFound => {
                Err(schema::io_error(&self.file, source))
            }
            (Ok(_) | Err(_), None) => Ok(true),
            (Ok(_) | Err(_), Some(_id)) => Err(self.marker.lost(&self.file)),
        }
    }

    /// Opens the file to read it only.
    fn reader(&self) -> Result<Found, BookError> {
        reader::open(&self.file, &self.marker, self.patience)
    }

    /// Starts this process's session, under the write lock.
    fn own_session(&self) -> Result<SessionId, BookError> {
        let mut session = lock(&self.session);
        if let Some(session) = &*session {
            return Ok(session.id().clone());
        }
        let started = Session::start(&self.sessions).map_err(|source| BookError::Io {
            path: self.sessions.clone(),
            source,
        })?;
        Ok(session.insert(started).id().clone())
    }
}

impl Storage for Sqlite {
    fn read(
        &self,
        work: &mut dyn FnMut(&dyn Rows) -> Result<(), BookError>,
    ) -> Result<(), BookError> {
        let mut slot = lock(&self.opened);
        if slot.is_none() && self.is_new()? {
            return work(&Tables::default());
        }
        // Not kept: what is read without locks may change under a long-lived reader.
        let mut reader;
        let opened = match self.reads {
            Reads::ToReport if slot.is_none() => match self.reader()? {
                Found::Book(found) => {
                    reader = found;
                    &mut reader
                }
                Found::Earlier => self.opened(&mut slot)?,
                Found::Nothing => return work(&Tables::default()),
            },
            Reads::ToBuy | Reads::ToReport => match self.opened(&mut slot) {
                Err(refused) if schema::is_unwritable(&refused) => {
                    let Found::Book(found) = self.reader()? else {
                        return Err(refused);
                    };
                    reader = found;
                    &mut reader
                }
                opened => opened?,
            },
        };
        let transaction = opened.connection.transaction();
        let transaction = transaction.map_err(|source| self.error(source))?;
        work(&Statements::new(&transaction, &self.file))
    }

    fn write(
        &self,
        work: &mut dyn FnMut(&mut dyn Rows, &SessionId) -> Result<(), BookError>,
    ) -> Result<(), BookError> {
        let mut slot = lock(&self.opened);
        let Opened { connection, id } = self.opened(&mut slot)?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|source| self.error(source))?;
        self.marker.ensure(id, &self.file)?;
        let session = self.own_session()?;
        work(&mut Statements::new(&transaction, &self.file), &session)?;
        transaction.commit().map_err(|source| self.error(source))
    }

    fn session(&self) -> Option<SessionId> {
        lock(&self.session)
            .as_ref()
            .map(|session| session.id().clone())
    }

    fn is_alive(&self, session: &SessionId) -> Result<bool, BookError> {
        session::is_alive(&self.sessions, session).map_err(|source| BookError::Io {
            path: self.sessions.clone(),
            source,
        })
    }
}

/// A panic elsewhere leaves these values whole: a transaction that was not committed is
/// rolled back when it is dropped.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const FILE: &str = "client.sqlite";
const SESSIONS: &str = "sessions";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Book;

    #[test]
    fn a_book_that_another_process_does_not_give_back_is_busy() {
        let dir = tempfile::tempdir().unwrap();
        let other = Sqlite::new(dir.path(), Reads::ToBuy);
        let impatient = Sqlite {
            patience: Duration::from_millis(1),
            ..Sqlite::new(dir.path(), Reads::ToBuy)
        };
        let hash = l402::PaymentHash::new([1; 32]);
        let mut busy = None;

        // The first write opens the file, the second finds it open.
        for open_first in [false, true] {
            if open_first {
                impatient.write(&mut |_rows, _session| Ok(())).unwrap();
            }
            other
                .write(&mut |_rows, _session| {
                    busy = Some(impatient.write(&mut |rows, _session| rows.remove_refusals(&hash)));
                    Ok(())
                })
                .unwrap();

            let busy = busy.take().unwrap();
            assert!(matches!(busy, Err(BookError::Busy { .. })), "{busy:?}");
        }
        assert!(Book::open(dir.path()).credentials().unwrap().is_empty());
    }
}
