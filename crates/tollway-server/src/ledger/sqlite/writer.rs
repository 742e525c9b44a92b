//! The thread that owns the connection.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{iter, mem};

use l402::TokenId;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::owner::Owner;
use super::pending::Pending;
use super::revocation_cursor::RevocationCursor;
use super::{ASKING_MAX, GRANTS_WAITING_MAX, Shared, Unclaimed, statements};
use crate::ledger::{GrantedEvent, LedgerError, Reservation, Reserved, Revocation};

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// Something that is done at once.
pub(super) enum Command {
    Query(Query),
    Write(Write),
}

/// A change that a caller waits for, or that must not be lost.
pub(super) enum Write {
    Commit {
        reservation: Reservation,
        reply: Reply<()>,
    },
    Release(Reservation),
    Reserve {
        token: TokenId,
        uses_max: NonZeroU64,
        reply: Reply<Unclaimed>,
    },
    Revoke {
        revocation: Revocation,
        reply: Reply<()>,
    },
}

/// Reads, once every event so far is written, and sends its own answer.
pub(super) type Query = Box<dyn FnOnce(Result<&Connection, LedgerError>) + Send>;

/// The outcome of one [`Write`] within a transaction.
enum Outcome {
    Done,
    Lost,
    Reserved(Reserved),
}

/// What a transaction survives once it is reported as committed. The strongest comes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Durability {
    /// It is on the disk.
    Disk,
    /// It survives the end of this process, not of the operating system.
    Process,
}

pub(super) struct Writer {
    connection: Connection,
    durability: Durability,
    owner: Owner,
    grants: Receiver<GrantedEvent>,
    commands: Receiver<Command>,
    pending: Pending,
    /// Settlements that could not be written and that no caller will repeat.
    unsettled: Vec<Write>,
    revoked: RevocationCursor,
    shared: Arc<Shared>,
    disk: Disk,
}

