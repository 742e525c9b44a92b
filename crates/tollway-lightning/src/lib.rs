//! Two small traits for Lightning wallets, and one adapter per wallet behind a feature.
//!
//! [`Invoicer`] asks to be paid, [`Payer`] pays. They are separate so that a gateway,
//! which holds only an `Invoicer`, provably cannot spend.
#![forbid(unsafe_code)]

#[cfg(feature = "contract")]
pub mod contract;
#[cfg(feature = "lnd")]
pub mod lnd;

mod invoicer;
mod payer;

pub use invoicer::{InvoiceState, InvoiceTerms, Invoicer, InvoicerError};
pub use payer::{Paid, PayError, Payer, PayerError, PaymentState, PaymentTerms};
