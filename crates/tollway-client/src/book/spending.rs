//! What was spent, added up.

use l402::Msat;

use crate::origin::Origin;

/// What was spent and reserved at one origin on one UTC day, the day on which the purchases
/// were begun.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spending {
    /// The seller.
    pub origin: Origin,
    /// The day, counted from the epoch.
    pub utc_day: u64,
    /// The purchases that were paid.
    pub purchases: u64,
    /// Their prices, in millisatoshis.
    pub price: Msat,
    /// Their routing fees, in millisatoshis.
    pub fee: Msat,
    /// The purchases of which it is not known whether they were paid.
    pub open: u64,
    /// What is reserved for those: prices and fee ceilings, in millisatoshis.
    pub reserved: Msat,
}

impl Spending {
    pub(super) fn none(origin: &Origin, utc_day: u64) -> Self {
        Self {
            origin: origin.clone(),
            utc_day,
            purchases: 0,
            price: Msat::ZERO,
            fee: Msat::ZERO,
            open: 0,
            reserved: Msat::ZERO,
        }
    }

    pub(super) fn pay(&mut self, price: Msat, fee: Msat) {
        self.purchases = self.purchases.saturating_add(1);
        self.price = self.price.checked_add(price).unwrap_or(Msat::MAX);
        self.fee = self.fee.checked_add(fee).unwrap_or(Msat::MAX);
    }

    pub(super) fn reserve(&mut self, charge: Msat) {
        self.open = self.open.saturating_add(1);
        self.reserved = self.reserved.checked_add(charge).unwrap_or(Msat::MAX);
    }
}