/// Whether the last events could be written; a change is logged once, not ten times a second.
#[derive(Clone, Copy)]
enum Disk {
    Failing,
    Working,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        owner: Owner,
        grants: Receiver<GrantedEvent>,
        commands: Receiver<Command>,
        shared: Arc<Shared>,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            revoked: RevocationCursor::at_end(&connection)?,
            connection,
            durability: Durability::Disk,
            owner,
            grants,
            commands,
            pending: Pending::default(),
            unsettled: Vec::new(),
            shared,
            disk: Disk::Working,
        })
    }

    /// Writes until the ledger is dropped, then writes the last events.
    pub(super) fn run(mut self) {
        let mut written_at = Instant::now();
        loop {
            let due = EVENTS_EVERY.saturating_sub(written_at.elapsed());
            match self.commands.recv_timeout(due) {
                Ok(first) => self.execute(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if written_at.elapsed() >= EVENTS_EVERY {
                self.tick();
                written_at = Instant::now();
            }
        }
        self.tick();
    }

    /// What is due ten times a second.
    fn tick(&mut self) {
        self.write(Vec::new());
        self.announce_revocations();
        let written = self.write_events();
        self.report(written);
    }

    /// Executes a command and everything that waits after it.
    fn execute(&mut self, first: Command) {
        let mut writes = Vec::new();
        let mut queries = Vec::new();
        let waiting = self.commands.try_iter().take(ASKING_MAX);
        for command in iter::once(first).chain(waiting) {
            match command {
                Command::Query(query) => queries.push(query),
                Command::Write(write) => writes.push(write),
            }
        }
        let answered = writes.iter().filter(|write| write.is_asked()).count();
        let answered = answered.saturating_add(queries.len());
        self.shared.asking.fetch_sub(answered, Ordering::Relaxed);
        self.write(writes);
        if !queries.is_empty() {
            self.answer(queries);
        }
    }

    /// Writes all in one transaction, in the order they came: all succeed or none does.
    fn write(&mut self, new: Vec<Write>) {
        let mut writes = mem::take(&mut self.unsettled);
        let abandoned = mem::take(&mut *self.shared.abandoned());
        writes.extend(abandoned.into_iter().map(Write::Release));
        // A use that is no longer waited for need not be set aside.
        writes.extend(new.into_iter().filter(|write| !write.is_moot()));
        if writes.is_empty() {
            return;
        }
        let durability = writes.iter().map(Write::durability).min();
        let written = self.transact(
            durability.unwrap_or(Durability::Disk),
            |transaction, owner| {
                let outcomes = writes.iter().map(|write| write.apply(transaction, owner));
                outcomes.collect::<rusqlite::Result<Vec<Outcome>>>()
            },
        );
        let revokes = writes
            .iter()
            .any(|write| matches!(write, Write::Revoke { .. }));
        match written {
            Ok(outcomes) => {
                for (write, outcome) in writes.into_iter().zip(outcomes) {
                    write.report(outcome, &self.shared);
                }
            }
            Err(error) => {
                for write in writes {
                    self.unsettled.extend(write.fail(&error));
                }
            }
        }
        if revokes {
            self.announce_revocations();
        }
    }

    fn announce_revocations(&mut self) {
        let new = match self.revoked.advance(&self.connection) {
            Ok(new) => new,
            // The next tick asks again.
            Err(error) => {
                tracing::warn!(%error, "revocations cannot be read");
                return;
            }
        };
        for observer in self.shared.observers().iter() {
            for revocation in &new {
                observer(*revocation);
            }
        }
    }

    fn answer(&mut self, queries: Vec<Query>) {
        let written = self.write_events();
        for query in queries {
            query(written.clone().map(|()| &self.connection));
        }
    }

    /// What cannot be written stays pending, and is tried again.
    fn write_events(&mut self) -> Result<(), LedgerError> {
        self.fetch_events();
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = mem::take(&mut self.pending);
        let written = self.transact(Durability::Disk, |transaction, _owner| {
            statements::write_events(transaction, &pending)
        });
        if written.is_err() {
            self.pending = pending;
        }
        written
    }

    fn fetch_events(&mut self) {
        self.pending.refuse(mem::take(&mut *self.shared.refused()));
        for _ in 0..GRANTS_WAITING_MAX {
            if self.pending.is_full() {
                return;
            }
            let Ok(granted) = self.grants.try_recv() else {
                return;
            };
            self.pending.grant(granted);
        }
    }

    fn transact<T>(
        &mut self,
        durability: Durability,
        body: impl FnOnce(&Transaction<'_>, &Owner) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        if self.durability != durability {
            let synchronous = durability.synchronous();
            self.connection
                .pragma_update(None, "synchronous", synchronous)?;
            self.durability = durability;
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = body(&transaction, &self.owner)?;
        transaction.commit()?;
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        Ok(value)
    }

    fn report(&mut self, written: Result<(), LedgerError>) {
        match (self.disk, written) {
            (Disk::Working, Err(error)) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(
                    error,
                    "the ledger cannot be written; events are kept for later"
                );
                self.disk = Disk::Failing;
            }
            (Disk::Failing, Ok(())) => {
                tracing::info!("the ledger can be written again");
                self.disk = Disk::Working;
            }
            (Disk::Working, Ok(())) | (Disk::Failing, Err(_)) => {}
        }
    }
}

impl Write {
    /// Returns whether this took one of the places of [`ASKING_MAX`].
    const fn is_asked(&self) -> bool {
        match self {
            Self::Commit { .. } | Self::Release(_) => false,
            Self::Reserve { .. } | Self::Revoke { .. } => true,
        }
    }

    /// Returns whether doing this is of no use.
    fn is_moot(&self) -> bool {
        match self {
            Self::Commit { .. } | Self::Release(_) | Self::Revoke { .. } => false,
            Self::Reserve { reply, .. } => reply.is_closed(),
        }
    }

    /// A reservation ends with its owner, and an owner with the operating system: it need not
    /// outlive either. Forgetting that one was released is no different.
    const fn durability(&self) -> Durability {
        match self {
            Self::Commit { .. } | Self::Revoke { .. } => Durability::Disk,
            Self::Release(_) | Self::Reserve { .. } => Durability::Process,
        }
    }

    fn apply(&self, transaction: &Transaction<'_>, owner: &Owner) -> rusqlite::Result<Outcome> {
        match self {
            Self::Commit { reservation, .. } => {
                let held = statements::commit(transaction, reservation)?;
                Ok(if held { Outcome::Done } else { Outcome::Lost })
            }
            Self::Release(reservation) => {
                statements::release(transaction, reservation)?;
                Ok(Outcome::Done)
            }
            Self::Reserve {
                token, uses_max, ..
            } => statements::reserve(transaction, owner, token, *uses_max).map(Outcome::Reserved),
            Self::Revoke { revocation, .. } => {
                statements::revoke(transaction, *revocation)?;
                Ok(Outcome::Done)
            }
        }
    }

    /// Replies after the transaction. The caller may have gone away.
    fn report(self, outcome: Outcome, shared: &Arc<Shared>) {
        match (self, outcome) {
            (Self::Reserve { reply, .. }, Outcome::Reserved(reserved)) => {
                let _unread = reply.send(Ok(Unclaimed::new(reserved, Arc::clone(shared))));
            }
            (Self::Commit { reply, .. }, Outcome::Lost) => {
                let _unread = reply.send(Err(LedgerError::ReservationLost));
            }
            (Self::Commit { reply, .. } | Self::Revoke { reply, .. }, _) => {
                let _unread = reply.send(Ok(()));
            }
            (Self::Release(_) | Self::Reserve { .. }, _) => {}
        }
    }

    /// Reports a failed transaction, and returns what has to be tried again because no
    /// caller is left to do so.
    fn fail(self, error: &LedgerError) -> Option<Self> {
        match self {
            Self::Commit { ref reply, .. } if reply.is_closed() => Some(self),
            Self::Release(_) => Some(self),
            Self::Commit { reply, .. } | Self::Revoke { reply, .. } => {
                let _unread = reply.send(Err(error.clone()));
                None
            }
            Self::Reserve { reply, .. } => {
                let _unread = reply.send(Err(error.clone()));
                None
            }
        }
    }
}

impl Durability {
    /// The value of SQLite's `synchronous` that gives it, with a write-ahead log.
    const fn synchronous(self) -> &'static str {
        match self {
            Self::Disk => "FULL",
            Self::Process => "NORMAL",
        }
    }
}

/// The most that a crash of the machine can lose of the events.
const EVENTS_EVERY: Duration = Duration::from_millis(100);
