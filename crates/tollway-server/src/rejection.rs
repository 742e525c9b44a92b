//! Rejections: why a request is not admitted.
//!
//! Kept apart by type so that one cannot be mistaken for another: the client has to pay, the
//! client has to change or wait, or we are at fault. A client reads a [`ReasonCode`] and a
//! sentence; the log reads the [`Outage`] with its sources.

use std::num::NonZeroU32;

use http::HeaderValue;
use http::header::InvalidHeaderValue;
use l402::{CaveatError, MacaroonError, Msat, UnixSeconds};
use tollway_lightning::WalletError;

use crate::keys::KeyStoreError;
use crate::ledger::LedgerError;
use crate::limit::TooManyChallenges;
use crate::name::ServiceName;
use crate::pricer::PricerError;
use crate::reason::{Reason, ReasonCode};
use crate::requirement::UnsellablePath;

/// Why a request is not let through, by who has to do something about it.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The client: ask for another path; this one cannot be sold.
    #[error(transparent)]
    UnsellablePath(#[from] UnsellablePath),
    /// The client: pay the invoice enclosed, and come back with the token.
    #[error("payment required: {}", .0.reason)]
    PaymentRequired(Box<PaymentRequired>),
    /// The client: wait for its other requests with this token to end.
    #[error(transparent)]
    TokenInUse(#[from] TokenInUse),
    /// The client: wait.
    #[error(transparent)]
    TooManyChallenges(#[from] TooManyChallenges),
    /// The client: wait for one of its other requests with this token to end.
    #[error(transparent)]
    TooManyRequests(#[from] TooManyRequests),
    /// We: a backend of the gate does not work.
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

impl From<KeyStoreError> for Rejection {
    fn from(error: KeyStoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl Rejection {
    /// What clients, metrics and the ledger call this rejection.
    #[must_use]
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::UnsellablePath(_) => ReasonCode::UnsellablePath,
            Self::PaymentRequired(demand) => demand.reason.code(),
            Self::TokenInUse(_) => ReasonCode::TokenInUse,
            Self::TooManyChallenges(_) => ReasonCode::TooManyChallenges,
            Self::TooManyRequests(_) => ReasonCode::TooManyRequests,
            Self::Unavailable(_) => ReasonCode::Unavailable,
        }
    }
}

/// What a client is asked to pay, and for what.
#[derive(Debug)]
pub struct PaymentRequired {
    /// Why what the client sent, if anything, does not do.
    pub reason: Reason,
    /// The service asked for.
    pub service: ServiceName,
    /// What it costs, in millisatoshis.
    pub price: Msat,
    /// The values of the `WWW-Authenticate` lines, in order: a token, and the invoice that
    /// makes it valid. Marked sensitive, so that `Debug` does not show them.
    pub challenge: Vec<HeaderValue>,
}

/// What is wrong on our side. For the log: no client ever reads it.
#[derive(Debug, thiserror::Error)]
pub enum Outage {
    /// Every token minted now is revoked: the clock was set back, or tokens of the future were
    /// revoked.
    #[error("tokens minted before {revoked_before} are revoked, and it is {now} (Unix seconds)")]
    AlreadyRevoked {
        /// The time.
        now: UnixSeconds,
        /// The latest moment before which everything minted is revoked.
        revoked_before: UnixSeconds,
    },
    /// The terms cannot be written into a token. Wants another configuration.
    #[error("the terms do not fit into a token")]
    Caveat(#[from] CaveatError),
    /// The clock stands before 1970.
    #[error("the clock of this machine stands before 1970: set it")]
    Clock,
    /// The operating system has no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The wallet's invoice cannot stand in a header.
    #[error("the challenge cannot be written into a header")]
    Header(#[from] InvalidHeaderValue),
    /// The wallet did not make an invoice.
    #[error("the wallet made no invoice")]
    Invoicer(#[from] WalletError),
    /// A stored key could not be looked up.
    #[error("the key of a token could not be looked up")]
    KeyStore(#[from] KeyStoreError),
    /// A counted use could not be reserved or committed.
    #[error("a counted use could not be taken")]
    Ledger(#[from] LedgerError),
    /// The token does not fit a header.
    #[error("the token cannot be minted")]
    Mint(#[from] MacaroonError),
    /// The pricer names no price.
    #[error("a price could not be determined")]
    Pricer(#[from] PricerError),
    /// The pricer took too long.
    #[error("the pricer named no price within {timeout_ms} ms")]
    PricerSlow {
        /// How long was waited.
        timeout_ms: u128,
    },
    /// A counted token could not be used: the store that counts uses fails.
    #[error("uses cannot be counted: the ledger cannot be written")]
    UsesFail,
    /// As many invoices as allowed are being waited for.
    #[error("{in_flight_max} invoices are being waited for; the wallet is too slow")]
    WalletBusy {
        /// How many are allowed at once.
        in_flight_max: usize,
    },
    /// The wallet took too long.
    #[error("the wallet made no invoice within {timeout_ms} ms")]
    WalletSlow {
        /// How long was waited.
        timeout_ms: u128,
    },
    /// The invoice is over another amount than the price.
    #[error("the wallet was asked for an invoice over {asked} and made one over {got:?}")]
    WrongInvoice {
        /// The price.
        asked: Msat,
        /// The amount in the invoice; `None` when the payer would choose.
        got: Option<Msat>,
    },
}

/// Every use of the token that is left is reserved for a request that is still being served.
///
/// Whether one becomes free depends on how those requests end, so this is not "unpaid": the
/// token may be good for this request in a moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("every use left of the token is held by a request still being served")]
pub struct TokenInUse;

/// As many requests as one token may have at a time are being served.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many requests with one token at a time: {max} are being served")]
pub struct TooManyRequests {
    /// How many one token may have.
    pub max: NonZeroU32,
}

/// The source of randomness failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the operating system has no randomness to give")]
pub struct EntropyError;
