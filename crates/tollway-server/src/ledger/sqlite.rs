//! Books on disk, for one machine.
//!
//! One thread owns the connection. Grants reach it over a bounded queue that senders never wait
//! for and never wake it through, refusals as running counts; it fetches both ten times a
//! second, adds them up and writes them in one transaction. What somebody waits for, a counted use or a revocation, goes over a
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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use futures_util::future::BoxFuture;
use l402::TokenId;
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::pending::RefusedCounts;
pub use self::schema::OpenError;
use self::writer::{Command, Consume, Reply, Revoke, Writer};
use super::{
    Event, GrantedEvent, Ledger, LedgerError, Refusals, Revocation, Sales, TokenRecord, Use,
};

/// A [`Ledger`] in one SQLite file. Dropping it writes the last notes and waits for that.
pub struct SqliteLedger {
    grants: SyncSender<GrantedEvent>,
    /// `None` only while dropping: closing this queue is what ends the writer.
    commands: Option<SyncSender<Command>>,
    shared: Arc<Shared>,
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
        let shared = Arc::new(Shared::default());
        let (grants, granted) = mpsc::sync_channel(GRANTS_WAITING_MAX);
        let (commands, commanded) = mpsc::sync_channel(COMMANDS_WAITING_MAX);
        let writer = Writer::new(connection, granted, commanded, Arc::clone(&shared));
        let writer = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        Ok(Self {
            grants,
            commands: Some(commands),
            shared,
            writer: Some(writer),
        })
    }

    /// Transactions committed since the ledger was opened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
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
    fn record(&self, event: Event) {
        match event {
            Event::Granted(granted) => {
                if self.grants.try_send(granted).is_err() {
                    self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::Refused(refused) => self.shared.refused().count(refused),
        }
    }

    fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
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
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// What the ledger's handle and its writer both touch.
#[derive(Debug, Default)]
struct Shared {
    commits: AtomicU64,
    dropped: AtomicU64,
    refused: Mutex<RefusedCounts>,
}

impl Shared {
    /// Held for one look into a map of a few hundred entries at most.
    fn refused(&self) -> MutexGuard<'_, RefusedCounts> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About a mebibyte; a tenth of a second at 80,000 requests a second.
const GRANTS_WAITING_MAX: usize = 8_192;
const COMMANDS_WAITING_MAX: usize = 1_024;
