//! What a book needs from a database: two small traits and transactions.
//!
//! Rows are stored and returned as they are. Which row may follow which is decided in
//! [`Book`](super::Book), once for every database.

use std::fmt::Debug;

use l402::{Charged, PaymentHash, UnixSeconds};

use super::{
    BookError, Brake, Purchase, Refusal, SessionId, Spending, StoredCredential, TargetResource,
};
use crate::origin::Origin;

/// Which purchases are read.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// All of them, oldest first.
    All,
    /// Those of which it is not known whether money moved.
    Open,
    /// Those of one origin.
    OpenAt(&'a Origin),
}

/// The purchases.
pub trait PurchaseRows {
    /// Reads one purchase.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn purchase(&self, hash: &PaymentHash) -> Result<Option<Purchase>, BookError>;

    /// Writes one purchase, in place of the one with the same hash.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn put_purchase(&mut self, purchase: &Purchase) -> Result<(), BookError>;

    /// Reads several purchases.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn purchases(&self, which: Which<'_>) -> Result<Vec<Purchase>, BookError>;

    /// Adds up what counts against the limits at `host` and on `utc_day` and later.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn charged(&self, host: &str, utc_day: u64) -> Result<Charged, BookError>;

    /// Adds up the paid and the open purchases of each day and origin, in that order.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn spending(&self) -> Result<Vec<Spending>, BookError>;
}

/// The credentials, where they were refused and presented, and the brakes.
pub trait CredentialRows {
    /// Reads one credential.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn credential(&self, hash: &PaymentHash) -> Result<Option<StoredCredential>, BookError>;

    /// Reads every credential, oldest first.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn credentials(&self) -> Result<Vec<StoredCredential>, BookError>;

    /// Reads the credentials of the resource's origin that are not refused there at `now`:
    /// those bought for the longest matching path first, then those accepted at or above the
    /// path, then the newest. One that was refused at [`REFUSALS_MAX`] resources is left out
    /// where it neither covers the path nor was accepted there.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn candidates(
        &self,
        resource: &TargetResource,
        now: UnixSeconds,
    ) -> Result<Vec<StoredCredential>, BookError>;

    /// Writes one credential, in place of the one with the same hash.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn put_credential(&mut self, credential: &StoredCredential) -> Result<(), BookError>;

    /// Removes one credential, its refusals, acceptances and presentations; returns true when it
    /// was there.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn remove_credential(&mut self, hash: &PaymentHash) -> Result<bool, BookError>;

    /// Reads one refusal.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn refusal(
        &self,
        hash: &PaymentHash,
        resource: &TargetResource,
    ) -> Result<Option<Refusal>, BookError>;

    /// Reads the refusals that are in force at the resource, the latest few.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn refusals_at(
        &self,
        resource: &TargetResource,
        now: UnixSeconds,
    ) -> Result<Vec<Refusal>, BookError>;

    /// Writes one refusal.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn put_refusal(&mut self, refusal: &Refusal) -> Result<(), BookError>;

    /// Removes one refusal.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn remove_refusal(
        &mut self,
        hash: &PaymentHash,
        resource: &TargetResource,
    ) -> Result<(), BookError>;

    /// Removes every refusal of one credential.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn remove_refusals(&mut self, hash: &PaymentHash) -> Result<(), BookError>;

    /// Returns true when a credential was accepted at the path or above it, though it was
    /// bought for another.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn is_accepted(&self, hash: &PaymentHash, path: &str) -> Result<bool, BookError>;

    /// Writes that a credential was accepted at a path. Of each, [`ACCEPTANCES_MAX`] are kept.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn put_acceptance(&mut self, hash: &PaymentHash, path: &str) -> Result<(), BookError>;

    /// Returns the paths at which a credential was accepted though it was bought for another.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn acceptances(&self, hash: &PaymentHash) -> Result<Vec<String>, BookError>;

    /// Returns true when a credential was refused at the path or below it.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn is_refused_below(&self, hash: &PaymentHash, path: &str) -> Result<bool, BookError>;

    /// Removes that a credential was accepted at a path or above it.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn remove_acceptances(&mut self, hash: &PaymentHash, path: &str) -> Result<(), BookError>;

    /// Reads the credentials of an origin with a use that may have delivered nothing: such uses
    /// are counted, or there is a presentation or a holder.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn unsettled(&self, origin: &Origin) -> Result<Vec<StoredCredential>, BookError>;

    /// Counts the credentials of an origin that were bought at `moment` or later, paid for, and
    /// have delivered something.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn delivered_since(&self, origin: &Origin, moment: UnixSeconds) -> Result<u64, BookError>;

    /// Writes that the process of a session presents a credential, and returns the number of this
    /// presentation, which no other that is stored has.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn put_presentation(
        &mut self,
        hash: &PaymentHash,
        session: &SessionId,
    ) -> Result<u64, BookError>;

    /// Reads the presentations of a credential, each with its number.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn presentations(&self, hash: &PaymentHash) -> Result<Vec<(u64, SessionId)>, BookError>;

    /// Removes a presentation; returns true when it was there.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn remove_presentation(&mut self, number: u64) -> Result<bool, BookError>;

    /// Reads the brakes of an origin, those that have ended too.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be read.
    fn brakes(&self, origin: &Origin) -> Result<Vec<Brake>, BookError>;

    /// Writes a brake, in place of the one of the same origin and scope.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn put_brake(&mut self, brake: &Brake) -> Result<(), BookError>;

    /// Removes the brakes of a payment, at every origin.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn remove_brakes(&mut self, hash: &PaymentHash) -> Result<(), BookError>;

    /// Removes the brakes of an origin that end at `now` or before.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the database cannot be written.
    fn remove_brakes_until(&mut self, origin: &Origin, now: UnixSeconds) -> Result<(), BookError>;
}

/// Everything in one transaction.
pub trait Rows: PurchaseRows + CredentialRows {}

impl<T: PurchaseRows + CredentialRows> Rows for T {}

/// A database.
pub trait Storage: Debug + Send + Sync {
    /// Runs `work` on a consistent view.
    ///
    /// # Errors
    ///
    /// [`BookError`] of the database or of `work`.
    fn read(
        &self,
        work: &mut dyn FnMut(&dyn Rows) -> Result<(), BookError>,
    ) -> Result<(), BookError>;

    /// Runs `work` alone, and commits durably what it wrote. After an error nothing of it is
    /// written.
    ///
    /// # Errors
    ///
    /// [`BookError`] of the database or of `work`.
    fn write(
        &self,
        work: &mut dyn FnMut(&mut dyn Rows, &SessionId) -> Result<(), BookError>,
    ) -> Result<(), BookError>;

    /// Returns the session of this process, if it has written anything.
    fn session(&self) -> Option<SessionId>;

    /// Returns true while the process of a session lives.
    ///
    /// # Errors
    ///
    /// [`BookError`] when that cannot be found out.
    fn is_alive(&self, session: &SessionId) -> Result<bool, BookError>;
}

/// How many refusals keep a credential from being tried at unrelated paths.
pub const REFUSALS_MAX: usize = 8;

/// How many paths are remembered at which a credential bought for another one was accepted.
pub const ACCEPTANCES_MAX: usize = 256;

/// How many paths in one folder a credential must be good for to be presented in all of it.
pub(super) const SIBLINGS_MIN: usize = 3;

/// How many candidates are read at once.
pub(super) const CANDIDATES_MAX: usize = 128;
/// How many refusals are read to find out why something is bought again.
pub(super) const RECENT_REFUSALS_MAX: usize = 16;
