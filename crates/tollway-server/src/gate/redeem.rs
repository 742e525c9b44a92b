//! Redemption: whether a credential of a request buys it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use l402::{
    CountedUse, Credential, Denial, Grant, Identifier, METADATA_HEADERS, Msat, Proof,
    RequestContext, RootKeys, Uncounted, UnixSeconds, Verified,
};

use super::Gate;
use super::remembered::Account;
use crate::in_flight::RequestInFlight;
use crate::keys::KeyStoreError;
use crate::ledger::{Reserved, Tally};
use crate::reason::Reason;
use crate::rejection::{Outage, Rejection, TokenInUse, TooManyRequests};
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
        let context = context(requirement, info, now);
        let mut refusals = Refusals::default();
        let remembered = self.recall(info.headers, &context);
        let tried = usize::from(remembered.is_some());
        if let Some(found) = remembered {
            match self.take_use(requirement, found, now).await? {
                Ok(admitted) => return Ok(Redeemed::Admitted(admitted)),
                Err(refusal) => refusals.add(refusal),
            }
        }
        let presented = match Presented::read(info.headers) {
            Ok(presented) => presented,
            Err(malformed) => return Ok(Redeemed::Refused(Reason::Malformed(malformed))),
        };
        for credential in presented.tried().skip(tried) {
            let refusal = match self.verify(credential, &presented, &context).await? {
                // Boxed: it would enlarge the future of a request whose credential is remembered.
                Ok(found) => match Box::pin(self.take_use(requirement, found, now)).await? {
                    Ok(admitted) => return Ok(Redeemed::Admitted(admitted)),
                    Err(refusal) => refusal,
                },
                Err(denial) => Refusal::Unpaid(Reason::Denied(denial)),
            };
            refusals.add(refusal);
        }
        refusals.into_outcome().map(Redeemed::Refused)
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
        let context = context(requirement, info, (self.settings.clock)());
        if let Some(found) = self.recall(info.headers, &context) {
            return Ok(found.into());
        }
        let presented = match Presented::read(info.headers) {
            Ok(presented) => presented,
            Err(malformed) => return Ok(Peeked::Refused(Reason::Malformed(malformed))),
        };
        let mut reason = None;
        for credential in presented.tried() {
            match self.verify(credential, &presented, &context).await? {
                Ok(found) => return Ok(found.into()),
                Err(denial) => reason = reason.or(Some(Reason::Denied(denial))),
            }
        }
        Ok(Peeked::Refused(reason.unwrap_or(Reason::NoCredential)))
    }

    /// Returns the first credential of a request when it is remembered and buys it. What it is
    /// refused for is found by verifying it.
    fn recall(&self, headers: &HeaderMap, context: &RequestContext<'_>) -> Option<Redeemable> {
        let line = headers.get(header::AUTHORIZATION)?;
        self.remembered.find(line.as_bytes(), |entry| {
            let revoked = self.revocations.load();
            let verified = entry.proof.verify(&self.keys.ring(), &revoked, context)?;
            let account = entry.account.share();
            Some(Redeemable { verified, account })
        })
    }

    /// Verifies with the ring, and with a stored key what the ring did not mint.
    async fn verify(
        &self,
        credential: &Credential,
        presented: &Presented<'_>,
        context: &RequestContext<'_>,
    ) -> Result<Result<Redeemable, Denial>, KeyStoreError> {
        let by_ring = self.verify_by_ring(credential, presented, context);
        let is_forged = matches!(by_ring, Err(Denial::Forged));
        if !is_forged || !self.may_be_stored(credential) {
            return Ok(by_ring);
        }
        let identifier = credential.macaroon().identifier();
        let Some(key) = self.keys.stored(identifier).await? else {
            return Ok(by_ring);
        };
        let revoked = self.revocations.load();
        let verified = l402::verify(&key, &revoked, credential, context);
        Ok(verified.map(|verified| self.redeemable(verified, credential)))
    }

    /// Verifies with the ring, and remembers a credential that is found.
    fn verify_by_ring(
        &self,
        credential: &Credential,
        presented: &Presented<'_>,
        context: &RequestContext<'_>,
    ) -> Result<Redeemable, Denial> {
        let (ring, revoked) = (self.keys.ring(), self.revocations.load());
        let Some(line) = presented.only_line else {
            let verified = l402::verify(&*ring, &revoked, credential, context)?;
            return Ok(self.redeemable(verified, credential));
        };
        let (verified, proof) = Proof::establish(&ring, &revoked, credential, context)?;
        let found = self.redeemable(verified, credential);
        let account = found.account.share();
        self.remembered
            .keep(line, credential.preimage(), proof, account);
        Ok(found)
    }

    fn redeemable(&self, verified: Verified, credential: &Credential) -> Redeemable {
        let caveats = credential.macaroon().unverified_caveats();
        let account = Account {
            requests: self.in_flight.of(verified.scope().identifier().token_id),
            paid: price_of(caveats.map(|caveat| caveat.id())),
            granted: Tally::default(),
        };
        Redeemable { verified, account }
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

    /// Counts a request, reserves its use when the token is counted, and records the grant.
    async fn take_use(
        &self,
        requirement: &Requirement,
        found: Redeemable,
        now: UnixSeconds,
    ) -> Result<Result<Admitted, Refusal>, Outage> {
        let Account {
            paid,
            requests,
            granted,
        } = found.account;
        let request = match requests.begin(self.settings.requests_per_token_max) {
            Ok(request) => request,
            Err(too_many) => return Ok(Err(Refusal::TooManyRequests(too_many))),
        };
        let (grant, settlement) = match found.verified {
            Verified::Unlimited(grant) => (grant, Settlement::uncounted(request)),
            // Boxed: it would enlarge the future of every request.
            Verified::Counted(uncounted) => match Box::pin(self.reserve(uncounted, request)).await?
            {
                Ok(reserved) => reserved,
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        if granted.add() {
            self.record_grant(requirement, &grant, paid, granted, now);
        }
        Ok(Ok(Admitted {
            grant,
            response_headers: HeaderMap::new(),
            settlement,
        }))
    }

    /// Reserves a use of a counted token.
    async fn reserve(
        &self,
        uncounted: Uncounted,
        request: RequestInFlight,
    ) -> Result<Result<(Grant, Settlement), Refusal>, Outage> {
        let uses = &self.stores.uses;
        let token = uncounted.scope().identifier().token_id;
        let reserved = {
            let _permit = request.requests().reserve_permit().await;
            uses.reserve(token, uncounted.uses_max()).await?
        };
        Ok(match reserved {
            Reserved::Held { reservation, left } => Ok((
                uncounted.counted(CountedUse::new(left)),
                Settlement::counted(request, Arc::clone(uses), reservation),
            )),
            Reserved::Exhausted => Err(Refusal::Unpaid(Reason::Exhausted)),
            Reserved::InUse => Err(Refusal::InUse),
        })
    }
}

fn context<'a>(
    requirement: &'a Requirement,
    info: &'a RequestInfo<'a>,
    now: UnixSeconds,
) -> RequestContext<'a> {
    let origin = info.headers.get(header::ORIGIN);
    let origin = origin.and_then(|origin| origin.to_str().ok());
    let capability = requirement.capability();
    let service = requirement.service().as_str();
    RequestContext::new(service, info.method.as_str(), info.path, now)
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

/// A credential that buys the request, once its use is taken.
struct Redeemable {
    verified: Verified,
    account: Account,
}

impl From<Redeemable> for Peeked {
    fn from(found: Redeemable) -> Self {
        Self::Granted {
            verified: found.verified,
            paid: found.account.paid,
        }
    }
}

/// Why one credential does not buy the request.
enum Refusal {
    InUse,
    TooManyRequests(TooManyRequests),
    Unpaid(Reason),
}

/// Why none of the credentials tried buys the request.
#[derive(Default)]
struct Refusals {
    is_in_use: bool,
    too_many: Option<TooManyRequests>,
    first_reason: Option<Reason>,
}

impl Refusals {
    fn add(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::InUse => self.is_in_use = true,
            Refusal::TooManyRequests(too_many) => self.too_many = Some(too_many),
            Refusal::Unpaid(reason) => {
                self.first_reason.get_or_insert(reason);
            }
        }
    }

    /// A token that is good for the request in a moment is not called unpaid.
    fn into_outcome(self) -> Result<Reason, Rejection> {
        if self.is_in_use {
            return Err(TokenInUse.into());
        }
        match self.too_many {
            Some(too_many) => Err(too_many.into()),
            None => Ok(self.first_reason.unwrap_or(Reason::NoCredential)),
        }
    }
}

