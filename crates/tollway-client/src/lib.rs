//! Buying over L402: an HTTP client that pays within limits.
//!
//! | question | where |
//! |---|---|
//! | How is a request sent and paid for? | [`Client`] |
//! | What may it spend, and where? | [`Policy`] |
//! | What went wrong, and what now? | [`Error`] |
//! | What is it doing? | [`Event`] |
//! | What was bought, and what may have been? | [`book::Book`] |
//! | What happens to purchases that were cut off? | [`Client::resume`] |
//!
//! Whether a challenge is fit to be paid, whether a limit allows it, and how a purchase goes on
//! is decided in the `l402` crate, without I/O. This crate carries the decisions out, in an
//! order in which no crash leads to a second payment or a lost credential.
#![forbid(unsafe_code)]

mod body;
pub mod book;
mod client;
mod decide;
mod disk;
mod error;
mod event;
mod fit;
mod origin;
mod policy;
mod redirect;
mod refusal_reason;
mod response;
mod transport;

pub use body::Body;
pub use book::{Book, WalletName};
pub use client::{Client, ClientBuilder, Resumed};
pub use error::{Error, NotPaid, Payment, Receipt, StorageError, TransportError};
pub use event::{Event, Presented, Resumption};
pub use origin::{Origin, OriginError, Protocol};
pub use policy::{
    AfterRefusal, Approval, Approve, ClearText, DEFAULT_LIMITS, Hosts, KillSwitch, Pauses, Paying,
    Policy, PurchaseRequest, UncappedFees,
};
pub use refusal_reason::{ReasonText, RefusalReason};
pub use response::ResponseBody;
pub use transport::Connections;

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
