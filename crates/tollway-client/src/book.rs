//! The buyer's book: purchases, credentials, and what was learnt about them.
//!
//! A purchase is committed here **before** the wallet is asked, and its outcome after. Whatever
//! kills the process in between, the payment hash, the token and the price are stored, so the
//! payment can be looked up and is not repeated. Every book of one directory, in this process
//! or another, shares one database:
//!
//! - the limits are checked and the reservation is written in one transaction, so two buyers
//!   cannot both spend the last satoshi;
//! - one purchase at a time is made for an origin and path, or for an origin and service where
//!   one token is good for many requests, and few at a time from a seller that has delivered
//!   nothing yet;
//! - the process that works on a purchase is known to be alive by a lock file;
//! - a credential is stored in the transaction that records the payment, and is presented by
//!   its buyer before any other request may use it.
//!
//! How a purchase changes is decided by [`l402::step`]; which database holds the rows, by
//! [`Storage`]: SQLite, or memory.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use l402::{PaymentHash, PurchaseEvent, UnixSeconds};

use crate::origin::Origin;

mod admission;
mod brake;
mod error;
mod memory;
mod ownership;
mod purchase;
mod refusals;
mod rows;
mod session;
mod slow_start;
mod spending;
mod sqlite;
mod upkeep;
mod uses;

pub(crate) use admission::{Admission, BeginError, Rules};
pub(crate) use brake::{BRAKE_SECS, WastedPayment, passed};
pub use brake::{Brake, BrakeCause, BrakeScope};
pub use error::BookError;
pub(crate) use ownership::Ticket;
pub(crate) use purchase::StaleCredential;
pub use purchase::{
    Owner, Purchase, QueryHash, Refusal, SessionId, SoldToken, StoredCredential, TargetResource,
    UseCounts, WalletName,
};
pub(crate) use refusals::Refused;
pub use rows::{ACCEPTANCES_MAX, CredentialRows, PurchaseRows, REFUSALS_MAX, Rows, Storage, Which};
pub use spending::Spending;
pub use upkeep::Resolution;
pub(crate) use uses::{Ending, Evidence, FirstUse, Presentation};

use memory::Memory;
use sqlite::{Reads, Sqlite};

/// The purchases and credentials of one buyer. Clones share one session.
#[derive(Clone)]
pub struct Book {
    shared: Arc<Shared>,
}

struct Shared {
    storage: Box<dyn Storage>,
    file: Option<PathBuf>,
    /// The purchases whose wallet this process is waiting for.
    working: Mutex<HashSet<PaymentHash>>,
    /// The credentials that this process has bought and not presented yet.
    unpresented: Mutex<HashSet<PaymentHash>>,
    /// The marks of presentations whose responses this process waits for.
    presenting: Mutex<HashSet<u64>>,
}

/// What the book holds that matters to one request.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Credentials that may be presented, best first.
    pub(crate) credentials: Vec<StoredCredential>,
    /// Credentials that other requests have just bought and are presenting.
    pub(crate) held: Vec<StoredCredential>,
    /// Purchases from this seller of which it is not known whether money moved.
    pub(crate) open: Vec<(Purchase, Owner)>,
    /// The brakes of the origin that are in force.
    pub(crate) brakes: Vec<Brake>,
    /// Whether another purchase from this seller has to wait for those that are being made.
    pub(crate) is_at_capacity: bool,
    /// Those of the credentials that were refused for this request some time ago.
    pub(crate) refused: HashSet<PaymentHash>,
    /// Those of the credentials that were accepted at or above the path, though bought for
    /// another.
    pub(crate) accepted: HashSet<PaymentHash>,
}

/// Who may use a credential that has just been paid for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Publication {
    /// Its buyer, until it is [published](Book::publish).
    AfterPresenting,
    /// Any request.
    AtOnce,
}

impl Book {
    /// Opens the book in `dir`. The file is created by the first purchase.
    #[must_use]
    pub fn open(dir: &Path) -> Self {
        Self::in_file(Sqlite::new(dir, Reads::ToBuy))
    }

    /// Opens the book in `dir` for reports: reading it changes nothing in `dir`, which may be
    /// a copy or belong to another user, unless the book is of an earlier version of this
    /// program. What other processes are buying meanwhile is read as it is committed.
    #[must_use]
    pub fn open_to_report(dir: &Path) -> Self {
        Self::in_file(Sqlite::new(dir, Reads::ToReport))
    }

