//! What clients, operators and services behind the gate see of it.
//!
//! The wallet is a double that makes real invoices and gives their preimages away; real
//! wallets are tested where their adapters are.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "test code; the exemption for tests does not reach helper functions"
)]

mod admission;
mod books;
mod grpc;
mod in_flight;
mod keys;
mod layer;
mod outages;
mod remembered;
mod secrecy;
mod support;
mod wire;
