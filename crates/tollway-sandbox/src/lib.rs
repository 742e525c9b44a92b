//! A private Lightning network in one process: real nodes, real invoices, worthless coins.
//!
//! [`Sandbox`] starts it: a regtest [`chain`], and two nodes with channels between them,
//! each with a [`wallet`] whose terms are LND's. [`lnd::LndSandbox`] also serves an
//! LND-compatible API for each wallet, and writes `sandbox.json`, by which other programs find
//! them.
//!
//! ```no_run
//! use tollway_sandbox::SandboxConfig;
//! use tollway_sandbox::lnd::{LndSandbox, LndSandboxError, Ports};
//!
//! # async fn example() -> Result<(), LndSandboxError> {
//! let config = SandboxConfig::new("sandbox".into());
//! let sandbox = LndSandbox::start(config, Ports::ANY).await?;
//! let seller = sandbox.seller().access().uri.expose();
//! assert!(seller.starts_with("lndconnect://127.0.0.1:"));
//! sandbox.stop().await?;
//! # Ok(())
//! # }
//! ```
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
pub use network::{ChannelPlan, History, Sandbox, SandboxConfig, SandboxError};
pub use node::{OpenChannelError, SeedError};
pub use seed::SeedFileError;

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
