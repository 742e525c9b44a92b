//! LND's messages and client stubs, generated from `proto/lnd` by `cargo xtask codegen`.
//!
//! Messages that carry a preimage get their `Debug` here, and it does not show it.

use std::fmt;

/// `lnrpc`: invoices, payments, balances, and how far the node has started.
#[allow(
    clippy::allow_attributes_without_reason,
    clippy::arithmetic_side_effects,
    clippy::use_self,
    clippy::wildcard_enum_match_arm,
    elided_lifetimes_in_paths,
    missing_docs,
    unused_qualifications,
    reason = "generated code; the field comments are in proto/lnd"
)]
#[path = "generated/lnrpc.rs"]
pub mod lnrpc;

/// `routerrpc`: payments with a say in how they are routed.
#[allow(
    clippy::arithmetic_side_effects,
    clippy::use_self,
    elided_lifetimes_in_paths,
    missing_docs,
    unused_qualifications,
    reason = "generated code; the field comments are in proto/lnd"
)]
#[path = "generated/routerrpc.rs"]
pub mod routerrpc;

/// `verrpc`: the node's version.
#[allow(
    clippy::arithmetic_side_effects,
    clippy::use_self,
    elided_lifetimes_in_paths,
    missing_docs,
    unused_qualifications,
    reason = "generated code; the field comments are in proto/lnd"
)]
#[path = "generated/verrpc.rs"]
pub mod verrpc;

impl fmt::Debug for lnrpc::Amp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amp")
            .field("child_index", &self.child_index)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for lnrpc::AmpRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmpRecord")
            .field("child_index", &self.child_index)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for lnrpc::HtlcAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HtlcAttempt")
            .field("attempt_id", &self.attempt_id)
            .field("status", &self.status())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for lnrpc::Invoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invoice")
            .field("memo", &self.memo)
            .field("payment_request", &self.payment_request)
            .field("state", &self.state())
            .field("value_msat", &self.value_msat)
            .field("amt_paid_msat", &self.amt_paid_msat)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for lnrpc::Payment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payment")
            .field("payment_hash", &self.payment_hash)
            .field("status", &self.status())
            .field("failure_reason", &self.failure_reason())
            .field("value_msat", &self.value_msat)
            .field("fee_msat", &self.fee_msat)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for lnrpc::SendResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendResponse")
            .field("payment_error", &self.payment_error)
            .finish_non_exhaustive()
    }
}
