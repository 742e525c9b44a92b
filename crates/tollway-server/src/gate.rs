//! May this request pass, and if not, what would it cost?
//!
//! [`Gate::peek`] is the hot path: it reads headers, walks a chain of hashes, and neither
//! waits, locks nor looks anything up, however many tokens were ever sold. Everything that
//! can wait is on the way *out*, in [`Gate::challenge`], where a request costs us an invoice;
//! there the order is: the network's share, room for one more invoice, the wallet, the token.
//! Nothing is kept of a challenge.
//!
//! What a rejection looks like on the wire is [`respond`](crate::respond)'s business.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use l402::{
    Challenge, CountedUse, Credential, Denial, Grant, Identifier, Invoice, LegacyLsat,
    METADATA_HEADERS, Msat, RootKeys, Services, UnixSeconds, Verified,
};
use tokio::sync::Semaphore;
use tollway_lightning::{InvoiceTerms, Invoicer};

use crate::keys::{KeySource, KeyStoreError};
use crate::ledger::{
    GrantedEvent, LedgerError, LedgerEvent, RefusedEvent, Reports, Reserved, Stores,
};
use crate::limit::{ChallengeLimit, ChallengeLimiter};
use crate::pricer::Pricer;
use crate::reason::{Reason, ReasonCode};
use crate::rejection::{EntropyError, Outage, PaymentRequired, Rejection, TokenInUse};
use crate::request::RequestInfo;
use crate::requirement::Requirement;
use crate::respond::StatusStyle;
use crate::revocations::ActiveRevocations;
use crate::settlement::{Admitted, Settlement};
use crate::terms::{Terms, price_of};

/// Decides which requests are paid for. Share it in an [`Arc`].
pub struct Gate {
    keys: Arc<dyn KeySource>,
    invoicer: Arc<dyn Invoicer>,
    stores: Stores,
    revocations: ActiveRevocations,
    limiter: ChallengeLimiter,
    /// One permit for each invoice that may be waited for.
    invoices: Semaphore,
    settings: GateSettings,
}

