//! Buying over L402: an HTTP client that pays, and what it must not lose.
//!
//! | question | where |
//! |---|---|
//! | How is a request sent and paid for? | [`Client`] |
//! | What may it spend, and where? | [`Policy`] |
//! | What went wrong, and what now? | [`Error`] |
//! | What is it doing? | [`Event`] |
//! | What was bought, and what may have been? | [`journal`] |
//! | Which credentials are there? | [`store`] |
//! | What became of purchases that were cut off? | [`Client::resume`], [`resume`] |
//!
//! Whether a challenge is fit to be paid, and whether a limit allows it, is decided in the
//! `l402` crate, without I/O. This crate carries the decisions out, in an order that no
//! crash can turn into a second payment or a lost credential.
#![forbid(unsafe_code)]

mod body;
mod client;
mod disk;
mod error;
mod event;
pub mod journal;
mod origin;
mod policy;
mod redirect;
pub mod resume;
pub mod store;
mod transport;

pub use body::Body;
pub use client::{Client, ClientBuilder};
pub use error::{Error, Refusal, StorageError, TransportError};
pub use event::{Event, Presented, Resumption};
pub use origin::{Origin, OriginError, Protocol};
pub use policy::{Approval, Approve, ClearText, Hosts, KillSwitch, Offer, Paying, Policy};
pub use transport::Connections;
