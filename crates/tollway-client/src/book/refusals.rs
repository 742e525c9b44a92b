//! What is not tried again for a while: a credential where it was refused, and buying where a paid
//! credential was refused.

use l402::{PaymentHash, UnixSeconds};

use super::{Book, BookError, Brake, Refusal, TargetResource};

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

    /// Stops buying at a path for a while.
    pub(crate) fn brake(&self, brake: &Brake) -> Result<(), BookError> {
        self.write(|rows, _session| rows.put_brake(brake))
    }

    /// Allows buying at a path again: what was paid for has been served.
    pub(crate) fn release_brake(&self, resource: &TargetResource) -> Result<(), BookError> {
        self.write(|rows, _session| rows.remove_brake(&resource.origin, &resource.path))
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
