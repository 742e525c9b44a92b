//! What is not tried again for a while: a credential where it was refused, and buying where a paid
//! credential was refused.

use l402::{PaymentHash, UnixSeconds};

use super::purchase::refusal_secs;
use super::{Book, BookError, Brake, Refusal, TargetResource};
use crate::origin::Origin;

impl Book {
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

    /// Ends a refusal: the credential was accepted there.
    pub(crate) fn accept(
        &self,
        hash: &PaymentHash,
        resource: &TargetResource,
    ) -> Result<(), BookError> {
        self.write(|rows, _session| rows.remove_refusal(hash, resource))
    }

    /// Stops buying from an origin for a while.
    pub(crate) fn brake(&self, brake: &Brake) -> Result<(), BookError> {
        self.write(|rows, _session| rows.put_brake(brake))
    }

    /// Allows buying from an origin again: what was paid for has been served.
    pub(crate) fn release_brake(&self, origin: &Origin) -> Result<(), BookError> {
        self.write(|rows, _session| rows.remove_brake(origin))
    }
}
