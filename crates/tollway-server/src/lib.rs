//! Selling over L402 as a library.
//!
//! | question | module |
//! |---|---|
//! | What must a token be for? | [`Requirement`] |
//! | What does it cost? | [`Terms`], [`Pricer`], [`check_prices`] |
//! | May this request pass? | [`Gate`] |
//! | Which tokens are genuine? | [`keys`] |
//! | If not, why, and what does the client read? | [`Rejection`], [`respond`] |
//! | How much may strangers cost us? | [`ChallengeLimit`] |
//! | What may no longer be used? | [`ActiveRevocations`] |
//! | What does a granted request still owe? | [`Settlement`] |
//! | What was sold? | [`ledger`] |
//! | How does my own service use all this? | [`paywall`] |
#![forbid(unsafe_code)]

#[cfg(feature = "sqlite")]
mod data_dir;
mod file_owner;
mod forward;
mod gate;
pub mod keys;
pub mod ledger;
mod limit;
mod name;
pub mod paywall;
mod peer;
mod price_check;
mod pricer;
mod reason;
mod rejection;
mod request;
mod requirement;
pub mod respond;
mod revocations;
mod settlement;
mod terms;

#[cfg(feature = "sqlite")]
pub use data_dir::{DataDir, DataDirError};
pub use forward::strip_credentials;
pub use gate::{Gate, GateSettings, Peeked};
pub use limit::{ChallengeLimit, Loopback, TooManyChallenges};
pub use name::{Capability, NameError, ServiceName};
pub use peer::{Peer, PeerNetwork};
pub use price_check::{PriceConflict, PricedRoute, check_prices};
pub use pricer::{PriceTable, Pricer, PricerError};
pub use reason::{Reason, ReasonCode};
pub use rejection::{EntropyError, Outage, PaymentRequired, Rejection, TokenInUse};
pub use request::RequestInfo;
pub use requirement::{Requirement, TokenBinding, UnsellablePath};
pub use revocations::ActiveRevocations;
pub use settlement::{Admitted, Ending, Settlement, Usage, is_undelivered};
pub use terms::{Terms, TermsError};

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
