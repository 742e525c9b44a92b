//! Gate: admits requests that are paid for, and challenges the others.
//!
//! Redeeming a credential reads headers and walks a chain of hashes, or compares the bytes with
//! those of a credential that is remembered. For a token that is not counted a
//! repeated check neither waits, locks nor looks anything up, however many tokens were ever sold.
//! Everything that can wait is in a [challenge](Gate::challenge), where a request costs an
//! invoice. Nothing is kept of a challenge.
//!
//! [`respond`](crate::respond) turns a rejection into a response.

mod challenge;
mod redeem;
mod remembered;
mod settings;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use l402::{Grant, Msat, UnixSeconds};
use tokio::sync::Semaphore;
use tollway_lightning::Invoicer;

pub use self::redeem::{Peeked, Redeemed};
use self::remembered::Remembered;
pub use self::settings::GateSettings;
use crate::in_flight::InFlight;
use crate::keys::KeySource;
use crate::ledger::{GrantedEvent, LedgerError, LedgerEvent, RefusedEvent, Reports, Stores, Tally};
use crate::limit::ChallengeLimiter;
use crate::pricer::Pricer;
use crate::reason::{Reason, ReasonCode};
use crate::rejection::Rejection;
use crate::request::RequestInfo;
use crate::requirement::Requirement;
use crate::revocations::ActiveRevocations;
use crate::settlement::Admitted;

/// Decides which requests are paid for. Share it in an [`Arc`].
pub struct Gate {
    keys: Arc<dyn KeySource>,
    invoicer: Arc<dyn Invoicer>,
    stores: Stores,
    revocations: ActiveRevocations,
    limiter: ChallengeLimiter,
    remembered: Remembered,
    in_flight: InFlight,
    /// One permit for each invoice that may be waited for.
    invoices: Semaphore,
    /// When a refusal by the limit was last logged, in Unix seconds.
    limit_logged_at: AtomicU64,
    settings: GateSettings,
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
            remembered: Remembered::new(settings.credentials_remembered_max),
            in_flight: InFlight::default(),
            invoices: Semaphore::new(settings.invoices_in_flight_max),
            limit_logged_at: AtomicU64::new(0),
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
    /// of a counted token is reserved before this returns; the
    /// [`Settlement`](crate::Settlement) decides whether it is taken.
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
        match self.admit_paid(requirement, info).await? {
            Redeemed::Admitted(admitted) => Ok(admitted),
            Redeemed::Refused(reason) => Err(self.refuse(requirement, pricer, info, reason).await),
        }
    }

    /// Admits a request that is paid for, and records it. One that is not is offered nothing:
    /// [refuse](Self::refuse) it, when what it could buy can be delivered.
    ///
    /// # Errors
    ///
    /// [`Rejection`] when every use left of the token is held by another request, the token has
    /// too many requests at a time, or the gate cannot decide.
    pub async fn admit_paid(
        &self,
        requirement: &Requirement,
        info: &RequestInfo<'_>,
    ) -> Result<Redeemed, Rejection> {
        let redeemed = self.redeem(requirement, info).await;
        match &redeemed {
            Ok(Redeemed::Admitted(admitted)) => {
                let service = requirement.service().as_str();
                let payment_hash = &admitted.grant.identifier().payment_hash;
                tracing::debug!(service, %payment_hash, "admitted");
            }
            Ok(Redeemed::Refused(_)) => {}
            Err(rejection) => {
                self.record_rejection(requirement, rejection.code());
                log(requirement, rejection);
            }
        }
        redeemed
    }

    /// Refuses a request that [`admit_paid`](Self::admit_paid) did not admit because of `reason`:
    /// with a [challenge](Self::challenge), if one can be made. Records it.
    pub async fn refuse(
        &self,
        requirement: &Requirement,
        pricer: &dyn Pricer,
        info: &RequestInfo<'_>,
        reason: Reason,
    ) -> Rejection {
        let rejection = self.challenge(requirement, pricer, info, reason).await;
        self.record_rejection(requirement, rejection.code());
        log(requirement, &rejection);
        if matches!(rejection, Rejection::TooManyChallenges(_)) {
            self.log_limit(info);
        }
        rejection
    }

    /// Logs that the challenge limit refuses clients, no more than once a minute: they may be
    /// many clients of one proxy.
    fn log_limit(&self, info: &RequestInfo<'_>) {
        let now = (self.settings.clock)().as_secs();
        let last = self.limit_logged_at.load(Ordering::Relaxed);
        if now.saturating_sub(last) < LIMIT_LOGGED_EVERY_SECS && last != 0 {
            return;
        }
        self.limit_logged_at.store(now, Ordering::Relaxed);
        let limit = &self.settings.challenge_limit;
        let client = info.peer.address.map(tracing::field::display);
        tracing::warn!(
            per_minute = limit.per_minute,
            client,
            "a client network is refused more challenges; if its address is that of a proxy, name it \
             as a trusted proxy"
        );
    }

    fn record_grant(
        &self,
        requirement: &Requirement,
        grant: &Grant,
        paid: Option<Msat>,
        requests: Tally,
        at: UnixSeconds,
    ) {
        let identifier = grant.identifier();
        self.stores
            .events
            .record(LedgerEvent::Granted(GrantedEvent {
                token: identifier.token_id,
                payment_hash: identifier.payment_hash,
                service: requirement.service().clone(),
                paid,
                uses_max: grant.scope().uses_max(),
                requests,
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

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("invoicer", &self.invoicer)
            .field("stores", &self.stores)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

const LIMIT_LOGGED_EVERY_SECS: u64 = 60;

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
        | Rejection::TooManyChallenges(_)
        | Rejection::TooManyRequests(_) => {
            tracing::debug!(service, reason = rejection.code().as_str(), "refused");
        }
    }
}