/// The credentials of a request.
struct Presented<'a> {
    credentials: Vec<Credential>,
    /// The `Authorization` line, when it is the only one and presents the only credential.
    only_line: Option<&'a [u8]>,
}

impl<'a> Presented<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, l402::CredentialError> {
        let authorization = headers.get_all(header::AUTHORIZATION);
        // Few requests have one of these, and looking a name up costs more than comparing it.
        let mut names = headers.keys().map(HeaderName::as_str);
        let has_metadata = names.any(|name| METADATA_HEADERS.contains(&name));
        let metadata = METADATA_HEADERS
            .iter()
            .filter(|_| has_metadata)
            .flat_map(|name| headers.get_all(*name));
        let credentials = l402::read_credentials(
            authorization.iter().map(HeaderValue::as_bytes),
            metadata.map(HeaderValue::as_bytes),
        )?;
        let mut lines = authorization.iter().map(HeaderValue::as_bytes);
        let only_line = match (lines.next(), lines.next()) {
            (Some(line), None) if credentials.len() == 1 && !has_metadata => Some(line),
            (Some(_) | None, _) => None,
        };
        Ok(Self {
            credentials,
            only_line,
        })
    }

    fn tried(&self) -> impl Iterator<Item = &Credential> {
        self.credentials.iter().take(CREDENTIALS_TRIED_MAX)
    }
}

/// A client may hold an old token next to a new one; more is a search at our expense.
const CREDENTIALS_TRIED_MAX: usize = 2;
