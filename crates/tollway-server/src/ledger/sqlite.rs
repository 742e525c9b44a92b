//! A ledger on disk, shared by the processes of one machine.
//!
//! One thread owns the connection. Grants reach it over a bounded queue that senders never wait
//! for and never wake it through, refusals as running counts; it fetches both ten times a
//! second, adds them up and writes them in one transaction. Uses and revocations go over a
//! second queue and are written at once, everything that is waiting in one transaction: the
//! more are waiting, the fewer commits each of them costs.
//!
//! A use and a revocation reach the disk before they are reported (`synchronous=FULL`).
//! Reserving a use does not wait for the disk (`NORMAL`): a crash of the operating system that
//! could lose it also ends the process that holds it, and a reservation ends with its process.
//! A crash therefore loses at most the events of the last tenth of a second, and no use and no
//! revocation.
//!
//! Several processes, and several ledgers of one process, may have the file open. Each is the
//! [owner](owner) of its reservations; what an owner leaves behind when it ends is released by
//! the next that opens the file or that needs the use. Revocations of other processes are
//! looked for ten times a second.
//!
//! Events never stand in the way of commands: they are separate transactions.

mod command;
mod identity;
mod offers;
mod opened_file;
mod owner;
mod pending;
mod reader;
mod revocation_cursor;
mod schema;
mod statements;
mod writer;

use std::fmt;
use std::fs;
use std::future;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use futures_util::TryFutureExt;
use futures_util::future::BoxFuture;
use l402::TokenId;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{oneshot, watch};

use self::command::{Command, Reply, Write};
pub(crate) use self::identity::identify;
pub use self::offers::{Offer, Sale, SaleConflict};
use self::opened_file::OpenedFile;
use self::owner::Owner;
use self::pending::RefusedCounts;
pub use self::reader::LedgerReader;
pub use self::schema::LedgerOpenError;
use self::writer::Writer;
use super::{
    EventLog, GrantedEvent, LedgerError, LedgerEvent, LedgerId, Period, Refusals, Reports,
    Reservation, Reserved, Revocation, RevocationObserver, Revocations, Sales, TokenRecord, Uses,
};

