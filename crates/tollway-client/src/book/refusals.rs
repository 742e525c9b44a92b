//! What is remembered about credentials: where one was refused, where one that was bought for
//! another path was accepted, and where nothing is bought because a paid one was refused.

use l402::{PaymentHash, UnixSeconds};

use super::purchase::{FINAL, QueryHash, StaleCredential, refusal_secs};
use super::rows::SIBLINGS_MIN;
use super::{Book, BookError, Brake, Refusal, StoredCredential, TargetResource};
use crate::origin::Origin;
use crate::refusal_reason::RefusalReason;

impl Book {
    /// Remembers that a credential was refused, for longer each time, and everywhere when it is
    /// of no use anywhere.
    pub(crate) fn refuse(
        &self,
        hash: &PaymentHash,
        resource: &TargetResource,
        reason: &RefusalReason,
        now: UnixSeconds,
    ) -> Result<(), BookError> {
        self.write(|rows, _session| {
            rows.remove_acceptances(hash, &resource.path)?;
            let times = rows
                .refusal(hash, resource)?
                .map_or(1, |before| before.times.saturating_add(1).min(FINAL - 1));
            let refusal = Refusal {
                payment_hash: *hash,
                resource: resource.clone(),
                times,
                until: now.plus_secs(refusal_secs(times)),
                reason: reason.clone(),
            };
            rows.put_refusal(&refusal)?;
            if !reason.is_final() {
                return Ok(());
            }
            rows.put_refusal(&Refusal {
                resource: anywhere(&resource.origin),
                times: FINAL,
                until: now.plus_secs(refusal_secs(FINAL)),
                ..refusal
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

    /// Remembers that a credential is accepted at and below a path that it was not bought for:
    /// in all of the path's folder once it is good for several paths there and was refused at
    /// none, so that not every page of a service costs a challenge.
    pub(crate) fn remember(
        &self,
        hash: &PaymentHash,
        resource: &TargetResource,
    ) -> Result<(), BookError> {
        self.write(|rows, _session| {
            rows.put_acceptance(hash, &resource.path)?;
            let folder = folder(&resource.path);
            let mut paths = rows.acceptances(hash)?;
            paths.extend(rows.credential(hash)?.map(|bought| bought.resource.path));
            paths.retain(|path| path != folder && self::folder(path) == folder);
            if paths.len() < SIBLINGS_MIN || rows.is_refused_below(hash, folder)? {
                return Ok(());
            }
            rows.put_acceptance(hash, folder)
        })
    }

    /// Remembers whether the last response to a credential was delivered.
    pub(crate) fn set_undelivered(
        &self,
        hash: &PaymentHash,
        is_undelivered: bool,
    ) -> Result<(), BookError> {
        self.write(|rows, _session| match rows.credential(hash)? {
            Some(credential) if credential.is_undelivered != is_undelivered => {
                rows.put_credential(&StoredCredential {
                    is_undelivered,
                    ..credential
                })
            }
            Some(_) | None => Ok(()),
        })
    }

    /// Returns the credentials of a resource's origin that are not presented there: those that
    /// are expired, and those that were refused of late.
    pub(crate) fn stale(
        &self,
        resource: &TargetResource,
        now: UnixSeconds,
    ) -> Result<Vec<StaleCredential>, BookError> {
        self.read(|rows| {
            let candidates = rows.candidates(resource, now)?.into_iter();
            let expired = candidates.filter(|candidate| candidate.is_expired(now));
            let mut stale: Vec<StaleCredential> = expired
                .map(|credential| StaleCredential {
                    credential,
                    reason: RefusalReason::Expired,
                })
                .collect();
            for refusal in rows.refusals_at(resource, now)? {
                if let Some(credential) = rows.credential(&refusal.payment_hash)? {
                    let reason = refusal.reason;
                    stale.push(StaleCredential { credential, reason });
                }
            }
            Ok(stale)
        })
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

/// Returns a path up to its last `/`.
fn folder(path: &str) -> &str {
    let end = path.rfind('/').map_or(0, |slash| slash.saturating_add(1));
    path.get(..end).unwrap_or(path)
}

/// Returns what stands for every resource of an origin.
pub(super) fn anywhere(origin: &Origin) -> TargetResource {
    TargetResource {
        origin: origin.clone(),
        method: Refusal::ANYWHERE.to_owned(),
        path: String::new(),
        query: QueryHash::new(None),
    }
}