    fn in_file(storage: Sqlite) -> Self {
        let file = storage.file().to_owned();
        Self::over(Box::new(storage), Some(file))
    }

    /// Creates a book that ends with its process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::over(Box::<Memory>::default(), None)
    }

    /// Creates a book over a database of the caller's.
    #[must_use]
    pub fn with_storage(storage: Box<dyn Storage>) -> Self {
        Self::over(storage, None)
    }

    fn over(storage: Box<dyn Storage>, file: Option<PathBuf>) -> Self {
        Self {
            shared: Arc::new(Shared {
                storage,
                file,
                working: Mutex::default(),
                unpresented: Mutex::default(),
                presenting: Mutex::default(),
            }),
        }
    }

    /// Returns the database file, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.shared.file.as_deref()
    }

    /// Returns what matters to one request.
    pub(crate) fn view(
        &self,
        resource: &TargetResource,
        now: UnixSeconds,
    ) -> Result<View, BookError> {
        self.read(|rows| {
            let open = rows.purchases(Which::OpenAt(&resource.origin))?;
            let mut view = View {
                credentials: Vec::new(),
                held: Vec::new(),
                open: self.with_owners(open)?,
                brakes: brake::in_force(rows, &resource.origin, now)?,
                is_at_capacity: self.is_at_capacity(rows, &resource.origin, now)?,
                refused: HashSet::new(),
                accepted: HashSet::new(),
            };
            for candidate in rows.candidates(resource, now)? {
                let hash = candidate.payment_hash();
                if rows.refusal(&hash, resource)?.is_some() {
                    view.refused.insert(hash);
                }
                if rows.is_accepted(&hash, &resource.path)? {
                    view.accepted.insert(hash);
                }
                if self.is_held(&candidate)? {
                    view.held.push(candidate);
                } else if !candidate.is_expired(now) {
                    view.credentials.push(candidate);
                }
            }
            Ok(view)
        })
    }

    /// Returns the open purchases of one origin.
    pub(crate) fn open_at(&self, origin: &Origin) -> Result<Vec<(Purchase, Owner)>, BookError> {
        self.with_owners(self.read(|rows| rows.purchases(Which::OpenAt(origin)))?)
    }

    /// Records what happened to a purchase, durably, and returns it as it is then. A paid one
    /// has its credential stored with it. An event that cannot follow changes nothing: another
    /// process was first with the same outcome.
    pub(crate) fn settle(
        &self,
        hash: &PaymentHash,
        event: PurchaseEvent,
        reason: &str,
        publication: Publication,
    ) -> Result<Purchase, BookError> {
        if publication == Publication::AfterPresenting {
            lock(&self.shared.unpresented).insert(*hash);
        }
        self.write(|rows, session| {
            let purchase = rows.purchase(hash)?;
            let mut purchase = purchase.ok_or(BookError::Unknown { hash: *hash })?;
            let Ok((state, _action)) = l402::step(hash, &purchase.state, event) else {
                return Ok(purchase);
            };
            purchase.state = state;
            reason.clone_into(&mut purchase.reason);
            rows.put_purchase(&purchase)?;
            if let Some(mut credential) = purchase.credential() {
                credential.holder = match publication {
                    Publication::AfterPresenting => Some(session.clone()),
                    Publication::AtOnce => None,
                };
                rows.put_credential(&credential)?;
            }
            Ok(purchase)
        })
    }

    /// Lets requests of this process use a credential whose buyer does not present it.
    pub(crate) fn release(&self, hash: &PaymentHash) {
        lock(&self.shared.unpresented).remove(hash);
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&dyn Rows) -> Result<T, BookError>,
    ) -> Result<T, BookError> {
        let (mut work, mut done) = (Some(work), None);
        self.shared.storage.read(&mut |rows| {
            done = work.take().map(|work| work(rows)).transpose()?;
            Ok(())
        })?;
        Ok(done.expect("the storage ran the work"))
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&mut dyn Rows, &SessionId) -> Result<T, BookError>,
    ) -> Result<T, BookError> {
        let (mut work, mut done) = (Some(work), None);
        self.shared.storage.write(&mut |rows, session| {
            done = work.take().map(|work| work(rows, session)).transpose()?;
            Ok(())
        })?;
        Ok(done.expect("the storage ran the work"))
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book")
            .field("storage", &self.shared.storage)
            .finish_non_exhaustive()
    }
}

/// A panic elsewhere leaves these values whole: each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
