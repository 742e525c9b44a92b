//! LND over gRPC.

pub mod proto;
