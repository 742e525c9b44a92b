//! Commands for the thread that owns the connection.

use std::num::NonZeroU64;
use std::sync::Arc;

use l402::TokenId;
use rusqlite::{Connection, Transaction};
use tokio::sync::oneshot;

use super::owner::Owner;
use super::{Shared, Unclaimed, statements};
use crate::ledger::{LedgerError, Reservation, Reserved, Revocation};

/// Where the result of a command goes.
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

/// Reads, once every event so far is written, and replies itself.
pub(super) type Query = Box<dyn FnOnce(Result<&Connection, LedgerError>) + Send>;

/// The outcome of one [`Write`] within a transaction.
pub(super) enum Outcome {
    Done,
    Lost,
    Reserved(Reserved),
}

/// What a transaction survives once it is reported as committed. The strongest comes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Durability {
    /// It is on the disk.
    Disk,
    /// It survives the end of this process, not of the operating system.
    Process,
}

impl Write {
    /// Returns whether this took one of the places of [`ASKING_MAX`].
    pub(super) const fn is_asked(&self) -> bool {
        match self {
            Self::Commit { .. } | Self::Release(_) => false,
            Self::Reserve { .. } | Self::Revoke { .. } => true,
        }
    }

    /// Returns whether doing this is of no use.
    pub(super) fn is_moot(&self) -> bool {
        match self {
            Self::Commit { .. } | Self::Release(_) | Self::Revoke { .. } => false,
            Self::Reserve { reply, .. } => reply.is_closed(),
        }
    }

    /// A reservation ends with its owner, and an owner with the operating system: it need not
    /// outlive either. Forgetting that one was released is no different.
    pub(super) const fn durability(&self) -> Durability {
        match self {
            Self::Commit { .. } | Self::Revoke { .. } => Durability::Disk,
            Self::Release(_) | Self::Reserve { .. } => Durability::Process,
        }
    }

    pub(super) fn apply(
        &self,
        transaction: &Transaction<'_>,
        owner: &Owner,
    ) -> rusqlite::Result<Outcome> {
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
    pub(super) fn report(self, outcome: Outcome, shared: &Arc<Shared>) {
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
    pub(super) fn fail(self, error: &LedgerError) -> Option<Self> {
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
    pub(super) const fn synchronous(self) -> &'static str {
        match self {
            Self::Disk => "FULL",
            Self::Process => "NORMAL",
        }
    }
}
