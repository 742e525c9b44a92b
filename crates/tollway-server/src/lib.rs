//! Selling over L402 as a library.
//!
//! | question | module |
//! |---|---|
//! | What is for sale, and for how much? | [`Offer`] |
//! | May this request pass? | [`Gate`] |
//! | If not, why, and what does the client read? | [`Refusal`], [`respond`] |
//! | How much may strangers cost us? | [`ChallengeLimit`] |
//! | What may no longer be used? | [`Revocations`] |
//! | What was sold? | [`ledger`] |
//! | How does my own service use all this? | [`paywall`] |
#![forbid(unsafe_code)]

mod client;
mod forward;
mod gate;
pub mod ledger;
mod limit;
mod offer;
pub mod paywall;
mod refusal;
pub mod respond;
mod revocations;

pub use client::{Client, ClientNetwork};
pub use forward::strip_credentials;
pub use gate::{Facts, Gate, GateSettings, Verdict};
pub use limit::{ChallengeLimit, Loopback, OverLimit};
pub use offer::{Capability, NameError, Offer, OfferError, ServiceName};
pub use refusal::{Demand, EntropyError, Outage, Reason, ReasonCode, Refusal};
pub use revocations::Revocations;
