//! The buyer's book: purchases, credentials, and what was learnt about them.
//!
//! A purchase is committed here **before** the wallet is asked, and its outcome after. Whatever
//! kills the process in between, the payment hash, the token and the price are stored, so the
//! payment can be looked up and is not repeated. Every book of one directory, in this process
//! or another, shares one database:
//!
//! - the limits are checked and the reservation is written in one transaction, so two buyers
//!   cannot both spend the last satoshi;
//! - one purchase at a time is made for an origin and path;
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
mod error;
mod memory;
mod purchase;
mod rows;
mod session;
mod sqlite;
mod upkeep;

pub(crate) use admission::{Admission, BeginError};
pub use error::BookError;
pub use purchase::{
    Brake, Owner, Purchase, QueryHash, Refusal, SessionId, SoldToken, StoredCredential,
    TargetResource, WalletName,
};
pub use rows::{CredentialRows, PurchaseRows, REFUSALS_MAX, Rows, Storage, Which};
pub use upkeep::Resolution;

use memory::Memory;
use sqlite::Sqlite;

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
}

/// What the book holds that matters to one request.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Credentials that may be presented, best first.
    pub(crate) credentials: Vec<StoredCredential>,
    /// True while another request presents a credential it has just bought for this path.
    pub(crate) is_presenting: bool,
    /// Purchases for this path of which it is not known whether money moved.
    pub(crate) open: Vec<(Purchase, Owner)>,
    pub(crate) brake: Option<Brake>,
}

