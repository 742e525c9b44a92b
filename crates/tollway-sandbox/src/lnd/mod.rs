//! An LND-compatible API in front of a wallet.
//!
//! - [`front`]: one port per wallet that answers gRPC and REST, and its files;
//! - [`directory`]: `sandbox.json`, which names every wallet of a running sandbox;
//! - `serve`, `calls`: from a socket to a call, and whether its caller may make it;
//! - `bakery`, `caveats`, `permissions`: macaroons as LND bakes and checks them;
//! - `api`: what each call answers;
//! - `rest`: the same calls as JSON over HTTP;
//! - `disk`, `folder`, `tls`: what is kept on disk, and where LND's clients look for it.
//!
//! Behaviour, codes and texts follow LND 0.20, whose clients are the specification.

mod api;
mod bakery;
mod calls;
mod caveats;
pub mod directory;
mod disk;
mod folder;
pub mod front;
mod generated;
mod hex;
mod permissions;
mod rest;
mod serve;
mod tls;

pub use disk::DiskError;
