//! A private Lightning network in one process: real nodes, real invoices, worthless coins.
//!
//! [`Sandbox`] starts it: a regtest [`chain`], and two nodes with channels between them,
//! each with a [`wallet`] whose terms are LND's. [`lnd`] puts an LND-compatible API in front
//! of each wallet.
//!
//! Only regtest exists here. Nothing in this crate can reach, or be configured for, a
//! network where coins have a price.

pub mod chain;
mod clock;
mod disk;
pub mod lnd;
mod network;
mod node;
mod seed;
mod sync;
pub mod wallet;

pub use disk::DiskError;
pub use network::{ChannelPlan, History, Sandbox, SandboxConfig, StartError};
pub use node::{OpenError, SeedError};
pub use seed::SeedFileError;

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