/// What can be chosen about a [`Gate`]. The default suits a small service.
#[derive(Clone, Copy, Debug)]
pub struct GateSettings {
    /// How many challenges one client network is given.
    pub challenge_limit: ChallengeLimit,
    /// How long the wallet may take for an invoice. Default 10 s.
    pub invoice_timeout: Duration,
    /// How many invoices may be waited for at once; one more is answered 503. Default 256.
    pub invoices_in_flight_max: usize,
    /// How long a pricer may take. Default 5 s.
    pub pricer_timeout: Duration,
    /// Whether challenges are sent under the older scheme name as well. Default: they are.
    pub lsat: LegacyLsat,
    /// How a credential that fails is answered. Default 402.
    pub status: StatusStyle,
    /// Reads the time. Default: the system's clock.
    pub clock: fn() -> UnixSeconds,
    /// Draws randomness, which must be cryptographic. Default: the operating system's.
    pub entropy: fn() -> Result<[u8; 20], EntropyError>,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            challenge_limit: ChallengeLimit::default(),
            invoice_timeout: INVOICE_TIMEOUT,
            invoices_in_flight_max: INVOICES_IN_FLIGHT_MAX,
            pricer_timeout: PRICER_TIMEOUT,
            lsat: LegacyLsat::Emit,
            status: StatusStyle::Lenient402,
            clock: system_clock,
            entropy: system_entropy,
        }
    }
}

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
    /// Opens a gate that sells tokens of `keys`, paid to `invoicer`, recorded in `stores`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when the revocations cannot be read: a gate that does not know them
    /// would let revoked tokens through.
    pub async fn open(
        keys: impl KeySource + 'static,
        invoicer: Arc<dyn Invoicer>,
        stores: impl Into<Stores>,
        settings: GateSettings,
    ) -> Result<Self, LedgerError> {
        let stores = stores.into();
        Ok(Self {
            keys: Arc::new(keys),
            invoicer,
            revocations: ActiveRevocations::open(Arc::clone(&stores.revocations)).await?,
            stores,
            limiter: ChallengeLimiter::new(settings.challenge_limit),
            invoices: Semaphore::new(settings.invoices_in_flight_max),
            settings,
        })
    }

    /// Returns the revocations in force. Changes hold from the next request on.
    #[must_use]
    pub const fn revocations(&self) -> &ActiveRevocations {
        &self.revocations
    }

    /// Returns the stores the gate was opened with.
    #[must_use]
    pub const fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Returns the reports of what was sold; `None` when no store keeps any.
    #[must_use]
    pub fn reports(&self) -> Option<&dyn Reports> {
        self.stores.reports.as_deref()
    }

    /// Returns the settings the gate was opened with.
    #[must_use]
    pub const fn settings(&self) -> &GateSettings {
        &self.settings
    }

    /// Admits a request or returns why not, and records either.
    ///
    /// A token good for any number of requests is admitted without waiting for anything. A use
    /// of a counted token is reserved before this returns; the [`Settlement`] decides
    /// whether it is taken.
    ///
    /// Dropping the future is safe: a use that was reserved is released.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; turn it into a response with [`respond`](crate::respond).
    pub async fn admit(
        &self,
        requirement: &Requirement,
        pricer: &dyn Pricer,
        info: &RequestInfo<'_>,
    ) -> Result<Admitted, Rejection> {
        let admitted = self.decide(requirement, pricer, info).await;
        if let Err(rejection) = &admitted {
            self.record_rejection(requirement, rejection.code());
            log(requirement, rejection);
        }
        admitted
    }

    async fn decide(
        &self,
        requirement: &Requirement,
        pricer: &dyn Pricer,
        info: &RequestInfo<'_>,
    ) -> Result<Admitted, Rejection> {
        match self.redeem(requirement, info).await? {
            Redeemed::Admitted(admitted) => Ok(admitted),
            Redeemed::Refused(reason) => {
                Err(self.challenge(requirement, pricer, info, reason).await)
            }
        }
    }

    /// Takes the first credential that buys the request. Of several differing credentials the
    /// first two are tried, and when neither will do the reason is the first one's.
    async fn redeem(
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

    /// Asks for payment because of `reason`, or returns why that is not possible.
    ///
    /// Nothing is kept of a challenge, so giving out any number of them costs no memory.
    pub async fn challenge(
        &self,
        requirement: &Requirement,
        pricer: &dyn Pricer,
        info: &RequestInfo<'_>,
        reason: Reason,
    ) -> Rejection {
        match self.quote(requirement, pricer, info).await {
            Ok((price, challenge)) => Rejection::PaymentRequired(Box::new(PaymentRequired {
                reason,
                service: requirement.service().clone(),
                price,
                challenge,
            })),
            Err(rejection) => rejection,
        }
    }

    async fn quote(
        &self,
        requirement: &Requirement,
        pricer: &dyn Pricer,
        info: &RequestInfo<'_>,
    ) -> Result<(Msat, Vec<HeaderValue>), Rejection> {
        let services = requirement.services(info.path)?;
        self.limiter
            .take(info.peer.network(), (self.settings.clock)())?;
        let _room = self.invoices.try_acquire().map_err(|_none_left| {
            let in_flight_max = self.settings.invoices_in_flight_max;
            Outage::WalletBusy { in_flight_max }
        })?;
        let terms = self.terms(pricer, info).await?;
        let invoice = self.invoice(requirement, &terms).await?;
        let challenge = self.mint(requirement, &services, &terms, &invoice)?;
        Ok((terms.price(), challenge))
    }

    async fn terms(&self, pricer: &dyn Pricer, info: &RequestInfo<'_>) -> Result<Terms, Outage> {
        let timeout = self.settings.pricer_timeout;
        let terms = tokio::time::timeout(timeout, pricer.terms(info))
            .await
            .map_err(|_elapsed| Outage::PricerSlow {
                timeout_ms: timeout.as_millis(),
            })??;
        Ok(terms)
    }

    async fn invoice(&self, requirement: &Requirement, terms: &Terms) -> Result<Invoice, Outage> {
        let settings = &self.settings;
        let memo = terms.memo().unwrap_or(requirement.service().as_str());
        let wanted = InvoiceTerms {
            amount: terms.price(),
            memo: memo.to_owned(),
            expiry_secs: terms.invoice_expiry_secs().get(),
        };
        let invoice = tokio::time::timeout(settings.invoice_timeout, self.invoicer.invoice(wanted))
            .await
            .map_err(|_elapsed| Outage::WalletSlow {
                timeout_ms: settings.invoice_timeout.as_millis(),
            })??;
        if invoice.amount() != Some(terms.price()) {
            return Err(Outage::WrongInvoice {
                asked: terms.price(),
                got: invoice.amount(),
            });
        }
        Ok(invoice)
    }

    fn mint(
        &self,
        requirement: &Requirement,
        services: &Services,
        terms: &Terms,
        invoice: &Invoice,
    ) -> Result<Vec<HeaderValue>, Outage> {
        let now = (self.settings.clock)();
        let caveats = terms.token_caveats(requirement, now)?;
        let entropy = (self.settings.entropy)()?;
        Challenge::issue(&self.keys.ring(), invoice, services, &caveats, now, entropy)?
            .header_values(self.settings.lsat)
            .into_iter()
            .map(|line| {
                let mut value = HeaderValue::try_from(line)?;
                value.set_sensitive(true);
                Ok(value)
            })
            .collect()
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

    fn record_grant(
        &self,
        requirement: &Requirement,
        grant: &Grant,
        credential: &Credential,
        at: UnixSeconds,
    ) {
        let identifier = grant.identifier();
        self.stores
            .events
            .record(LedgerEvent::Granted(GrantedEvent {
                token: identifier.token_id,
                payment_hash: identifier.payment_hash,
                service: requirement.service().clone(),
                paid: price_in(credential),
                at,
            }));
    }

    fn record_rejection(&self, requirement: &Requirement, reason: ReasonCode) {
        self.stores
            .events
            .record(LedgerEvent::Refused(RefusedEvent {
                service: requirement.service().clone(),
                reason,
                at: (self.settings.clock)(),
            }));
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

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("invoicer", &self.invoicer)
            .field("stores", &self.stores)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Logs what the client must not see: why payments cannot be taken.
fn log(requirement: &Requirement, rejection: &Rejection) {
    let service = requirement.service().as_str();
    match rejection {
        Rejection::Unavailable(outage) => {
            let error: &(dyn Error + 'static) = outage;
            tracing::warn!(service, error, "no payment can be taken");
        }
        Rejection::UnsellablePath(_)
        | Rejection::PaymentRequired(_)
        | Rejection::TokenInUse(_)
        | Rejection::TooManyChallenges(_) => {
            tracing::debug!(service, reason = rejection.code().as_str(), "refused");
        }
    }
}

/// What the credentials of a request came to.
enum Redeemed {
    Admitted(Admitted),
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

/// The caveats are verified by now: this is asked of granted credentials only.
fn price_in(credential: &Credential) -> Option<Msat> {
    let caveats = credential.macaroon().unverified_caveats();
    price_of(caveats.map(|caveat| caveat.id()))
}

fn system_clock() -> UnixSeconds {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is broken; at the end of time no deadline is honoured by mistake.
    UnixSeconds::new(since_epoch.map_or(u64::MAX, |elapsed| elapsed.as_secs()))
}

fn system_entropy() -> Result<[u8; 20], EntropyError> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).map_err(|_no_randomness| EntropyError)?;
    Ok(bytes)
}

/// A client may hold an old token next to a new one; more is a search at our expense.
const CREDENTIALS_TRIED_MAX: usize = 2;
const INVOICE_TIMEOUT: Duration = Duration::from_secs(10);
const PRICER_TIMEOUT: Duration = Duration::from_secs(5);
const INVOICES_IN_FLIGHT_MAX: usize = 256;
