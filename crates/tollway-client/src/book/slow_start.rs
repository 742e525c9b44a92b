//! Slow start: how many purchases from one seller are made at a time.
//!
//! What a payment brings is known once its token has been presented, and only then a
//! [brake](super::brake) stops the next one. So that concurrent requests cost no more than the same
//! requests one after another, a seller is paid for [`CONCURRENT_MIN`] purchases at a time, and for
//! one more for each of its tokens that has delivered something lately. A brake takes one of them.

use l402::UnixSeconds;

use super::brake::{self, BRAKE_SECS};
use super::{Book, BookError, Owner, Rows, Which};
use crate::origin::Origin;

impl Book {
    /// Returns true while a purchase from a seller has to wait for those that are being made: they
    /// are being paid, or their tokens have no response yet.
    pub(super) fn is_at_capacity(
        &self,
        rows: &dyn Rows,
        origin: &Origin,
        now: UnixSeconds,
    ) -> Result<bool, BookError> {
        let mut unproven: u64 = 0;
        for purchase in rows.purchases(Which::OpenAt(origin))? {
            let is_paying = self.owner(&purchase)? == Owner::Working;
            unproven = unproven.saturating_add(u64::from(is_paying));
        }
        for credential in rows.unsettled(origin)? {
            let is_held = self.is_held(&credential)?;
            unproven = unproven.saturating_add(u64::from(is_held));
        }
        if unproven == 0 {
            return Ok(false);
        }
        let has_brake = !brake::in_force(rows, origin, now)?.is_empty();
        let lately = UnixSeconds::new(now.as_secs().saturating_sub(BRAKE_SECS));
        let proven = rows.delivered_since(origin, lately)?;
        let capacity = CONCURRENT_MIN.saturating_sub(u64::from(has_brake));
        Ok(unproven >= capacity.saturating_add(proven))
    }
}

/// As many payments as may bring nothing before all of the origin is stopped.
const CONCURRENT_MIN: u64 = 2;
