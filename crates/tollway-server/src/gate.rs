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

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use l402::{
    Challenge, CountedUse, Credential, Grant, Invoice, KeyRing, LegacyLsat, METADATA_HEADERS, Msat,
    UnixSeconds, Verified,
};
use tokio::sync::Semaphore;
use tollway_lightning::{InvoiceTerms, Invoicer};

use crate::ledger::{Event, GrantedEvent, Ledger, LedgerError, RefusedEvent, Use};
use crate::limit::{ChallengeLimit, ChallengeLimiter};
use crate::offer::{Offer, price_of};
use crate::peer::{Peer, PeerNetwork};
use crate::reason::{Reason, ReasonCode};
use crate::rejection::{EntropyError, Outage, PaymentRequired, Rejection};
use crate::respond::StatusStyle;
use crate::revocations::Revocations;

/// Decides which requests are paid for. Share it in an [`Arc`].
pub struct Gate {
    keys: KeyRing,
    invoicer: Arc<dyn Invoicer>,
    ledger: Arc<dyn Ledger>,
    revocations: Revocations,
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
            lsat: LegacyLsat::Emit,
            status: StatusStyle::Lenient402,
            clock: system_clock,
            entropy: system_entropy,
        }
    }
}

/// What the gate looks at in a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestInfo<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it stands in the request line, without the query.
    pub path: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// Who is asking.
    pub peer: Peer,
}

impl<'a> RequestInfo<'a> {
    /// The info of a request whose body is held elsewhere.
    #[must_use]
    pub fn of(parts: &'a Parts, peer: Peer) -> Self {
        Self {
            method: &parts.method,
            path: parts.uri.path(),
            headers: &parts.headers,
            peer,
        }
    }
}

