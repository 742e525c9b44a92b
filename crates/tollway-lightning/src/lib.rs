//! Lightning wallets behind two small traits, one adapter per wallet behind a feature.
//!
//! [`Invoicer`] makes invoices, [`Payer`] pays them. They are separate so that a gateway,
//! which holds only an `Invoicer`, provably cannot spend. The [`registry`] opens a wallet from
//! its URI.
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
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
