//! What is remembered about credentials: where one was refused, where one that was bought for
//! another path was accepted.

use l402::{PaymentHash, UnixSeconds};

use super::purchase::{self, FINAL, QueryHash, StaleCredential, refusal_secs};
use super::rows::SIBLINGS_MIN;
use super::{Book, BookError, Brake, Ending, Presentation, Refusal, TargetResource, brake, uses};
use crate::origin::Origin;
use crate::refusal_reason::{Reach, RefusalReason};
use crate::verdict::Verdict;

/// A credential that a server refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) payment_hash: PaymentHash,
    pub(crate) resource: TargetResource,
    pub(crate) reason: RefusalReason,
    /// Its mark, if there is one.
    pub(crate) presentation: Option<Presentation>,
    pub(crate) verdict: Verdict,
    /// What is not bought any more because of it.
    pub(crate) brakes: Vec<Brake>,
}

impl Book {
    /// Remembers that a credential was refused, which took no use: for longer each time, and
    /// everywhere when it is of no use anywhere. A refusal that its token contradicts is
    /// remembered for a moment, and sets brakes: a server that is set right accepts what is paid.
    pub(crate) fn refuse(&self, refused: &Refused, now: UnixSeconds) -> Result<(), BookError> {
        self.write(|rows, _session| {
            if let Some(presentation) = &refused.presentation {
                uses::end(rows, presentation, Ending::Untaken)?;
            }
            let (hash, resource) = (&refused.payment_hash, &refused.resource);
            rows.remove_acceptances(hash, &resource.path)?;
            let reason = refused.reason.clone();
            // One that is in force goes on to its end, and states what happened first.
            let mut brakes = refused.brakes.clone();
            for at in &refused.brakes {
                let before = brake::in_force(rows, &at.origin, now)?;
                if before.iter().any(|brake| brake.payment_hash == *hash) {
                    brakes.retain(|brake| brake.origin != at.origin);
                }
            }
            brake::put(rows, &brakes, now)?;
            if matches!(refused.verdict, Verdict::Contradicted(_)) {
                return rows.put_refusal(&Refusal {
                    payment_hash: *hash,
                    resource: resource.clone(),
                    times: 1,
                    until: now.plus_secs(CONTRADICTED_SECS),
                    reason,
                });
            }
            let times = rows
                .refusal(hash, resource)?
                .map_or(1, |before| before.times.saturating_add(1).min(FINAL - 1));
            let refusal = Refusal {
                payment_hash: *hash,
                resource: resource.clone(),
                times,
                until: now.plus_secs(refusal_secs(times)),
                reason,
            };
            rows.put_refusal(&refusal)?;
            let times = match refused.reason.reach() {
                Reach::Everywhere => times.max(REVOKED_TIMES),
                Reach::Final => FINAL,
                Reach::Resource => return Ok(()),
            };
            rows.put_refusal(&Refusal {
                resource: anywhere(&resource.origin),
                times,
                until: now.plus_secs(refusal_secs(times)),
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
        self.write(|rows, _session| {
            rows.remove_refusal(hash, &anywhere(&resource.origin))?;
            rows.remove_refusal(hash, resource)
        })
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
            let folder = purchase::folder(&resource.path);
            let mut paths = rows.acceptances(hash)?;
            paths.extend(rows.credential(hash)?.map(|bought| bought.resource.path));
            paths.retain(|path| path != folder && purchase::folder(path) == folder);
            if paths.len() < SIBLINGS_MIN || rows.is_refused_below(hash, folder)? {
                return Ok(());
            }
            rows.put_acceptance(hash, folder)
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

/// As how many refusals in a row a revocation counts at least.
const REVOKED_TIMES: u32 = 2;
/// For how long a credential is not presented after a refusal that its token contradicts.
const CONTRADICTED_SECS: u64 = 60;
