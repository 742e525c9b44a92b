//! Proofs: verifications that need not be repeated in full.
//!
//! Signature, payment and the meaning of the caveats are the same at every use of a credential.
//! What can change is looked at each time: the time, the key ring, the revocations and the
//! request. A proof never denies: what it does not grant is verified again, which has the reason.

use super::context::RequestContext;
use super::decide;
use super::denial::Denial;
use super::grant::{Scope, Verified};
use super::terms::Bounds;
use crate::credential::Credential;
use crate::keys::{KeyRing, RootKeys as _};
use crate::revocation::RevocationSet;

/// What a verification established about a credential, for its later requests of one service.
///
/// Good for the very bytes that were verified: who keeps a proof compares them, all of them.
/// It shares the bytes of the token and holds no preimage.
///
/// ```
/// use l402::{Proof, RequestContext, RevocationSet, verify};
/// # use l402::{Credential, KeyRing, MasterKey, Preimage, Services, UnixSeconds, caveat, mint};
/// # let ring = KeyRing::new(MasterKey::new([1; 32]));
/// # let (preimage, now) = (Preimage::new([9; 32]), UnixSeconds::new(1_700_000_000));
/// # let services = Services::new("weather", 0)?;
/// # let caveats = [caveat::path_prefix("/v1")?];
/// # let token = mint(&ring, preimage.payment_hash(), &services, &caveats, now, [2; 20])?;
/// # let identifier = l402::Identifier::parse(token.identifier())?;
/// # let credential = Credential::new(token, preimage);
///
/// // A token of `weather` with `path_prefix=/v1`, and the preimage that paid for it.
/// let mut revoked = RevocationSet::default();
/// let today = RequestContext::new("weather", "GET", "/v1/today", now);
/// let (verified, proof) = Proof::establish(&ring, &revoked, &credential, &today)?;
/// assert_eq!(proof.verify(&ring, &revoked, &today), Some(verified));
///
/// let admin = RequestContext::new("weather", "GET", "/admin", now);
/// assert_eq!(proof.verify(&ring, &revoked, &admin), None);
/// revoked.revoke(identifier.token_id);
/// assert_eq!(proof.verify(&ring, &revoked, &today), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Proof {
    scope: Scope,
    bounds: Bounds,
    /// Of the key that the token was verified under.
    key: [u8; 32],
    service: Box<str>,
    resource: Option<Box<str>>,
}

impl Proof {
    /// Decides as [`verify`](crate::verify()) does, and keeps what need not be decided again.
    ///
    /// # Errors
    ///
    /// As [`verify`](crate::verify()).
    pub fn establish(
        ring: &KeyRing,
        revoked: &RevocationSet,
        credential: &Credential,
        request: &RequestContext<'_>,
    ) -> Result<(Verified, Self), Denial> {
        let (verified, terms) = decide(ring, revoked, credential, request, &mut |_unknown| Ok(()))?;
        let scope = verified.scope().clone();
        let key = ring.fingerprint(&scope.identifier().token_id);
        let proof = Self {
            bounds: Bounds::of(&terms),
            key: *key.ok_or(Denial::Forged)?,
            service: request.service.into(),
            resource: request.resource.map(Into::into),
            scope,
        };
        Ok((verified, proof))
    }

    /// Returns what [`verify`](crate::verify()) would return for the same credential, when that
    /// is not a denial. `None` when only a verification can tell.
    pub fn verify(
        &self,
        ring: &KeyRing,
        revoked: &RevocationSet,
        request: &RequestContext<'_>,
    ) -> Option<Verified> {
        let token_id = &self.scope.identifier().token_id;
        let is_granted = *self.service == *request.service
            && self.resource.as_deref() == request.resource
            && self.scope.tier() >= request.tier
            && self
                .scope
                .expires_at()
                .is_none_or(|deadline| request.now < deadline)
            && ring.fingerprint(token_id) == Some(&self.key)
            && !revoked.is_revoked(token_id, ring.minted_at(token_id))
            && self.bounds.hold_for(request);
        is_granted.then(|| Verified::of(self.scope.clone()))
    }
}
