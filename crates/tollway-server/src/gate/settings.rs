//! Settings of a gate.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use l402::{LegacyLsat, UnixSeconds};

use crate::limit::ChallengeLimit;
use crate::rejection::EntropyError;
use crate::respond::StatusStyle;

/// What can be chosen about a [`Gate`](crate::Gate). The default suits a small service.
#[derive(Clone, Copy, Debug)]
pub struct GateSettings {
    /// How many challenges one client network is given.
    pub challenge_limit: ChallengeLimit,
    /// How long the wallet may take for an invoice. Default 10 s.
    pub invoice_timeout: Duration,
    /// How many invoices may be waited for at once; one more is refused with 503. Default 256.
    pub invoices_in_flight_max: usize,
    /// How many verified credentials are remembered, so that the next request with one is not
    /// verified in full: about 1.5 KiB each, 4.5 KiB at most. 0 remembers none. Default 2,048.
    pub credentials_remembered_max: usize,
    /// How many requests of one token may be served at a time; one more is refused with 429.
    /// `None` is any number. Default 1,000.
    pub requests_per_token_max: Option<NonZeroU32>,
    /// How long a pricer may take. Default 5 s.
    pub pricer_timeout: Duration,
    /// Whether challenges are sent under the older scheme name as well. Default: they are.
    pub lsat: LegacyLsat,
    /// The status for a credential that fails. Default 402.
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
            credentials_remembered_max: CREDENTIALS_REMEMBERED_MAX,
            requests_per_token_max: Some(REQUESTS_PER_TOKEN_MAX),
            pricer_timeout: PRICER_TIMEOUT,
            lsat: LegacyLsat::Emit,
            status: StatusStyle::Lenient402,
            clock: system_clock,
            entropy: system_entropy,
        }
    }
}

fn system_clock() -> UnixSeconds {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is broken; at the end of time no deadline is honoured by mistake.
    since_epoch.map_or(NO_CLOCK, |elapsed| UnixSeconds::new(elapsed.as_secs()))
}

fn system_entropy() -> Result<[u8; 20], EntropyError> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).map_err(|_no_randomness| EntropyError)?;
    Ok(bytes)
}

/// The reading of a clock that stands before 1970.
pub(super) const NO_CLOCK: UnixSeconds = UnixSeconds::new(u64::MAX);
const INVOICE_TIMEOUT: Duration = Duration::from_secs(10);
const PRICER_TIMEOUT: Duration = Duration::from_secs(5);
const INVOICES_IN_FLIGHT_MAX: usize = 256;
const CREDENTIALS_REMEMBERED_MAX: usize = 2_048;
/// Streams of several full HTTP/2 connections.
const REQUESTS_PER_TOKEN_MAX: NonZeroU32 = NonZeroU32::new(1_000).expect("1,000 is not zero");