/// Marks a purchase as worked on by this process, until dropped.
#[must_use = "dropped, it tells other processes that this one does not wait for the wallet"]
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    hash: PaymentHash,
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
        let storage = Sqlite::new(dir);
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
        let (candidates, open, brake) = self.read(|rows| {
            let open = rows.purchases(Which::OpenAt(&resource.origin))?;
            let brake = rows.brake(&resource.origin, &resource.path)?;
            Ok((rows.candidates(resource, now)?, open, brake))
        })?;
        let mut credentials = Vec::new();
        let mut is_presenting = false;
        for credential in candidates {
            if self.is_held(&credential)? {
                is_presenting |= credential.resource.path == resource.path;
            } else if !credential.is_expired(now) {
                credentials.push(credential);
            }
        }
        let open = open
            .into_iter()
            .filter(|purchase| purchase.resource.path == resource.path)
            .collect();
        Ok(View {
            credentials,
            is_presenting,
            open: self.with_owners(open)?,
            brake: brake.filter(|brake| now < brake.until),
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

    /// Takes over an open purchase whose process is gone, to offer its invoice again; `None`
    /// when it is not open any more or another process was first.
    pub(crate) fn take_over(&self, hash: &PaymentHash) -> Result<Option<Ticket>, BookError> {
        let taken = self.write(|rows, session| {
            let Some(mut purchase) = rows.purchase(hash)? else {
                return Ok(false);
            };
            let next = l402::step(hash, &purchase.state, PurchaseEvent::Reoffered);
            let (Ok((state, _pay)), Owner::Gone) = (next, self.owner(&purchase)?) else {
                return Ok(false);
            };
            purchase.state = state;
            purchase.session = session.clone();
            rows.put_purchase(&purchase)?;
            Ok(true)
        })?;
        Ok(taken.then(|| self.ticket(*hash)))
    }

    /// Remembers when the wallet was first found not to know a payment; returns that moment.
    pub(crate) fn mark_absent(
        &self,
        hash: &PaymentHash,
        now: UnixSeconds,
    ) -> Result<(), BookError> {
        self.write(|rows, _session| {
            let Some(mut purchase) = rows.purchase(hash)? else {
                return Ok(());
            };
            purchase.absent_at = purchase.absent_at.or(Some(now));
            rows.put_purchase(&purchase)
        })
    }

    /// Lets every request use a credential that has been presented.
    pub(crate) fn publish(&self, hash: &PaymentHash) -> Result<(), BookError> {
        self.release(hash);
        self.write(|rows, _session| match rows.credential(hash)? {
            Some(credential) if credential.holder.is_some() => {
                rows.put_credential(&StoredCredential {
                    holder: None,
                    ..credential
                })
            }
            Some(_) | None => Ok(()),
        })
    }

    /// Lets requests of this process use a credential whose buyer does not present it.
    pub(crate) fn release(&self, hash: &PaymentHash) {
        lock(&self.shared.unpresented).remove(hash);
    }

    /// Remembers that a credential was refused, for longer each time.
    pub(crate) fn refuse(
        &self,
        hash: &PaymentHash,
        resource: &TargetResource,
        now: UnixSeconds,
    ) -> Result<(), BookError> {
        self.write(|rows, _session| {
            let times = rows
                .refusal(hash, resource)?
                .map_or(1, |before| before.times.saturating_add(1));
            rows.put_refusal(&Refusal {
                payment_hash: *hash,
                resource: resource.clone(),
                times,
                until: now.plus_secs(refusal_secs(times)),
            })
        })
    }

    /// Stops buying at a path for a while.
    pub(crate) fn brake(&self, brake: &Brake) -> Result<(), BookError> {
        self.write(|rows, _session| rows.put_brake(brake))
    }

    /// Allows buying at a path again: what was paid for has been served.
    pub(crate) fn release_brake(&self, resource: &TargetResource) -> Result<(), BookError> {
        self.write(|rows, _session| rows.remove_brake(&resource.origin, &resource.path))
    }

    fn ticket(&self, hash: PaymentHash) -> Ticket {
        lock(&self.shared.working).insert(hash);
        Ticket {
            shared: Arc::clone(&self.shared),
            hash,
        }
    }

    fn with_owners(&self, purchases: Vec<Purchase>) -> Result<Vec<(Purchase, Owner)>, BookError> {
        let with_owner = |purchase| {
            let owner = self.owner(&purchase)?;
            Ok((purchase, owner))
        };
        purchases.into_iter().map(with_owner).collect()
    }

    fn owner(&self, purchase: &Purchase) -> Result<Owner, BookError> {
        let is_working = match purchase.state {
            l402::PurchaseState::Paying if self.is_own(&purchase.session) => {
                lock(&self.shared.working).contains(&purchase.payment_hash())
            }
            l402::PurchaseState::Paying => self.shared.storage.is_alive(&purchase.session)?,
            // A process that recorded an outcome has stopped waiting for one.
            l402::PurchaseState::Failed
            | l402::PurchaseState::Offered
            | l402::PurchaseState::Paid { .. }
            | l402::PurchaseState::Reserved
            | l402::PurchaseState::Unknown => false,
        };
        Ok(if is_working {
            Owner::Working
        } else {
            Owner::Gone
        })
    }

    /// Returns true while only the buyer of a credential may use it.
    fn is_held(&self, credential: &StoredCredential) -> Result<bool, BookError> {
        match &credential.holder {
            None => Ok(false),
            Some(holder) if self.is_own(holder) => {
                Ok(lock(&self.shared.unpresented).contains(&credential.payment_hash()))
            }
            Some(holder) => self.shared.storage.is_alive(holder),
        }
    }

    fn is_own(&self, session: &SessionId) -> bool {
        self.shared.storage.session().as_ref() == Some(session)
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

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.shared.working).remove(&self.hash);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.hash)
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book")
            .field("storage", &self.shared.storage)
            .finish_non_exhaustive()
    }
}

/// For how long a credential is not tried where it was refused this many times in a row.
const fn refusal_secs(times: u32) -> u64 {
    match times {
        0 | 1 => 600,
        2 => 6 * 3_600,
        _ => 7 * 86_400,
    }
}

/// A panic elsewhere leaves these values whole: each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