/// What [`Gate::peek`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
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
    /// Opens a gate that sells tokens of `keys`, paid to `invoicer`, written down in `ledger`.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when the revocations cannot be read: a gate that does not know them
    /// would let revoked tokens through.
    pub async fn open(
        keys: KeyRing,
        invoicer: Arc<dyn Invoicer>,
        ledger: Arc<dyn Ledger>,
        settings: GateSettings,
    ) -> Result<Self, LedgerError> {
        Ok(Self {
            keys,
            invoicer,
            revocations: Revocations::open(Arc::clone(&ledger)).await?,
            ledger,
            limiter: ChallengeLimiter::new(settings.challenge_limit),
            invoices: Semaphore::new(settings.invoices_in_flight_max),
            settings,
        })
    }

    /// What may no longer be used. Changes hold from the next request on.
    #[must_use]
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The books.
    #[must_use]
    pub fn ledger(&self) -> &dyn Ledger {
        self.ledger.as_ref()
    }

    /// What was chosen when the gate was opened.
    #[must_use]
    pub const fn settings(&self) -> &GateSettings {
        &self.settings
    }

    /// Lets a request through or says why not, and notes either in the ledger.
    ///
    /// A token good for any number of requests is admitted without waiting for anything. A
    /// use of a counted token is taken, durably, before this returns.
    ///
    /// Dropping the future is safe: at most an invoice nobody saw, or one use, is lost.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; turn it into a response with [`respond`](crate::respond).
    pub async fn admit(&self, offer: &Offer, info: &RequestInfo<'_>) -> Result<Grant, Rejection> {
        let now = (self.settings.clock)();
        let verdict = match self.peek_at(offer, info, now) {
            Verdict::Granted { verified, paid } => self.redeem(offer, verified, paid, now).await,
            Verdict::Refused(reason) => Err(Unredeemed::Reason(reason)),
        };
        let rejection = match verdict {
            Ok(grant) => return Ok(grant),
            Err(Unredeemed::Outage(outage)) => Rejection::Unavailable(outage),
            Err(Unredeemed::Reason(reason)) => {
                self.challenge(offer, info.peer.network(), reason).await
            }
        };
        self.record_rejection(offer, rejection.code());
        log(offer, &rejection);
        Err(rejection)
    }

    /// Decides whether a credential in the headers buys this request.
    ///
    /// Of several differing credentials the first two are tried, and when neither will do the
    /// reason is the first one's. Takes no use of a counted token.
    #[must_use]
    pub fn peek(&self, offer: &Offer, info: &RequestInfo<'_>) -> Verdict {
        self.peek_at(offer, info, (self.settings.clock)())
    }

    fn peek_at(&self, offer: &Offer, info: &RequestInfo<'_>, now: UnixSeconds) -> Verdict {
        let credentials = match read_credentials(info.headers) {
            Ok(credentials) => credentials,
            Err(malformed) => return Verdict::Refused(Reason::Malformed(malformed)),
        };
        let request = request(offer, info, now);
        let revoked = self.revocations.load();
        let mut reason = None;
        for credential in credentials.iter().take(CREDENTIALS_TRIED_MAX) {
            match l402::verify(&self.keys, &revoked, credential, &request) {
                Ok(verified) => {
                    let paid = price_in(credential);
                    return Verdict::Granted { verified, paid };
                }
                Err(denial) => reason = reason.or(Some(Reason::Denied(denial))),
            }
        }
        Verdict::Refused(reason.unwrap_or(Reason::NoCredential))
    }

    /// Asks for payment because of `reason`, or says why that is not possible.
    ///
    /// Nothing is kept of a challenge, so giving out any number of them costs no memory.
    pub async fn challenge(
        &self,
        offer: &Offer,
        network: PeerNetwork,
        reason: Reason,
    ) -> Rejection {
        match self.quote(offer, network).await {
            Ok(challenge) => Rejection::PaymentRequired(Box::new(PaymentRequired {
                reason,
                service: offer.service().clone(),
                price: offer.price(),
                challenge,
            })),
            Err(rejection) => rejection,
        }
    }

    async fn quote(
        &self,
        offer: &Offer,
        network: PeerNetwork,
    ) -> Result<Vec<HeaderValue>, Rejection> {
        self.limiter.take(network, (self.settings.clock)())?;
        let invoice = self.invoice(offer).await?;
        Ok(self.mint(offer, &invoice)?)
    }

    async fn invoice(&self, offer: &Offer) -> Result<Invoice, Outage> {
        let settings = &self.settings;
        let _room = self
            .invoices
            .try_acquire()
            .map_err(|_none_left| Outage::WalletBusy {
                in_flight_max: settings.invoices_in_flight_max,
            })?;
        let terms = InvoiceTerms {
            amount: offer.price(),
            memo: offer.memo().to_owned(),
            expiry_secs: offer.invoice_expiry_secs().get(),
        };
        let invoice = tokio::time::timeout(settings.invoice_timeout, self.invoicer.invoice(terms))
            .await
            .map_err(|_elapsed| Outage::WalletSlow {
                timeout_ms: settings.invoice_timeout.as_millis(),
            })??;
        if invoice.amount() != Some(offer.price()) {
            return Err(Outage::WrongInvoice {
                asked: offer.price(),
                got: invoice.amount(),
            });
        }
        Ok(invoice)
    }

    fn mint(&self, offer: &Offer, invoice: &Invoice) -> Result<Vec<HeaderValue>, Outage> {
        let now = (self.settings.clock)();
        let services = offer.services()?;
        let caveats = offer.caveats(now)?;
        let entropy = (self.settings.entropy)()?;
        Challenge::issue(&self.keys, invoice, &services, &caveats, now, entropy)?
            .header_values(self.settings.lsat)
            .into_iter()
            .map(|line| {
                let mut value = HeaderValue::try_from(line)?;
                value.set_sensitive(true);
                Ok(value)
            })
            .collect()
    }

    /// Takes a use of a counted token, and notes the request that was granted.
    async fn redeem(
        &self,
        offer: &Offer,
        verified: Verified,
        paid: Option<Msat>,
        at: UnixSeconds,
    ) -> Result<Grant, Unredeemed> {
        let identifier = *verified.scope().identifier();
        let grant = match verified {
            Verified::Unlimited(grant) => grant,
            Verified::Counted(uncounted) => {
                let uses_max = uncounted.uses_max();
                match self.ledger.consume(identifier.token_id, uses_max).await {
                    Ok(Use::Taken { left }) => uncounted.counted(CountedUse::new(left)),
                    Ok(Use::Exhausted) => return Err(Unredeemed::Reason(Reason::Exhausted)),
                    Err(error) => return Err(Unredeemed::Outage(Outage::Ledger(error))),
                }
            }
        };
        self.ledger.record(Event::Granted(GrantedEvent {
            token: identifier.token_id,
            payment_hash: identifier.payment_hash,
            service: offer.service().clone(),
            paid,
            at,
        }));
        Ok(grant)
    }

    fn record_rejection(&self, offer: &Offer, reason: ReasonCode) {
        self.ledger.record(Event::Refused(RefusedEvent {
            service: offer.service().clone(),
            reason,
            at: (self.settings.clock)(),
        }));
    }
}

fn request<'a>(
    offer: &'a Offer,
    info: &'a RequestInfo<'a>,
    now: UnixSeconds,
) -> l402::RequestContext<'a> {
    let origin = info.headers.get(header::ORIGIN);
    let service = offer.service().as_str();
    l402::RequestContext::new(service, info.method.as_str(), info.path, now)
        .with_tier(offer.tier())
        .with_capability(offer.capability().map(|capability| capability.as_str()))
        .with_client_ip(info.peer.address)
        .with_origin(origin.and_then(|origin| origin.to_str().ok()))
        .with_tls_certificate(info.peer.tls_fingerprint.as_ref())
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("invoicer", &self.invoicer)
            .field("ledger", &self.ledger)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Tells the log what the client is not told: why payments cannot be taken.
fn log(offer: &Offer, rejection: &Rejection) {
    let service = offer.service().as_str();
    match rejection {
        Rejection::Unavailable(outage) => {
            let error: &(dyn Error + 'static) = outage;
            tracing::warn!(service, error, "no payment can be taken");
        }
        Rejection::PaymentRequired(_) | Rejection::TooManyChallenges(_) => {
            tracing::debug!(service, reason = rejection.code().as_str(), "refused");
        }
    }
}

/// Why a genuine token did not get its request after all.
enum Unredeemed {
    Outage(Outage),
    Reason(Reason),
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

/// A client may hold an old token beside a new one; more is a search at our expense.
const CREDENTIALS_TRIED_MAX: usize = 2;
const INVOICE_TIMEOUT: Duration = Duration::from_secs(10);
const INVOICES_IN_FLIGHT_MAX: usize = 256;
