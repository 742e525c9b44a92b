//! An LND-compatible API in front of a wallet.
//!
//! [`LndSandbox`] is a whole sandbox that other programs can use.
//!
//! - [`server`]: one port per wallet for gRPC and REST;
//! - `auth`: macaroons, and which call needs which permission;
//! - [`files`]: what is kept on disk, and `sandbox.json`, which names every wallet;
//! - `grpc`: the calls;
//! - `rest`: the same calls as JSON over HTTP.
//!
//! Behaviour, codes and texts follow LND 0.20, whose clients are the specification.

mod auth;
pub mod files;
mod generated;
mod grpc;
mod rest;
mod sandbox;
pub mod server;

pub use sandbox::{LndSandbox, LndSandboxError, Ports};
