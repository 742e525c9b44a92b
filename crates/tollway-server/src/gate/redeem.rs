//! Redemption: whether a credential of a request buys it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};
use l402::{
    CountedUse, Credential, Denial, Grant, Identifier, METADATA_HEADERS, Msat, RootKeys,
    UnixSeconds, Verified,
};

use super::Gate;
use crate::keys::KeyStoreError;
use crate::ledger::Reserved;
use crate::reason::Reason;
use crate::rejection::{Outage, Rejection, TokenInUse};
use crate::request::RequestInfo;
use crate::requirement::Requirement;
use crate::settlement::{Admitted, Settlement};
use crate::terms::price_of;

/// What [`Gate::peek`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Peeked {
    /// A credential buys this request.
    Granted {
        /// The proof, good at once or once its use is counted.
        verified: Verified,
        /// What the token cost; `None` when its issuer did not write it down.
        paid: Option<Msat>,
    },
    /// None does.
    Refused(Reason),
}

impl Gate {
    /// Takes the first credential that buys the request. Of several differing credentials the
    /// first two are tried, and when neither will do the reason is the first one's.
    pub(super) async fn redeem(
        &self,
        requirement: &Requirement,
        info: &RequestInfo<'_>,
    ) -> Result<Redeemed, Rejection> {
        let now = (self.settings.clock)();
        let credentials = match read_credentials(info.headers) {
            Ok(credentials) => credentials,
            Err(malformed) => return Ok(Redeemed::Refused(Reason::Malformed(malformed))),
        };
        let context = context(requirement, info, now);
        let mut first_reason = None;
        let mut is_in_use = false;
        for credential in credentials.iter().take(CREDENTIALS_TRIED_MAX) {
            let reason = match self.verify(credential, &context).await? {
                Ok(verified) => match self.reserve(verified).await? {
                    Use::Taken(grant, settlement) => {
                        self.record_grant(requirement, &grant, credential, now);
                        return Ok(Redeemed::Admitted(Admitted {
                            grant,
                            response_headers: HeaderMap::new(),
                            settlement,
                        }));
                    }
                    Use::Exhausted => Reason::Exhausted,
                    Use::Contended => {
                        is_in_use = true;
                        continue;
                    }
                },
                Err(denial) => Reason::Denied(denial),
            };
            first_reason = first_reason.or(Some(reason));
        }
        if is_in_use {
            return Err(Rejection::TokenInUse(TokenInUse));
        }
        let reason = first_reason.unwrap_or(Reason::NoCredential);
        Ok(Redeemed::Refused(reason))
    }

    /// Decides whether a credential in the headers buys this request.
    ///
    /// Tries the credentials that [`admit`](Self::admit) would, reserves no use of a counted
    /// token and does not know whether one is left.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError`] when a stored key cannot be looked up.
    pub async fn peek(
        &self,
        requirement: &Requirement,
        info: &RequestInfo<'_>,
    ) -> Result<Peeked, KeyStoreError> {
        let credentials = match read_credentials(info.headers) {
            Ok(credentials) => credentials,
            Err(malformed) => return Ok(Peeked::Refused(Reason::Malformed(malformed))),
        };
        let context = context(requirement, info, (self.settings.clock)());
        let mut reason = None;
        for credential in credentials.iter().take(CREDENTIALS_TRIED_MAX) {
            match self.verify(credential, &context).await? {
                Ok(verified) => {
                    let paid = price_in(credential);
                    return Ok(Peeked::Granted { verified, paid });
                }
                Err(denial) => reason = reason.or(Some(Reason::Denied(denial))),
            }
        }
        Ok(Peeked::Refused(reason.unwrap_or(Reason::NoCredential)))
    }

