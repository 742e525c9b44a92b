//! LND over gRPC.
//!
//! [`LndConnect`] holds a node's address, certificate and macaroon; [`Lnd`] is the connection.
//! It makes [`LndInvoicer`], which cannot spend, and [`LndPayer`].
//!
//! LND's own files are enough: `invoice.macaroon` to be paid, `router.macaroon` to pay. With
//! one baked for the purpose, [`LndInvoicer`] needs `invoices:read` and `invoices:write`,
//! [`LndPayer`] `offchain:read` and `offchain:write`. `info:read` besides makes the wallet's
//! identity its node key; without it the identity is that of the macaroon, so that another
//! macaroon of the same node counts as another wallet.

mod connect;
mod connection;
mod invoicer;
mod macaroon_id;
mod network;
mod payer;
mod permission;
pub mod proto;
mod require_status;
mod scheme;
mod status;
mod tls;

pub use connect::{LndConnect, LndConnectError};
pub use connection::{Lnd, LndError};
pub use invoicer::LndInvoicer;
pub use macaroon_id::{MacaroonId, Op};
pub use payer::LndPayer;
pub use scheme::LndScheme;
