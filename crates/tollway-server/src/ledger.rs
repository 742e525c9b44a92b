//! What the gate keeps: counted uses, revocations, events and reports.
//!
//! Four traits, because not every store can do everything: [`Uses`], [`Revocations`],
//! [`EventLog`] and [`Reports`]. [`Stores`] names the store for each of them for one gate; a store
//! that does all of it is a [`Ledger`]. None of them sees a type that belongs to HTTP.
//!
//! Committing, releasing and revoking take effect when called, not when polled: a future that is
//! dropped has still committed the use or kept the revocation.
//!
//! Events are handed over without waiting, and a log that cannot keep up drops them and counts
//! them. Two things are never dropped, because money depends on them: a committed use is
//! durable before the response goes out, and a revocation before it is reported as kept.
//!
//! Nothing is written for a challenge that was not paid.

mod id;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tally;

use std::error::Error;
use std::fmt::Debug;
use std::num::NonZeroU64;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use l402::{Msat, PaymentHash, TokenId, UnixSeconds};

pub use self::id::{LedgerId, LedgerIdError};
pub use self::memory::MemoryLedger;
#[cfg(feature = "sqlite")]
pub(crate) use self::sqlite::identify;
#[cfg(feature = "sqlite")]
pub use self::sqlite::{LedgerOpenError, LedgerReader, Offer, Sale, SaleConflict, SqliteLedger};
pub use self::tally::Tally;
use crate::name::ServiceName;
use crate::reason::ReasonCode;

/// Counted uses of tokens, taken in two steps.
///
/// A use is reserved before its request is forwarded and committed before the response goes
/// out. Uses are counted per token id, so that narrowing a token does not multiply them:
/// committed uses and reservations together never exceed what the token is good for.
///
/// A reservation ends with the process that made it: the uses it held are then free again.
pub trait Uses: Debug + Send + Sync {
    /// Sets aside one use of a token that is good for `uses_max` in all.
    ///
    /// A use whose future is dropped before it returned is not set aside.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: no use is set aside and the request must not go on.
    fn reserve(
        &self,
        token: TokenId,
        uses_max: NonZeroU64,
    ) -> BoxFuture<'_, Result<Reserved, LedgerError>>;

    /// Turns a reservation into a use, durably.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: whether the use was taken is unknown, and the response must not go out.
    fn commit(&self, reservation: Reservation) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Returns false while uses are known not to be taken: what would count them fails.
    ///
    /// Asked before a counted token is sold. Never waits.
    fn is_working(&self) -> bool {
        true
    }

    /// Gives a reservation back. Never waits; a reservation that is gone is left alone.
    fn release(&self, reservation: Reservation);
}

/// Revocations, kept for good and shared by every gate on the same store.
pub trait Revocations: Debug + Send + Sync {
    /// Keeps a revocation. Revoking twice is revoking once.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it is not known to be kept; repeating it is safe.
    fn revoke(&self, revocation: Revocation) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Returns every revocation kept.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when they cannot be read.
    fn all(&self) -> BoxFuture<'_, Result<Vec<Revocation>, LedgerError>>;

    /// Calls `observer` with every revocation kept from this moment on, within a second, no
    /// matter which process revoked.
    ///
    /// The observer is called on a thread of the store's own and must not block. It may be
    /// called more than once with the same revocation.
    fn watch(&self, observer: RevocationObserver);
}

/// Is called with revocations; see [`Revocations::watch`].
pub type RevocationObserver = Box<dyn Fn(Revocation) + Send + Sync>;

/// What happened at the gate, written off the request path.
pub trait EventLog: Debug + Send + Sync {
    /// Hands over an event. Never waits, never fails: see [`dropped`](Self::dropped).
    fn record(&self, event: LedgerEvent);

    /// Returns the events lost since the log was opened, because they came faster than they
    /// could be written. Alert if this increases.
    fn dropped(&self) -> u64;
}

/// What was sold and refused.
pub trait Reports: Debug + Send + Sync {
    /// Returns what each service earned in a period, all events so far included, by name.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it cannot be read.
    fn sales(&self, period: Period) -> BoxFuture<'_, Result<Vec<Sales>, LedgerError>>;

    /// Returns what was refused in a period and why, all events so far included, by service
    /// and reason.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it cannot be read.
    fn refusals(&self, period: Period) -> BoxFuture<'_, Result<Vec<Refusals>, LedgerError>>;