    /// Verifies with the ring, and with a stored key what the ring did not mint.
    async fn verify(
        &self,
        credential: &Credential,
        context: &l402::RequestContext<'_>,
    ) -> Result<Result<Verified, Denial>, KeyStoreError> {
        let by_ring = {
            let revoked = self.revocations.load();
            l402::verify(&*self.keys.ring(), &revoked, credential, context)
        };
        if by_ring != Err(Denial::Forged) || !self.may_be_stored(credential) {
            return Ok(by_ring);
        }
        let identifier = credential.macaroon().identifier();
        let Some(key) = self.keys.stored(identifier).await? else {
            return Ok(by_ring);
        };
        let revoked = self.revocations.load();
        Ok(l402::verify(&key, &revoked, credential, context))
    }

    /// Returns whether a look-up is worth its cost: the ring has no key for the token, and the
    /// preimage is that of its payment hash.
    fn may_be_stored(&self, credential: &Credential) -> bool {
        if !self.keys.has_stored_keys() {
            return false;
        }
        let identifier = credential.macaroon().identifier();
        let is_paid = Identifier::parse(identifier)
            .is_ok_and(|parsed| credential.preimage().matches(&parsed.payment_hash));
        is_paid && self.keys.ring().root_key(identifier).is_none()
    }

    /// Reserves a use of a counted token.
    async fn reserve(&self, verified: Verified) -> Result<Use, Outage> {
        let uncounted = match verified {
            Verified::Unlimited(grant) => return Ok(Use::Taken(grant, Settlement::uncounted())),
            Verified::Counted(uncounted) => uncounted,
        };
        let uses = &self.stores.uses;
        let token = uncounted.scope().identifier().token_id;
        Ok(match uses.reserve(token, uncounted.uses_max()).await? {
            Reserved::Held { reservation, left } => Use::Taken(
                uncounted.counted(CountedUse::new(left)),
                Settlement::counted(Arc::clone(uses), reservation),
            ),
            Reserved::Exhausted => Use::Exhausted,
            Reserved::InUse => Use::Contended,
        })
    }
}

fn context<'a>(
    requirement: &'a Requirement,
    info: &'a RequestInfo<'a>,
    now: UnixSeconds,
) -> l402::RequestContext<'a> {
    let origin = info.headers.get(header::ORIGIN);
    let origin = origin.and_then(|origin| origin.to_str().ok());
    let capability = requirement.capability();
    let service = requirement.service().as_str();
    l402::RequestContext::new(service, info.method.as_str(), info.path, now)
        .with_resource(requirement.bound_path(info.path))
        .with_tier(requirement.tier())
        .with_capability(capability.map(|capability| capability.as_str()))
        .with_client_ip(info.peer.address)
        .with_origin(origin)
        .with_tls_certificate(info.peer.tls_fingerprint.as_ref())
}

/// What the credentials of a request came to.
#[derive(Debug)]
pub enum Redeemed {
    /// One of them buys the request.
    Admitted(Admitted),
    /// None does.
    Refused(Reason),
}

/// What asking for a use came to.
enum Use {
    Contended,
    Exhausted,
    Taken(Grant, Settlement),
}

fn read_credentials(headers: &HeaderMap) -> Result<Vec<Credential>, l402::CredentialError> {
    let authorization = headers.get_all(header::AUTHORIZATION);
    // Few requests have one of these, and looking a name up costs more than comparing it.
    let mut names = headers.keys().map(HeaderName::as_str);
    let has_metadata = names.any(|name| METADATA_HEADERS.contains(&name));
    let metadata = METADATA_HEADERS
        .iter()
        .filter(|_| has_metadata)
        .flat_map(|name| headers.get_all(*name));
    l402::read_credentials(
        authorization.iter().map(|value| value.as_bytes()),
        metadata.map(|value| value.as_bytes()),
    )
}

/// Returns the price in a granted credential, whose caveats are verified.
pub(super) fn price_in(credential: &Credential) -> Option<Msat> {
    let caveats = credential.macaroon().unverified_caveats();
    price_of(caveats.map(|caveat| caveat.id()))
}

/// A client may hold an old token next to a new one; more is a search at our expense.
const CREDENTIALS_TRIED_MAX: usize = 2;
