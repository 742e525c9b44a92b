//! What was sold, what was refused, and what may no longer be used?
//!
//! A [`Ledger`] is written beside the road of a request, not on it: a [`Event`] is handed over
//! without waiting, and a ledger that cannot keep up drops notes and counts them. Two things
//! are different because somebody would lose by them: a counted use is durable before the
//! request goes on, and a revocation before it is reported as done.
//!
//! Nothing is written for a challenge nobody paid.

mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::error::Error;
use std::fmt::Debug;
use std::num::NonZeroU64;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use l402::{Msat, PaymentHash, TokenId, UnixSeconds};

pub use self::memory::MemoryLedger;
#[cfg(feature = "sqlite")]
pub use self::sqlite::{OpenError, SqliteLedger};
use crate::name::ServiceName;
use crate::reason::ReasonCode;

/// The seller's books.
pub trait Ledger: Debug + Send + Sync {
    /// Hands over a note. Never waits, never fails: see [`dropped`](Self::dropped).
    fn record(&self, event: Event);

    /// Grants lost since this ledger was opened, because they came faster than they could be
    /// written down. A number worth an alarm when it moves.
    fn dropped(&self) -> u64;

    /// Takes one use of a token that is good for `uses_max` in all.
    ///
    /// Counted per token id, so that narrowing a token does not multiply its uses. When this
    /// returns, the use is gone, whatever becomes of the request. Dropping the future may
    /// still take it.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: whether the use was taken is unknown, and the request must not go on.
    fn consume(
        &self,
        token: TokenId,
        uses_max: NonZeroU64,
    ) -> BoxFuture<'_, Result<Use, LedgerError>>;

    /// Keeps a revocation for good. Revoking twice is revoking once.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it is not known to be kept; repeating it is safe.
    fn revoke(&self, revocation: Revocation) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Every revocation kept.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when they cannot be read.
    fn revocations(&self) -> BoxFuture<'_, Result<Vec<Revocation>, LedgerError>>;

    /// What each service earned, all notes so far included, by name.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it cannot be read.
    fn sales(&self) -> BoxFuture<'_, Result<Vec<Sales>, LedgerError>>;

    /// What was refused and why, all notes so far included, by service and reason.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it cannot be read.
    fn refusals(&self) -> BoxFuture<'_, Result<Vec<Refusals>, LedgerError>>;

    /// What is known about a token; `None` when it never bought anything.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it cannot be read.
    fn token(&self, token: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, LedgerError>>;
}

/// Something that happened at the gate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A credential bought a request.
    Granted(GrantedEvent),
    /// A request was refused.
    Refused(RefusedEvent),
}

/// A credential bought a request. The first one of a token is its payment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GrantedEvent {
    /// The token.
    pub token: TokenId,
    /// The payment that bought it.
    pub payment_hash: PaymentHash,
    /// The service requested.
    pub service: ServiceName,
    /// What the token cost; `None` when its issuer did not say.
    pub paid: Option<Msat>,
    /// When.
    pub at: UnixSeconds,
}

/// A request was refused.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RefusedEvent {
    /// The service requested.
    pub service: ServiceName,
    /// Why.
    pub reason: ReasonCode,
    /// When.
    pub at: UnixSeconds,
}

/// What asking for a use came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Use {
    /// None was left.
    Exhausted,
    /// One was taken.
    Taken {
        /// How many are left.
        left: u64,
    },
}

/// Something that may no longer be used.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Revocation {
    /// Every token minted before this moment. The latest such moment counts.
    MintedBefore(UnixSeconds),
    /// One token, and all narrowed from it.
    Token(TokenId),
}

/// What a service earned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sales {
    /// The service.
    pub service: ServiceName,
    /// Tokens whose first use was for this service.
    pub payments: u64,
    /// What those tokens cost in all, in millisatoshis.
    pub revenue: Msat,
    /// Those among them whose price is not known, and is missing in `revenue`.
    pub unpriced: u64,
    /// Requests granted, whatever service the token was first used for.
    pub requests: u64,
}

/// How often a service was refused for one reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusals {
    /// The service.
    pub service: ServiceName,
    /// The reason, as clients see it.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// What is known about a token that bought something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenRecord {
    /// The payment that bought it.
    pub payment_hash: PaymentHash,
    /// The service it was first used for.
    pub service: ServiceName,
    /// What it cost, when known.
    pub paid: Option<Msat>,
    /// When it was first used.
    pub first_used_at: UnixSeconds,
    /// When it was last used.
    pub last_used_at: UnixSeconds,
    /// Requests it was granted.
    pub requests: u64,
}

/// Why the ledger did not answer. Our failure, never the client's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// More is waiting to be written than the ledger accepts.
    #[error("the ledger has too much to write down")]
    Busy,
    /// The ledger has stopped and will not answer again.
    #[error("the ledger has stopped")]
    Stopped,
    /// The store failed.
    #[error("the ledger's store failed")]
    Store(#[source] Arc<dyn Error + Send + Sync>),
}
