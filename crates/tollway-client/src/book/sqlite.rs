//! A book in one SQLite file, shared by every process that uses its directory.
//!
//! Write-ahead log, `synchronous = FULL`: what is committed survives the process and the
//! machine. The file is opened by the first call that needs it; reading where there is none
//! creates none.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, TransactionBehavior};

use super::memory::Tables;
use super::rows::{Rows, Storage};
use super::session::{self, Session};
use super::{BookError, SessionId};

mod columns;
mod schema;
mod statements;

use statements::Statements;

/// The file and the session of this process.
#[derive(Debug)]
pub(super) struct Sqlite {
    file: PathBuf,
    sessions: PathBuf,
    connection: Mutex<Option<Connection>>,
    session: Mutex<Option<Session>>,
}

impl Sqlite {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            file: dir.join(FILE),
            sessions: dir.join(SESSIONS),
            connection: Mutex::default(),
            session: Mutex::default(),
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    fn error(&self, source: rusqlite::Error) -> BookError {
        schema::database_error(&self.file, source)
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

/// Returns the open connection, opening it if need be.
fn opened<'a>(
    slot: &'a mut MutexGuard<'_, Option<Connection>>,
    file: &Path,
) -> Result<&'a mut Connection, BookError> {
    let connection = match slot.take() {
        Some(connection) => connection,
        None => schema::open(file)?,
    };
    Ok(slot.insert(connection))
}

impl Storage for Sqlite {
    fn read(
        &self,
        work: &mut dyn FnMut(&dyn Rows) -> Result<(), BookError>,
    ) -> Result<(), BookError> {
        let mut slot = lock(&self.connection);
        if slot.is_none() && !self.file.exists() {
            return work(&Tables::default());
        }
        let connection = opened(&mut slot, &self.file)?;
        let transaction = connection
            .transaction()
            .map_err(|source| self.error(source))?;
        work(&Statements::new(&transaction, &self.file))
    }

    fn write(
        &self,
        work: &mut dyn FnMut(&mut dyn Rows, &SessionId) -> Result<(), BookError>,
    ) -> Result<(), BookError> {
        let mut slot = lock(&self.connection);
        let connection = opened(&mut slot, &self.file)?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|source| self.error(source))?;
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

const FILE: &str = "client.sqlite";
const SESSIONS: &str = "sessions";
