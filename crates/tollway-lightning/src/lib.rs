//! Lightning wallets behind two small traits, one adapter per wallet behind a feature.
//!
//! [`Invoicer`] makes invoices, [`Payer`] pays them. They are separate so that a gateway,
//! which holds only an `Invoicer`, provably cannot spend. The [`registry`] opens a wallet from
//! its URI.
//!
//! No adapter is on by default. With the feature `lnd`:
//!
#![cfg_attr(feature = "lnd", doc = "```")]
#![cfg_attr(not(feature = "lnd"), doc = "```ignore")]
//! use std::sync::Arc;
//!
//! use tollway_lightning::lnd::{Lnd, LndConnect};
//! use tollway_lightning::{Invoicer, Payer};
//!
//! # fn example(uri: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let lnd = Lnd::new(&LndConnect::parse(uri)?)?; // lndconnect://host:port?cert=…&macaroon=…
//! let seller: Arc<dyn Invoicer> = Arc::new(lnd.invoicer());
//! let buyer: Arc<dyn Payer> = Arc::new(lnd.payer());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "contract")]
pub mod contract;
#[cfg(feature = "lnd")]
pub mod lnd;

pub mod registry;

mod error;
mod identity;
mod invoicer;
mod payer;

pub use error::WalletError;
pub use identity::{WalletIdentity, WalletIdentityError, WalletKey};
pub use invoicer::{InvoiceState, InvoiceTerms, Invoicer};
pub use payer::{
    FeeCap, LookupByHash, Paid, PayError, Payer, PayerPromises, PaymentState, PaymentTerms, Repeat,
};

/// The example in the README, compiled.
#[cfg(all(doctest, feature = "lnd"))]
#[doc = include_str!("../README.md")]
struct Readme;
