//! Reasons for not letting a request through, as clients, metrics and ledgers name them.
//!
//! [`Reason`] carries the detail a client may read; [`ReasonCode`] is its one-word form, which
//! is all that a ledger stores.

use l402::{CredentialError, Denial};

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

/// A rejection in one word: part of the protocol with clients, and a label of metrics.
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
    /// `unsellable_path`
    UnsellablePath,
    /// `revoked`
    Revoked,
    /// `third_party`
    ThirdParty,
    /// `tier_too_low`
    TierTooLow,
    /// `token_in_use`
    TokenInUse,
    /// `too_many_challenges`
    TooManyChallenges,
    /// `unavailable`
    Unavailable,
    /// `unmet_caveat`
    UnmetCaveat,
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
            Self::UnsellablePath => "unsellable_path",
            Self::Revoked => "revoked",
            Self::ThirdParty => "third_party",
            Self::TierTooLow => "tier_too_low",
            Self::TokenInUse => "token_in_use",
            Self::TooManyChallenges => "too_many_challenges",
            Self::Unavailable => "unavailable",
            Self::UnmetCaveat => "unmet_caveat",
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
        Denial::TierTooLow { .. } => ReasonCode::TierTooLow,
        Denial::Unmet { .. } => ReasonCode::UnmetCaveat,
        Denial::Unpaid => ReasonCode::Unpaid,
        Denial::Unreadable { .. } => ReasonCode::UnreadableCaveat,
        Denial::Widened { .. } => ReasonCode::WidenedCaveat,
        Denial::WrongClient { .. } => ReasonCode::WrongClient,
        Denial::WrongMethod { .. } => ReasonCode::WrongMethod,
        Denial::WrongPath { .. } => ReasonCode::WrongPath,
        Denial::WrongService { .. } => ReasonCode::WrongService,
    }
}
