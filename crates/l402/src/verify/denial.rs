//! The reasons a credential does not buy a request.

/// Why a credential does not buy a request.
///
/// Every variant is the client's doing; our own failures are a different type, so that
/// "the database is down" can never be reported as "you have not paid".
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// A deadline has passed.
    #[error("token expired {seconds_ago} s ago")]
    Expired {
        /// Whole seconds between the deadline and the request.
        seconds_ago: u64,
    },
    /// The signature does not chain to our root key. Carries no detail, on purpose.
    #[error("token was not issued here")]
    Forged,
    /// The token is for other parts of the service.
    #[error("token lacks capability `{requested}`")]
    MissingCapability {
        /// The capability the route needs.
        requested: String,
    },
    /// The issuer has revoked the token.
    #[error("token was revoked")]
    Revoked,
    /// The token needs a discharge from a third party, which is not supported.
    #[error("token carries a third-party caveat")]
    ThirdParty,
    /// The token is for a lower tier of the service.
    #[error("token is for tier {held}, the request needs tier {needed}")]
    TierTooLow {
        /// The tier in the token.
        held: u8,
        /// The tier the route needs.
        needed: u8,
    },
    /// A condition of the caller's own does not hold.
    #[error("caveat `{condition}` does not hold")]
    Unmet {
        /// The condition.
        condition: String,
    },
    /// SHA-256 of the preimage is not the payment hash in the token.
    #[error("preimage does not match the token's payment hash")]
    Unpaid,
    /// A known condition with a value that cannot be read.
    #[error("caveat `{condition}` has an unreadable value")]
    Unreadable {
        /// The condition.
        condition: String,
    },
    /// A later caveat allows more than an earlier one.
    #[error("caveat `{condition}` is widened by a later one")]
    Widened {
        /// The condition.
        condition: String,
    },
    /// The token is bound to another client.
    #[error("token is bound to another client by `{condition}`")]
    WrongClient {
        /// The condition that binds it: `ip`, `origin` or `tls_fingerprint`.
        condition: &'static str,
    },
    /// The token is for other methods.
    #[error("token is not for method `{requested}`")]
    WrongMethod {
        /// The method of the request.
        requested: String,
    },
    /// The token is for other paths.
    #[error("token is not for this path, only for `{granted}`")]
    WrongPath {
        /// The prefix in the token.
        granted: String,
    },
    /// The token is genuine and paid, for something else.
    #[error("token is for service `{granted}`, request is for `{requested}`")]
    WrongService {
        /// The services named in the token; empty when it names none.
        granted: String,
        /// The service this route belongs to, with the path when the token must name one.
        requested: String,
    },
}

impl Denial {
    /// Every [`code`](Self::code), in alphabetical order.
    pub const CODES: [&str; 14] = [
        "expired",
        "forged",
        "missing_capability",
        "revoked",
        "third_party",
        "tier_too_low",
        "unmet_caveat",
        "unpaid",
        "unreadable_caveat",
        "widened_caveat",
        "wrong_client",
        "wrong_method",
        "wrong_path",
        "wrong_service",
    ];

    /// Returns the denial as one word of the protocol with clients: a label for metrics and
    /// the same in every binding.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::Forged => "forged",
            Self::MissingCapability { .. } => "missing_capability",
            Self::Revoked => "revoked",
            Self::ThirdParty => "third_party",
            Self::TierTooLow { .. } => "tier_too_low",
            Self::Unmet { .. } => "unmet_caveat",
            Self::Unpaid => "unpaid",
            Self::Unreadable { .. } => "unreadable_caveat",
            Self::Widened { .. } => "widened_caveat",
            Self::WrongClient { .. } => "wrong_client",
            Self::WrongMethod { .. } => "wrong_method",
            Self::WrongPath { .. } => "wrong_path",
            Self::WrongService { .. } => "wrong_service",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_codes_is_complete() {
        let (text, condition) = (String::new, String::new);
        let all = [
            Denial::Expired { seconds_ago: 0 },
            Denial::Forged,
            Denial::MissingCapability { requested: text() },
            Denial::Revoked,
            Denial::ThirdParty,
            Denial::TierTooLow { held: 0, needed: 1 },
            Denial::Unmet {
                condition: condition(),
            },
            Denial::Unpaid,
            Denial::Unreadable {
                condition: condition(),
            },
            Denial::Widened {
                condition: condition(),
            },
            Denial::WrongClient { condition: "ip" },
            Denial::WrongMethod { requested: text() },
            Denial::WrongPath { granted: text() },
            Denial::WrongService {
                granted: text(),
                requested: text(),
            },
        ];

        assert_eq!(all.map(|denial| denial.code()), Denial::CODES);
    }
}