/// A [`Ledger`](super::Ledger) in one SQLite file. Dropping it writes the last events and
/// waits for that.
pub struct SqliteLedger {
    id: LedgerId,
    grants: SyncSender<GrantedEvent>,
    /// `None` only while dropping: closing this queue is what ends the writer.
    commands: Option<Sender<Command>>,
    shared: Arc<Shared>,
    /// Closed when the writer has ended.
    running: watch::Receiver<()>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteLedger {
    /// Opens the ledger at `path`, creating it for the owner's eyes only if it is not there.
    ///
    /// Reservations of processes that have ended are released. Blocks on the disk: call it
    /// before serving.
    ///
    /// # Errors
    ///
    /// [`LedgerOpenError`], naming the file and what to do about it. Nothing was changed then.
    pub fn open(path: &Path) -> Result<Self, LedgerOpenError> {
        Self::start(schema::open(path)?, path, None)
    }

    /// Opens the ledger at `path` as [`open`](Self::open) does, and records that a key file
    /// belongs to it. Fails when `sale` is in conflict with what others sell with it.
    pub(crate) fn open_with_key(path: &Path, sale: Option<&Sale>) -> Result<Self, LedgerOpenError> {
        let connection = schema::open(path)?;
        identity::mark_key(&connection).map_err(|source| LedgerOpenError::Store {
            path: path.to_owned(),
            source,
        })?;
        Self::start(connection, path, sale)
    }

    fn start(
        mut connection: Connection,
        path: &Path,
        sale: Option<&Sale>,
    ) -> Result<Self, LedgerOpenError> {
        // Those who open it through a link lock the same files.
        let path = &fs::canonicalize(path).map_err(|source| LedgerOpenError::File {
            path: path.to_owned(),
            source,
        })?;
        let owner = Owner::claim(path).map_err(|source| LedgerOpenError::Lock {
            path: path.to_owned(),
            source,
        })?;
        let store = |source| LedgerOpenError::Store {
            path: path.to_owned(),
            source,
        };
        release_abandoned(&mut connection, &owner).map_err(store)?;
        if let Some(sale) = sale {
            let registered = offers::register(&mut connection, &owner, sale).map_err(store)?;
            registered.map_err(|source| LedgerOpenError::Sale {
                path: path.to_owned(),
                source,
            })?;
        }
        let id = identity::id(&connection).map_err(store)?;
        let shared = Arc::new(Shared::default());
        let (grants, granted) = mpsc::sync_channel(GRANTS_WAITING_MAX);
        let (commands, commanded) = mpsc::channel();
        let writer = Writer::new(
            connection,
            owner,
            granted,
            commanded,
            Arc::clone(&shared),
            OpenedFile::at(path),
        );
        let writer = writer.map_err(store)?;
        let (ends_with_thread, running) = watch::channel(());
        let writer = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                let _ends_with_thread = ends_with_thread;
                writer.run();
            })
            .map_err(LedgerOpenError::Thread)?;
        Ok(Self {
            id,
            grants,
            commands: Some(commands),
            shared,
            running,
            writer: Some(writer),
        })
    }

    /// Returns the id of the ledger.
    #[must_use]
    pub const fn id(&self) -> LedgerId {
        self.id
    }

    /// Waits until the ledger has stopped for good: its file was removed or exchanged, or its
    /// thread has panicked.
    ///
    /// Nothing can be counted or revoked from then on.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut running = self.running.clone();
        async move { while running.changed().await.is_ok() {} }
    }

    /// Returns the transactions committed since the ledger was opened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// Queues a command at once, and waits for its result when polled.
    ///
    /// No more than [`ASKING_MAX`] wait at once. Commits do not count: there is no more than
    /// one for each reservation, and it must not fail for lack of room.
    fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> BoxFuture<'static, Result<T, LedgerError>> {
        if self.shared.asking.fetch_add(1, Ordering::Relaxed) >= ASKING_MAX {
            self.shared.asking.fetch_sub(1, Ordering::Relaxed);
            return Box::pin(future::ready(Err(LedgerError::Busy)));
        }
        self.queue(command)
    }

    fn queue<T: Send + 'static>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> BoxFuture<'static, Result<T, LedgerError>> {
        let (reply, result) = oneshot::channel();
        let queued = self.send(command(reply));
        Box::pin(async move {
            queued?;
            result.await.unwrap_or(Err(LedgerError::Stopped))
        })
    }

    fn send(&self, command: Command) -> Result<(), LedgerError> {
        let commands = self.commands.as_ref().ok_or(LedgerError::Stopped)?;
        commands.send(command).map_err(|_| LedgerError::Stopped)
    }

    /// Reads with every event so far written.
    fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, LedgerError>> {
        self.ask(|reply| {
            Command::Query(Box::new(move |connection| {
                let result = connection.and_then(|connection| Ok(read(connection)?));
                // The asking side may have gone away.
                let _unread = reply.send(result);
            }))
        })
    }
}

/// This owner has just taken its number, so what is reserved under it is a predecessor's.
fn release_abandoned(connection: &mut Connection, owner: &Owner) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    statements::release_all(&transaction, owner.number)?;
    offers::withdraw(&transaction, owner.number)?;
    statements::release_dead(&transaction, owner, None)?;
    transaction.commit()
}

impl Uses for SqliteLedger {
    fn reserve(
        &self,
        token: TokenId,
        uses_max: NonZeroU64,
    ) -> BoxFuture<'_, Result<Reserved, LedgerError>> {
        let reserved = self.ask(|reply| {
            Command::Write(Write::Reserve {
                token,
                uses_max,
                reply,
            })
        });
        Box::pin(reserved.map_ok(Unclaimed::claim))
    }

    fn commit(&self, reservation: Reservation) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.queue(|reply| Command::Write(Write::Commit { reservation, reply }))
    }

    fn is_working(&self) -> bool {
        !self.shared.failing.load(Ordering::Relaxed) && self.running.has_changed().is_ok()
    }

    fn release(&self, reservation: Reservation) {
        // A writer that has stopped has ended its reservations, too.
        let _stopped = self.send(Command::Write(Write::Release(reservation)));
    }
}

