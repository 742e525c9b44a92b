//! Brakes: where nothing is bought for a while, because what was paid for brought nothing.
//!
//! A brake stops purchases of what was paid for: the services that the token names, or the folder
//! of the path where it names none; or the very path that redirects to another demand for payment,
//! so that the other may be requested by itself. A seller could name another service in each challenge, so a
//! second payment that brings nothing stops the whole origin: it collects two in
//! [`BRAKE_SECS`], whatever it calls what it sells.
//!
//! A brake ends when what was paid for is delivered after all: a successful response at its path,
//! or with its token where only the application had refused. A redirect, an error and another
//! challenge end none. A purchase that the buyer insists on ends those that it passed, once its
//! response is delivered.

use std::fmt;

use l402::{Msat, PaymentHash, UnixSeconds};

use super::purchase::{folder, is_at_or_below};
use super::{Book, BookError, Rows, SoldToken, TargetResource};
use crate::origin::Origin;
use crate::refusal_reason::RefusalReason;
use crate::visible::visible;

/// Where nothing is bought for a while, because what was paid for brought nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Brake {
    /// The seller.
    pub origin: Origin,
    /// What is not bought from it.
    pub scope: BrakeScope,
    /// The path that was paid for.
    pub path: String,
    /// The payment that brought nothing.
    pub payment_hash: PaymentHash,
    /// What was paid, fees included, in millisatoshis.
    pub paid: Msat,
    /// When it ends.
    pub until: UnixSeconds,
    /// What happened.
    pub cause: BrakeCause,
}

/// A payment that brought nothing.
pub(crate) struct WastedPayment<'a> {
    /// What was paid for.
    pub(crate) resource: &'a TargetResource,
    /// Where the request was addressed, before any redirect.
    pub(crate) addressed: &'a Origin,
    /// What is not bought any more.
    pub(crate) scope: BrakeScope,
    pub(crate) payment_hash: PaymentHash,
    pub(crate) paid: Msat,
    pub(crate) cause: BrakeCause,
}

/// What a brake stops at its origin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BrakeScope {
    /// Everything.
    Origin,
    /// This very path.
    Path(String),
    /// What lies below a path, which ends in `/`.
    Folder(String),
    /// These services.
    Services(Vec<String>),
}

/// What happened to a payment that set a brake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BrakeCause {
    /// The token was refused for a reason that its own text contradicts.
    Contradicted(RefusalReason),
    /// The token was bought within a day, brought nothing, and is refused.
    BroughtNothing(RefusalReason),
    /// The token is good for this as far as it shows, and is refused; others for the same were
    /// bought within a day.
    RefusedAgain(RefusalReason),
    /// The token was refused as exhausted although less than half of its uses were taken here, and
    /// another one for the same was bought within a day.
    ExhaustedEarly,
    /// The application refused the first request with the token, with 401 or 403.
    Forbidden,
    /// The request that was paid for was redirected to this address, which asks to be paid too.
    Redirected(String),
    /// The token was asked to be paid for again as soon as it was bought.
    Refused(RefusalReason),
    /// Uses of the token may have been taken, and delivered nothing.
    Undelivered,
}

impl BrakeCause {
    /// Returns what happened to a payment, as the beginning of a sentence.
    #[must_use]
    pub fn of_payment(&self, payment_hash: &PaymentHash, paid: Msat, path: &str) -> String {
        let payment = format!("payment {payment_hash} of {paid} was made for {path}");
        match self {
            Self::Contradicted(RefusalReason::Unstated | RefusalReason::Other(_)) => {
                format!("{payment}, and its token, which was accepted there, is refused")
            }
            Self::Contradicted(reason) => {
                format!("{payment}, and its token is refused as {reason}, which it is not")
            }
            Self::BroughtNothing(reason) => {
                format!(
                    "{payment}, and its token has brought nothing and is refused{}",
                    stated(reason)
                )
            }
            Self::RefusedAgain(reason) => format!(
                "{payment}, and its token is refused{}; others for the same were bought within a day",
                stated(reason)
            ),
            Self::ExhaustedEarly => format!(
                "{payment}, and its token is refused as exhausted although less than half of its uses were taken here; another one for the same was bought within a day"
            ),
            Self::Forbidden => {
                format!("{payment}, and the server forbade the request that was paid for")
            }
            Self::Refused(RefusalReason::Unstated) => {
                format!("{payment}, and the server refused its token")
            }
            Self::Refused(reason) => {
                format!("{payment}, and the server refused its token: {reason}")
            }
            Self::Redirected(address) => {
                let address = visible(address, ADDRESS_MAX);
                format!(
                    "{payment}, and bought a redirect to {address}, which asks to be paid: request that"
                )
            }
            Self::Undelivered => {
                format!("{payment}, and the response to a use of its token was not delivered")
            }
        }
    }
}

/// Returns a reason as an addition to the statement of a refusal.
fn stated(reason: &RefusalReason) -> String {
    if *reason == RefusalReason::Unstated {
        String::new()
    } else {
        format!(": {reason}")
    }
}

/// As an addition to the name of an origin.
impl fmt::Display for BrakeScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin => Ok(()),
            Self::Path(path) => write!(f, "{path} itself"),
            Self::Folder(folder) => f.write_str(folder),
            Self::Services(names) => {
                let names = visible(&names.join(", "), NAMES_MAX);
                write!(f, " for service {names}")
            }
        }
    }
}

