//! Wallet call errors.

/// Why a wallet did not do what was asked. The call moved no money, and is no evidence about any
/// payment or invoice.
///
/// It is always our failure, never the client's. Reasons are for the log and the person who
/// configured the wallet, and contain no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// The wallet's credential does not allow the call: the configuration has to change.
    #[error("the wallet's credential lacks the permission {permission}: {remedy}")]
    Denied {
        /// The permission, as the wallet calls it.
        permission: String,
        /// Where to get a credential that has it.
        remedy: String,
    },
    /// The wallet cannot be opened as configured.
    #[error("the wallet cannot be opened: {reason}")]
    Misconfigured {
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// The wallet responded with a refusal or with something unreadable; the same call will
    /// end the same way.
    #[error("the wallet refused: {reason}")]
    Refused {
        /// The wallet's reason.
        reason: String,
    },
    /// The wallet does not run, or did not respond in time. The same call may work later.
    #[error("the wallet cannot be reached: {reason}")]
    Unreachable {
        /// What happened.
        reason: String,
    },
    /// The wallet has no such call.
    #[error("the wallet does not support {call}")]
    Unsupported {
        /// What was asked.
        call: &'static str,
    },
}
