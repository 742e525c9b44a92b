//! Which process works on a purchase, and which may use what it has just bought.
//!
//! For this process both are in memory. For another one only its liveness is known.

use std::fmt;
use std::sync::Arc;

use l402::{PaymentHash, PurchaseState};

use super::{Book, BookError, Owner, Purchase, SessionId, Shared, StoredCredential, lock};

/// Marks a purchase as worked on by this process, until dropped.
#[must_use = "dropped, the purchase counts as one that no process works on"]
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    hash: PaymentHash,
}

impl Book {
    pub(super) fn ticket(&self, hash: PaymentHash) -> Ticket {
        lock(&self.shared.working).insert(hash);
        Ticket {
            shared: Arc::clone(&self.shared),
            hash,
        }
    }

    pub(super) fn with_owners(
        &self,
        purchases: Vec<Purchase>,
    ) -> Result<Vec<(Purchase, Owner)>, BookError> {
        let with_owner = |purchase| {
            let owner = self.owner(&purchase)?;
            Ok((purchase, owner))
        };
        purchases.into_iter().map(with_owner).collect()
    }

    pub(super) fn owner(&self, purchase: &Purchase) -> Result<Owner, BookError> {
        let is_working = match purchase.state {
            PurchaseState::Paying if self.is_own(&purchase.session) => {
                lock(&self.shared.working).contains(&purchase.payment_hash())
            }
            PurchaseState::Paying => self.shared.storage.is_alive(&purchase.session)?,
            // A process that recorded an outcome has stopped waiting for one.
            PurchaseState::Failed
            | PurchaseState::Offered
            | PurchaseState::Paid { .. }
            | PurchaseState::Reserved
            | PurchaseState::Unknown => false,
        };
        Ok(if is_working {
            Owner::Working
        } else {
            Owner::Gone
        })
    }

    /// Returns true while only the buyer of a credential may use it.
    pub(super) fn is_held(&self, credential: &StoredCredential) -> Result<bool, BookError> {
        match &credential.holder {
            None => Ok(false),
            Some(holder) if self.is_own(holder) => {
                Ok(lock(&self.shared.unpresented).contains(&credential.payment_hash()))
            }
            Some(holder) => self.shared.storage.is_alive(holder),
        }
    }

    pub(super) fn is_own(&self, session: &SessionId) -> bool {
        self.shared.storage.session().as_ref() == Some(session)
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
