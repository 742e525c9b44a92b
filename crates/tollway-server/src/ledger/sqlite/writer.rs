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

use super::pending::Pending;
use super::{COMMANDS_WAITING_MAX, GRANTS_WAITING_MAX, Shared, statements};
use crate::ledger::{GrantedEvent, LedgerError, Revocation, Use};

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// Something somebody waits for.
pub(super) enum Command {
    Consume(Consume),
    Query(Query),
    Revoke(Revoke),
}

pub(super) struct Consume {
    pub(super) token: TokenId,
    pub(super) uses_max: NonZeroU64,
    pub(super) reply: Reply<Use>,
}

pub(super) struct Revoke {
    pub(super) revocation: Revocation,
    pub(super) reply: Reply<()>,
}

/// Reads, once every note so far is written, and sends its own answer.
pub(super) type Query = Box<dyn FnOnce(Result<&Connection, LedgerError>) + Send>;

pub(super) struct Writer {
    connection: Connection,
    grants: Receiver<GrantedEvent>,
    commands: Receiver<Command>,
    pending: Pending,
    shared: Arc<Shared>,
    disk: Disk,
}

/// Whether the last notes could be written: the log says so once, not ten times a second.
#[derive(Clone, Copy)]
enum Disk {
    Failing,
    Working,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        grants: Receiver<GrantedEvent>,
        commands: Receiver<Command>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            connection,
            grants,
            commands,
            pending: Pending::default(),
            shared,
            disk: Disk::Working,
        }
    }

    /// Writes until nobody can send commands any more, then writes the last notes.
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
                let written = self.write_events();
                self.report(written);
                written_at = Instant::now();
            }
        }
        let written = self.write_events();
        self.report(written);
    }

    /// Executes a command and everything that is waiting behind it.
    fn execute(&mut self, first: Command) {
        let mut consumes = Vec::new();
        let mut revokes = Vec::new();
        let mut queries = Vec::new();
        let waiting = self.commands.try_iter().take(COMMANDS_WAITING_MAX);
        for command in iter::once(first).chain(waiting) {
            match command {
                Command::Consume(consume) => consumes.push(consume),
                Command::Query(query) => queries.push(query),
                Command::Revoke(revoke) => revokes.push(revoke),
            }
        }
        // Nobody waits for these any more, so no use need be lost for them.
        consumes.retain(|consume: &Consume| !consume.reply.is_closed());
        if !consumes.is_empty() || !revokes.is_empty() {
            self.write(consumes, revokes);
        }
        if !queries.is_empty() {
            self.answer(queries);
        }
    }

    /// One transaction for all: either everybody is told of success, or nobody is.
    fn write(&mut self, consumes: Vec<Consume>, revokes: Vec<Revoke>) {
        let written = self.transact(|transaction| {
            for revoke in &revokes {
                statements::revoke(transaction, revoke.revocation)?;
            }
            consumes
                .iter()
                .map(|take| statements::consume(transaction, &take.token, take.uses_max.get()))
                .collect::<rusqlite::Result<Vec<Use>>>()
        });
        // Whoever stopped waiting for an answer does without.
        match written {
            Ok(uses) => {
                for (consume, outcome) in consumes.into_iter().zip(uses) {
                    let _unread = consume.reply.send(Ok(outcome));
                }
                for revoke in revokes {
                    let _unread = revoke.reply.send(Ok(()));
                }
            }
            Err(error) => {
                for consume in consumes {
                    let _unread = consume.reply.send(Err(error.clone()));
                }
                for revoke in revokes {
                    let _unread = revoke.reply.send(Err(error.clone()));
                }
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
        let written = self.transact(|transaction| statements::write_events(transaction, &pending));
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
        body: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = body(&transaction)?;
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
                    "the ledger cannot be written; notes are kept for later"
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

/// What a crash can lose of the notes.
const EVENTS_EVERY: Duration = Duration::from_millis(100);