impl Revocations for SqliteLedger {
    fn revoke(&self, revocation: Revocation) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.ask(|reply| Command::Write(Write::Revoke { revocation, reply }))
    }

    fn all(&self) -> BoxFuture<'_, Result<Vec<Revocation>, LedgerError>> {
        self.query(statements::revocations)
    }

    fn watch(&self, observer: RevocationObserver) {
        self.shared.observers().push(observer);
    }
}

impl EventLog for SqliteLedger {
    fn record(&self, event: LedgerEvent) {
        match event {
            LedgerEvent::Granted(granted) => {
                if let Err(TrySendError::Full(lost) | TrySendError::Disconnected(lost)) =
                    self.grants.try_send(granted)
                {
                    let requests = lost.requests.take();
                    self.shared.dropped.fetch_add(requests, Ordering::Relaxed);
                }
            }
            LedgerEvent::Refused(refused) => self.shared.refused().count(refused),
        }
    }

    fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Reports for SqliteLedger {
    fn sales(&self, period: Period) -> BoxFuture<'_, Result<Vec<Sales>, LedgerError>> {
        self.query(move |connection| statements::sales(connection, period))
    }

    fn refusals(&self, period: Period) -> BoxFuture<'_, Result<Vec<Refusals>, LedgerError>> {
        self.query(move |connection| statements::refusals(connection, period))
    }

    fn token(&self, token: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, LedgerError>> {
        self.query(move |connection| statements::token(connection, &token))
    }

    fn tokens(
        &self,
        period: Period,
        count_max: usize,
    ) -> BoxFuture<'_, Result<Vec<TokenRecord>, LedgerError>> {
        self.query(move |connection| statements::tokens(connection, period, count_max))
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
            .field("commits", &self.shared.commits)
            .field("dropped", &self.shared.dropped)
            .finish_non_exhaustive()
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// What the ledger's handle and its writer both touch.
#[derive(Default)]
struct Shared {
    abandoned: Mutex<Vec<Reservation>>,
    asking: AtomicUsize,
    commits: AtomicU64,
    dropped: AtomicU64,
    /// Whether the last events could not be written.
    failing: AtomicBool,
    observers: Mutex<Vec<RevocationObserver>>,
    refused: Mutex<RefusedCounts>,
}

impl Shared {
    /// Reservations whose requests were dropped before they received them.
    fn abandoned(&self) -> MutexGuard<'_, Vec<Reservation>> {
        lock(&self.abandoned)
    }

    fn observers(&self) -> MutexGuard<'_, Vec<RevocationObserver>> {
        lock(&self.observers)
    }

    /// Held for one look into a map of a few hundred entries at most.
    fn refused(&self) -> MutexGuard<'_, RefusedCounts> {
        lock(&self.refused)
    }
}

/// Every change under these locks is a single step, so a poisoned one guards whole values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The result of a reservation on its way to its request. If the request is gone by then,
/// the use is released.
struct Unclaimed {
    reserved: Reserved,
    shared: Option<Arc<Shared>>,
}

impl Unclaimed {
    fn new(reserved: Reserved, shared: Arc<Shared>) -> Self {
        Self {
            reserved,
            shared: Some(shared),
        }
    }

    fn claim(mut self) -> Reserved {
        self.shared = None;
        self.reserved
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let (Some(shared), Reserved::Held { reservation, .. }) = (&self.shared, self.reserved) {
            shared.abandoned().push(reservation);
        }
    }
}

/// About a mebibyte. A credential that is remembered has one at a time, so this is the number of
/// others in a tenth of a second.
const GRANTS_WAITING_MAX: usize = 8_192;
/// Reservations, revocations and queries that may wait at once.
const ASKING_MAX: usize = 1_024;
