//! Why is a request not let through?
//!
//! Three answers, kept apart by type so that one cannot be mistaken for another: the client
//! has to pay, the client has to wait, or we are at fault. What a client reads is a
//! [`ReasonCode`] and a sentence; what the log reads is the [`Outage`] with its sources.

use http::HeaderValue;
use http::header::InvalidHeaderValue;
use l402::{CaveatError, CredentialError, Denial, MacaroonError, Msat};
use tollway_lightning::InvoicerError;

use crate::ledger::LedgerError;
use crate::limit::OverLimit;
use crate::offer::ServiceName;

/// Why a request is not let through, by who has to do something about it.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The client: pay the invoice enclosed, and come back with the token.
    #[error("payment required: {}", .0.reason)]
    PaymentRequired(Box<Demand>),
    /// The client: wait.
    #[error(transparent)]
    TooManyChallenges(#[from] OverLimit),
    /// We: something behind the gate does not work.
    #[error(transparent)]
    Unavailable(#[from] Outage),
}

impl Refusal {
    /// What clients, metrics and the ledger call this refusal.
    #[must_use]
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::PaymentRequired(demand) => demand.reason.code(),
            Self::TooManyChallenges(_) => ReasonCode::TooManyChallenges,
            Self::Unavailable(_) => ReasonCode::Unavailable,
        }
    }
}

/// What a client is asked to pay, and for what.
#[derive(Debug)]
pub struct Demand {
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

/// Why what a client sent does not buy the request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Reason {
    /// The token is genuine and buys something else, or nothing any more.
    #[error(transparent)]
    Denied(Denial),
    /// Every use the token was good for has been taken.
    #[error("every use of the token has been taken")]
    Exhausted,
    /// There is a credential and it cannot be read.
    #[error("the credential cannot be read: {0}")]
    Malformed(CredentialError),
    /// There is no credential.
    #[error("this request needs a paid token")]
    NoCredential,
}

impl Reason {
    /// What clients, metrics and the ledger call this reason.
    #[must_use]
    pub const fn code(&self) -> ReasonCode {
        match self {
            Self::Denied(denial) => code_of_denial(denial),
            Self::Exhausted => ReasonCode::Exhausted,
            Self::Malformed(_) => ReasonCode::Malformed,
            Self::NoCredential => ReasonCode::NoCredential,
        }
    }
}

/// What is wrong on our side. For the log: no client ever reads it.
#[derive(Debug, thiserror::Error)]
pub enum Outage {
    /// The offer cannot be written into a token. Wants another configuration.
    #[error("the offer does not fit into a token")]
    Caveat(#[from] CaveatError),
    /// The operating system has no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The wallet's invoice cannot stand in a header.
    #[error("the challenge cannot be written into a header")]
    Header(#[from] InvalidHeaderValue),
    /// The wallet did not make an invoice.
    #[error("the wallet made no invoice")]
    Invoicer(#[from] InvoicerError),
    /// A counted use could not be taken.
    #[error("a counted use could not be taken")]
    Ledger(#[from] LedgerError),
    /// The token does not fit a header.
    #[error("the token cannot be minted")]
    Mint(#[from] MacaroonError),
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
    /// The wallet asks for something else than it was told to.
    #[error("the wallet was told to ask for {asked} and asks for {got:?}")]
    WrongInvoice {
        /// The price.
        asked: Msat,
        /// The amount in the invoice; `None` when the payer would choose.
        got: Option<Msat>,
    },
}

/// The source of randomness failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the operating system has no randomness to give")]
pub struct EntropyError;

/// A refusal in one word: part of the protocol with clients, and a label of metrics.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ReasonCode {
    /// `exhausted`
    Exhausted,
    /// `expired`
    Expired,
    /// `forged`
    Forged,
    /// `malformed`
    Malformed,
    /// `missing_capability`
    MissingCapability,
    /// `no_credential`
    NoCredential,
    /// `revoked`
    Revoked,
    /// `third_party`
    ThirdParty,
    /// `too_many_challenges`
    TooManyChallenges,
    /// `unavailable`
    Unavailable,
    /// `unpaid`
    Unpaid,
    /// `unreadable_caveat`
    UnreadableCaveat,
    /// `widened_caveat`
    WidenedCaveat,
    /// `wrong_client`
    WrongClient,
    /// `wrong_method`
    WrongMethod,
    /// `wrong_path`
    WrongPath,
    /// `wrong_service`
    WrongService,
}

impl ReasonCode {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Expired => "expired",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::MissingCapability => "missing_capability",
            Self::NoCredential => "no_credential",
            Self::Revoked => "revoked",
            Self::ThirdParty => "third_party",
            Self::TooManyChallenges => "too_many_challenges",
            Self::Unavailable => "unavailable",
            Self::Unpaid => "unpaid",
            Self::UnreadableCaveat => "unreadable_caveat",
            Self::WidenedCaveat => "widened_caveat",
            Self::WrongClient => "wrong_client",
            Self::WrongMethod => "wrong_method",
            Self::WrongPath => "wrong_path",
            Self::WrongService => "wrong_service",
        }
    }
}

const fn code_of_denial(denial: &Denial) -> ReasonCode {
    match denial {
        Denial::Expired { .. } => ReasonCode::Expired,
        Denial::Forged => ReasonCode::Forged,
        Denial::MissingCapability { .. } => ReasonCode::MissingCapability,
        Denial::Revoked => ReasonCode::Revoked,
        Denial::ThirdParty => ReasonCode::ThirdParty,
        Denial::Unpaid => ReasonCode::Unpaid,
        Denial::Unreadable { .. } => ReasonCode::UnreadableCaveat,
        Denial::Widened { .. } => ReasonCode::WidenedCaveat,
        Denial::WrongClient { .. } => ReasonCode::WrongClient,
        Denial::WrongMethod { .. } => ReasonCode::WrongMethod,
        Denial::WrongPath { .. } => ReasonCode::WrongPath,
        Denial::WrongService { .. } => ReasonCode::WrongService,
    }
}
