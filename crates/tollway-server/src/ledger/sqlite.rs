//! Books on disk, for one machine.
//!
//! One thread owns the connection. Notes reach it over a bounded queue that senders never wait
//! for and never wake it through; it fetches them ten times a second, adds them up and writes
//! them in one transaction. What somebody waits for, a counted use or a revocation, goes over a
//! second queue and is written at once, everything that is waiting in one transaction: the
//! more are waiting, the fewer commits each of them costs.
//!
//! A commit reaches the disk before it is reported (`synchronous=FULL`). A crash therefore
//! loses at most the notes of the last tenth of a second, and no use and no revocation.
//!
//! Notes are never allowed to stand in the way of commands: they are separate transactions.

mod pending;
mod schema;
mod statements;
mod writer;

use std::fmt;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};

use futures_util::future::BoxFuture;
use l402::TokenId;
use rusqlite::Connection;
use tokio::sync::oneshot;

pub use self::schema::OpenError;
use self::writer::{Command, Consume, Reply, Revoke, Writer};
use super::{Ledger, LedgerError, Note, Refusals, Revocation, Sales, TokenRecord, Use};

/// A [`Ledger`] in one SQLite file. Dropping it writes the last notes and waits for that.
pub struct SqliteLedger {
    notes: SyncSender<Note>,
    /// `None` only while dropping: closing this queue is what ends the writer.
    commands: Option<SyncSender<Command>>,
    counters: Arc<Counters>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteLedger {
    /// Opens the ledger at `path`, creating it for the owner's eyes only if it is not there.
    ///
    /// Blocks on the disk: call it before serving.
    ///
    /// # Errors
    ///
    /// [`OpenError`], naming the file and what to do about it. Nothing was changed then.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = schema::open(path)?;
        let counters = Arc::new(Counters::default());
        let (notes, noted) = mpsc::sync_channel(NOTES_WAITING_MAX);
        let (commands, commanded) = mpsc::sync_channel(COMMANDS_WAITING_MAX);
        let writer = Writer::new(connection, noted, commanded, Arc::clone(&counters));
        let writer = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        Ok(Self {
            notes,
            commands: Some(commands),
            counters,
            writer: Some(writer),
        })
    }

    /// Transactions committed since the ledger was opened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.counters.commits.load(Ordering::Relaxed)
    }

    /// Puts a command in the queue at once, and waits for its answer when polled.
    fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> BoxFuture<'_, Result<T, LedgerError>> {
        let (reply, answer) = oneshot::channel();
        let queued = self.queue(command(reply));
        Box::pin(async move {
            queued?;
            answer.await.unwrap_or(Err(LedgerError::Stopped))
        })
    }

    fn queue(&self, command: Command) -> Result<(), LedgerError> {
        let commands = self.commands.as_ref().ok_or(LedgerError::Stopped)?;
        commands.try_send(command).map_err(|refused| match refused {
            TrySendError::Full(_) => LedgerError::Busy,
            TrySendError::Disconnected(_) => LedgerError::Stopped,
        })
    }

    /// Reads with every note so far written down.
    fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, LedgerError>> {
        self.ask(|reply| {
            Command::Query(Box::new(move |connection| {
                let answer = connection.and_then(|connection| Ok(read(connection)?));
                // Whoever asked may have gone away.
                let _unread = reply.send(answer);
            }))
        })
    }
}

impl Ledger for SqliteLedger {
    fn note(&self, note: Note) {
        if self.notes.try_send(note).is_err() {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn dropped(&self) -> u64 {
        self.counters.dropped.load(Ordering::Relaxed)
    }

    fn consume(
        &self,
        token: TokenId,
        uses_max: NonZeroU64,
    ) -> BoxFuture<'_, Result<Use, LedgerError>> {
        self.ask(|reply| {
            Command::Consume(Consume {
                token,
                uses_max,
                reply,
            })
        })
    }

    fn revoke(&self, revocation: Revocation) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.ask(|reply| Command::Revoke(Revoke { revocation, reply }))
    }

    fn revocations(&self) -> BoxFuture<'_, Result<Vec<Revocation>, LedgerError>> {
        self.query(statements::revocations)
    }

    fn sales(&self) -> BoxFuture<'_, Result<Vec<Sales>, LedgerError>> {
        self.query(statements::sales)
    }

    fn refusals(&self) -> BoxFuture<'_, Result<Vec<Refusals>, LedgerError>> {
        self.query(statements::refusals)
    }

    fn token(&self, token: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, LedgerError>> {
        self.query(move |connection| statements::token(connection, &token))
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to wait for.
            let _panicked = writer.join();
        }
    }
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger")
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    dropped: AtomicU64,
}

/// About a mebibyte; a tenth of a second at 80,000 requests a second.
const NOTES_WAITING_MAX: usize = 8_192;
const COMMANDS_WAITING_MAX: usize = 1_024;
