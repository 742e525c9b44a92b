//! The thread that owns the connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{iter, mem};

use l402::{Msat, TokenId};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::command::{Command, Durability, Outcome, Query, Write};
use super::opened_file::OpenedFile;
use super::owner::Owner;
use super::pending::Pending;
use super::revocation_cursor::RevocationCursor;
use super::{ASKING_MAX, GRANTS_WAITING_MAX, Shared, statements};
use crate::ledger::{GrantedEvent, LedgerError};

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
    file: OpenedFile,
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
        file: OpenedFile,
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
            file,
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
                if self.file.is_gone() {
                    let path = self.file.path().display();
                    tracing::error!(%path, "the ledger was removed or exchanged while in use");
                    return;
                }
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
        let taken = writes.iter().filter(|write| write.is_asked()).count();
        let taken = taken.saturating_add(queries.len());
        self.shared.asking.fetch_sub(taken, Ordering::Relaxed);
        self.write(writes);
        if !queries.is_empty() {
            self.query(queries);
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
            // The next tick reads again.
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

    fn query(&mut self, queries: Vec<Query>) {
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
        match written {
            Ok(new) => {
                log_first_uses(&pending, &new);
                Ok(())
            }
            Err(error) => {
                self.pending = pending;
                Err(error)
            }
        }
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
        self.shared
            .failing
            .store(written.is_err(), Ordering::Relaxed);
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

/// Logs the moments from which sales are counted: a token that is never used is not known.
fn log_first_uses(pending: &Pending, new: &[TokenId]) {
    for token in new {
        let Some(note) = pending.tokens.get(token) else {
            continue;
        };
        let price = note.paid_msat.and_then(|msat| u64::try_from(msat).ok());
        let price = price.map(|msat| tracing::field::display(Msat::from_msat(msat)));
        let service = note.service.as_str();
        let payment_hash = &note.payment_hash;
        tracing::info!(service, price, %payment_hash, "first use of a token");
    }
}

/// The most that a crash of the machine can lose of the events.
const EVENTS_EVERY: Duration = Duration::from_millis(100);
