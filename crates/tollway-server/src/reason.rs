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
            Self::Denied(denial) => ReasonCode::Denied(denial.code()),
            Self::Exhausted => ReasonCode::Exhausted,
            Self::Malformed(_) => ReasonCode::Malformed,
            Self::NoCredential => ReasonCode::NoCredential,
        }
    }
}

/// A rejection in one word: part of the protocol with clients, and a label of metrics.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ReasonCode {
    /// The [code](Denial::code) of a denial, such as `expired`
    Denied(&'static str),
    /// `exhausted`
    Exhausted,
    /// `malformed`
    Malformed,
    /// `no_credential`
    NoCredential,
    /// `unsellable_path`
    UnsellablePath,
    /// `token_in_use`
    TokenInUse,
    /// `too_many_challenges`
    TooManyChallenges,
    /// `too_many_requests`
    TooManyRequests,
    /// `unavailable`
    Unavailable,
}

impl ReasonCode {
    /// Every word there is: the values of `reason` in responses, metrics and reports.
    pub const WORDS: [&str; Denial::CODES.len() + OWN_WORDS.len()] = {
        let mut words = [""; Denial::CODES.len() + OWN_WORDS.len()];
        let (own, denied) = words.split_at_mut(OWN_WORDS.len());
        own.copy_from_slice(&OWN_WORDS);
        denied.copy_from_slice(&Denial::CODES);
        words
    };

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied(code) => code,
            Self::Exhausted => "exhausted",
            Self::Malformed => "malformed",
            Self::NoCredential => "no_credential",
            Self::UnsellablePath => "unsellable_path",
            Self::TokenInUse => "token_in_use",
            Self::TooManyChallenges => "too_many_challenges",
            Self::TooManyRequests => "too_many_requests",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The words of all but the denials.
const OWN_WORDS: [&str; 8] = [
    "exhausted",
    "malformed",
    "no_credential",
    "token_in_use",
    "too_many_challenges",
    "too_many_requests",
    "unavailable",
    "unsellable_path",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_words_is_complete() {
        let own = [
            ReasonCode::Exhausted,
            ReasonCode::Malformed,
            ReasonCode::NoCredential,
            ReasonCode::TokenInUse,
            ReasonCode::TooManyChallenges,
            ReasonCode::TooManyRequests,
            ReasonCode::Unavailable,
            ReasonCode::UnsellablePath,
        ];

        assert_eq!(own.map(ReasonCode::as_str), OWN_WORDS);
        assert!(ReasonCode::WORDS.starts_with(&OWN_WORDS));
        assert!(ReasonCode::WORDS.ends_with(&Denial::CODES));
    }
}
