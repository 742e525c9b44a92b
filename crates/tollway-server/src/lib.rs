//! Selling over L402 as a library.
//!
//! | question | module |
//! |---|---|
//! | What is for sale, and for how much? | [`Offer`] |
//! | May this request pass? | [`Gate`] |
//! | If not, why, and what does the client read? | [`Rejection`], [`respond`] |
//! | How much may strangers cost us? | [`ChallengeLimit`] |
//! | What may no longer be used? | [`Revocations`] |
//! | What was sold? | [`ledger`] |
//! | How does my own service use all this? | [`paywall`] |
#![forbid(unsafe_code)]

mod forward;
mod gate;
pub mod ledger;
mod limit;
mod offer;
pub mod paywall;
mod peer;
mod reason;
mod rejection;
pub mod respond;
mod revocations;

pub use forward::strip_credentials;
pub use gate::{Gate, GateSettings, RequestInfo, Verdict};
pub use limit::{ChallengeLimit, Loopback, OverLimit};
pub use offer::{Capability, NameError, Offer, OfferError, ServiceName};
pub use peer::{Peer, PeerNetwork};
pub use reason::{Reason, ReasonCode};
pub use rejection::{EntropyError, Outage, PaymentRequired, Rejection};
pub use revocations::Revocations;