    /// Returns what is known about a token; `None` when it never bought anything.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it cannot be read.
    fn token(&self, token: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, LedgerError>>;

    /// Returns the tokens first used in a period, those used first last come first, and no
    /// more than `count_max` of them.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when they cannot be read.
    fn tokens(
        &self,
        period: Period,
        count_max: usize,
    ) -> BoxFuture<'_, Result<Vec<TokenRecord>, LedgerError>>;
}

/// Which events a report counts. The ledger adds up whole UTC days.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Period {
    /// All of them.
    AllTime,
    /// Those of the UTC day of this moment, and all later ones.
    SinceDayOf(UnixSeconds),
}

impl Period {
    /// Returns the first UTC day, counted from the epoch.
    const fn first_day(self) -> u64 {
        match self {
            Self::AllTime => 0,
            Self::SinceDayOf(moment) => moment.utc_day(),
        }
    }
}

/// A store that keeps everything.
pub trait Ledger: Uses + Revocations + EventLog + Reports {}

impl<T: Uses + Revocations + EventLog + Reports + ?Sized> Ledger for T {}

/// The stores of one gate, by what they keep.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Where uses are counted.
    pub uses: Arc<dyn Uses>,
    /// Where revocations are kept.
    pub revocations: Arc<dyn Revocations>,
    /// Where events are written.
    pub events: Arc<dyn EventLog>,
    /// Where reports are read; `None` when no store keeps any.
    pub reports: Option<Arc<dyn Reports>>,
}

/// One ledger for everything.
impl<T: Ledger + 'static> From<Arc<T>> for Stores {
    fn from(ledger: Arc<T>) -> Self {
        Self {
            uses: Arc::clone(&ledger) as _,
            revocations: Arc::clone(&ledger) as _,
            events: Arc::clone(&ledger) as _,
            reports: Some(ledger),
        }
    }
}

/// One ledger for everything.
impl From<Arc<dyn Ledger>> for Stores {
    fn from(ledger: Arc<dyn Ledger>) -> Self {
        Self {
            uses: Arc::clone(&ledger) as _,
            revocations: Arc::clone(&ledger) as _,
            events: Arc::clone(&ledger) as _,
            reports: Some(ledger),
        }
    }
}

/// One use that is set aside. Of meaning to the store that made it only.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[must_use = "a reservation holds a paid use until it is committed or released"]
pub struct Reservation {
    /// The token.
    pub token: TokenId,
    /// The store's number for this reservation; never used twice.
    pub id: i64,
}

/// The outcome of asking for a use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reserved {
    /// Every use has been committed.
    Exhausted,
    /// One use is set aside.
    Held {
        /// The use.
        reservation: Reservation,
        /// Uses that are neither committed nor set aside after this one.
        left: u64,
    },
    /// No use is free: those that are left are set aside for requests still being served.
    InUse,
}

/// Something that happened at the gate, to be recorded once.
#[derive(Debug)]
pub enum LedgerEvent {
    /// A credential bought a request.
    Granted(GrantedEvent),
    /// A request was refused.
    Refused(RefusedEvent),
}

/// A credential bought requests. The first event of a token is its payment.
#[derive(Debug)]
pub struct GrantedEvent {
    /// The token.
    pub token: TokenId,
    /// The payment that bought it.
    pub payment_hash: PaymentHash,
    /// The service requested.
    pub service: ServiceName,
    /// What the token cost; `None` when the token does not state it.
    pub paid: Option<Msat>,
    /// The requests it buys in all; `None` for any number.
    pub uses_max: Option<NonZeroU64>,
    /// How many requests; more may be added until the ledger takes them.
    pub requests: Tally,
    /// The time of the first of them.
    pub at: UnixSeconds,
}

/// A request was refused.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RefusedEvent {
    /// The service requested.
    pub service: ServiceName,
    /// Why.
    pub reason: ReasonCode,
    /// The time.
    pub at: UnixSeconds,
}

/// Tokens that are no longer honoured.
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
    /// The number of refusals.
    pub count: u64,
}

/// What is known about a token that bought something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenRecord {
    /// The token.
    pub token: TokenId,
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
    /// Uses taken of it, if they are counted.
    pub uses: u64,
    /// The uses it was good for when it was first used; `None` for any number. A holder may
    /// have narrowed what was presented.
    pub uses_max: Option<NonZeroU64>,
}

/// Why a store failed. Our failure, never the client's.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// More is waiting to be written than the ledger accepts.
    #[error("the ledger has too much to write")]
    Busy,
    /// The reservation to commit no longer exists.
    #[error("the reservation was taken away: was a lock file of the ledger deleted?")]
    ReservationLost,
    /// The ledger has stopped for good.
    #[error("the ledger has stopped")]
    Stopped,
    /// The store failed.
    #[error("the ledger's store failed")]
    Store(#[source] Arc<dyn Error + Send + Sync>),
}
