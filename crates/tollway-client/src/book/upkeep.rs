//! What a person does with a book: list, forget, restore, resolve.

use l402::{Charged, Msat, PaymentHash, Preimage, PurchaseEvent, PurchaseState, UnixSeconds};

use super::refusals::anywhere;
use super::{
    Book, BookError, Owner, Publication, Purchase, Refusal, Spending, StoredCredential, Which,
};

/// What a person found out about an open purchase.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// The wallet did not pay, and will not.
    NotPaid,
    /// The wallet paid.
    Paid {
        /// The proof.
        preimage: Preimage,
        /// The routing fee, in millisatoshis.
        fee: Msat,
    },
}

impl Book {
    /// Returns every purchase, oldest first.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the book cannot be read.
    pub fn purchases(&self) -> Result<Vec<Purchase>, BookError> {
        self.read(|rows| rows.purchases(Which::All))
    }

    /// Returns every purchase of which it is not known whether money moved, and whether its
    /// process is still working on it.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the book cannot be read.
    pub fn open_purchases(&self) -> Result<Vec<(Purchase, Owner)>, BookError> {
        self.with_owners(self.read(|rows| rows.purchases(Which::Open))?)
    }

    /// Returns every credential, oldest first.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the book cannot be read.
    pub fn credentials(&self) -> Result<Vec<StoredCredential>, BookError> {
        self.read(|rows| rows.credentials())
    }

    /// Returns what counts against the limits of `host` and of the day of `now`.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the book cannot be read.
    pub fn charged(&self, host: &str, now: UnixSeconds) -> Result<Charged, BookError> {
        self.read(|rows| rows.charged(host, now.utc_day()))
    }

    /// Returns what was spent and what is reserved, by UTC day and origin, in that order. A
    /// purchase that failed is in none of it.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the book cannot be read.
    pub fn spending(&self) -> Result<Vec<Spending>, BookError> {
        self.read(|rows| rows.spending())
    }

    /// Removes a credential, so that it is not presented again; returns true when it was
    /// there. What it cost still counts.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the book cannot be written.
    pub fn forget(&self, hash: &PaymentHash) -> Result<bool, BookError> {
        self.write(|rows, _session| rows.remove_credential(hash))
    }

    /// Stores a credential that was bought elsewhere; returns false, and changes nothing, when
    /// one of the same payment is stored. It counts against no limit.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the book cannot be written.
    pub fn import(&self, credential: &StoredCredential) -> Result<bool, BookError> {
        self.write(|rows, _session| {
            if rows.credential(&credential.payment_hash())?.is_some() {
                return Ok(false);
            }
            rows.put_credential(credential)?;
            Ok(true)
        })
    }

    /// Returns the refusal of a credential everywhere, or else where it was bought.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the book cannot be read.
    pub fn refusal(&self, credential: &StoredCredential) -> Result<Option<Refusal>, BookError> {
        let (hash, resource) = (credential.payment_hash(), &credential.resource);
        self.read(
            |rows| match rows.refusal(&hash, &anywhere(&resource.origin))? {
                Some(refusal) => Ok(Some(refusal)),
                None => rows.refusal(&hash, resource),
            },
        )
    }

    /// Removes every refusal of a credential, so that it is presented again everywhere.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the book cannot be written.
    pub fn forgive(&self, hash: &PaymentHash) -> Result<(), BookError> {
        self.write(|rows, _session| rows.remove_refusals(hash))
    }

    /// Makes the credential of a paid purchase again, as it was bought.
    ///
    /// # Errors
    ///
    /// [`BookError::Unknown`] when no such purchase was paid.
    pub fn restore(&self, hash: &PaymentHash) -> Result<(), BookError> {
        self.write(|rows, _session| {
            let purchase = rows.purchase(hash)?;
            let credential = purchase.and_then(|purchase| purchase.credential());
            rows.put_credential(&credential.ok_or(BookError::Unknown { hash: *hash })?)
        })
    }

    /// Ends an open purchase with what a person found out about it, and returns it. One that
    /// was recorded as failed was paid after all where there is a proof.
    ///
    /// # Errors
    ///
    /// [`BookError::InUse`] while a process is working on it, [`BookError::Unknown`] when no
    /// such purchase can end so, [`BookError::NotItsPreimage`] for a proof of another payment.
    pub fn resolve(
        &self,
        hash: &PaymentHash,
        resolution: Resolution,
    ) -> Result<Purchase, BookError> {
        let purchase = self.read(|rows| rows.purchase(hash))?;
        let can_be_resolved = |purchase: &Purchase| match (&purchase.state, &resolution) {
            (PurchaseState::Failed, Resolution::Paid { .. }) => true,
            (state, _) => state.is_open(),
        };
        let purchase = purchase
            .filter(can_be_resolved)
            .ok_or(BookError::Unknown { hash: *hash })?;
        if self.owner(&purchase)? == Owner::Working {
            return Err(BookError::InUse { hash: *hash });
        }
        let event = match resolution {
            Resolution::NotPaid => PurchaseEvent::Failed,
            Resolution::Paid { preimage, .. } if !preimage.matches(hash) => {
                return Err(BookError::NotItsPreimage { hash: *hash });
            }
            Resolution::Paid { preimage, fee } => PurchaseEvent::Settled { preimage, fee },
        };
        self.settle(hash, event, "resolved by hand", Publication::AtOnce)
    }
}
