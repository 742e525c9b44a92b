//! LND over gRPC.
//!
//! [`LndConnect`] says where a node is and how to speak to it; [`Lnd`] is the connection. From
//! it come [`LndInvoicer`], which cannot spend, and [`LndPayer`].
//!
//! What the macaroon must allow: `info:read` for both; `invoices:read` and `invoices:write` to
//! be paid; `offchain:read` and `offchain:write` to pay.

mod connect;
mod invoicer;
mod link;
mod payer;
pub mod proto;
mod status;
mod tls;

pub use connect::{LndConnect, LndConnectError};
pub use invoicer::LndInvoicer;
pub use link::{Lnd, LndError};
pub use payer::LndPayer;