impl BrakeScope {
    /// Returns what is stopped after a payment for a token at a path.
    pub(crate) fn of(token: &SoldToken, path: &str) -> Self {
        let services = token.service_names();
        if services.is_empty() {
            Self::Folder(folder(path).to_owned())
        } else {
            Self::Services(services)
        }
    }

    /// Returns true when the purchase of a token at a path is within it.
    fn holds(&self, token: &SoldToken, path: &str) -> bool {
        match self {
            Self::Origin => true,
            Self::Path(stopped) => path == stopped,
            Self::Folder(folder) => is_at_or_below(path, folder),
            Self::Services(stopped) => {
                let named = token.service_names();
                named.iter().any(|name| stopped.contains(name))
            }
        }
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        match text.split_once('=') {
            Some(("folder", folder)) => Some(Self::Folder(folder.to_owned())),
            Some(("path", path)) => Some(Self::Path(path.to_owned())),
            Some(("services", list)) => {
                Some(Self::Services(list.split(',').map(str::to_owned).collect()))
            }
            Some(_) => None,
            None => (text == ORIGIN).then_some(Self::Origin),
        }
    }

    /// Returns its text in a database.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Origin => ORIGIN.to_owned(),
            Self::Path(path) => format!("path={path}"),
            Self::Folder(folder) => format!("folder={folder}"),
            Self::Services(services) => format!("services={}", services.join(",")),
        }
    }
}

impl Brake {
    /// Returns the brakes after a payment that brought nothing: at its seller, and where the
    /// request was addressed.
    pub(crate) fn after(payment: WastedPayment<'_>, now: UnixSeconds) -> [Self; 2] {
        let brake = Self {
            origin: payment.resource.origin.clone(),
            scope: payment.scope,
            path: payment.resource.path.clone(),
            payment_hash: payment.payment_hash,
            paid: payment.paid,
            until: now.plus_secs(BRAKE_SECS),
            cause: payment.cause,
        };
        let addressed = Self {
            origin: payment.addressed.clone(),
            ..brake.clone()
        };
        [brake, addressed]
    }

    /// Returns true while it holds. One that was written by a clock far ahead ends when the clock
    /// is set right.
    fn is_in_force(&self, now: UnixSeconds) -> bool {
        now < self.until && self.until <= now.plus_secs(BRAKE_SECS)
    }

    /// Returns true when a successful response disproves it: at its path, or to its token where
    /// only the application had refused.
    pub(crate) fn is_disproved(&self, shown: &PaymentHash, path: &str) -> bool {
        let is_applications = self.cause == BrakeCause::Forbidden;
        self.path == path || (is_applications && self.payment_hash == *shown)
    }
}

/// Returns the brakes of an origin that are in force.
pub(super) fn in_force(
    rows: &dyn Rows,
    origin: &Origin,
    now: UnixSeconds,
) -> Result<Vec<Brake>, BookError> {
    let mut brakes = rows.brakes(origin)?;
    brakes.retain(|brake| brake.is_in_force(now));
    Ok(brakes)
}

/// Returns the brake among those of one origin that stops the purchase of a token at a path. One
/// of two payments that brought nothing stops all of the origin.
pub(crate) fn stopping(brakes: &[Brake], token: &SoldToken, path: &str) -> Option<Brake> {
    if let Some(brake) = brakes.iter().find(|brake| brake.scope.holds(token, path)) {
        return Some(brake.clone());
    }
    let latest = brakes.iter().max_by_key(|brake| brake.until.as_secs())?;
    let is_second = brakes
        .iter()
        .any(|brake| brake.payment_hash != latest.payment_hash);
    is_second.then(|| Brake {
        scope: BrakeScope::Origin,
        ..latest.clone()
    })
}

/// Returns the payments whose brakes the purchase of a token at a path passes, those of one origin
/// given.
pub(crate) fn passed(brakes: &[Brake], token: &SoldToken, path: &str) -> Vec<PaymentHash> {
    let stop = stopping(brakes, token, path);
    let is_origins = stop.is_some_and(|stop| stop.scope == BrakeScope::Origin);
    let passed = brakes
        .iter()
        .filter(|brake| is_origins || brake.scope.holds(token, path));
    passed.map(|brake| brake.payment_hash).collect()
}

impl Book {
    /// Stops purchases for a while. Those brakes of the origin that have ended are removed.
    pub(crate) fn brake(&self, brakes: &[Brake], now: UnixSeconds) -> Result<(), BookError> {
        self.write(|rows, _session| put(rows, brakes, now))
    }
}

/// Writes brakes.
pub(super) fn put(
    rows: &mut dyn Rows,
    brakes: &[Brake],
    now: UnixSeconds,
) -> Result<(), BookError> {
    for brake in brakes {
        rows.remove_brakes_until(&brake.origin, now)?;
        rows.put_brake(brake)?;
    }
    Ok(())
}

/// How long a brake holds.
pub(crate) const BRAKE_SECS: u64 = 86_400;
const ORIGIN: &str = "*";
/// Characters of an address that are shown.
const ADDRESS_MAX: usize = 256;
/// Characters of services' names that are shown.
const NAMES_MAX: usize = 128;
