//! A private Lightning network in one process: real nodes, real invoices, worthless coins.
//!
//! - [`chain`]: an in-memory regtest chain;
//! - [`wallet`]: what one node's owner sees and does, in the terms LND's API uses.
//!
//! Only regtest exists here. Nothing in this crate can reach, or be configured for, a
//! network where coins have a price.

pub mod chain;
pub mod wallet;
