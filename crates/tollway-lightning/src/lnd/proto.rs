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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_leak_a_preimage() {
        let text = "5ec2e7".repeat(10);
        let bytes = vec![0xab; 32];
        let shown = format!(
            "{:?}",
            (
                lnrpc::Payment {
                    payment_preimage: text.clone(),
                    htlcs: vec![attempt(&bytes)],
                    ..Default::default()
                },
                lnrpc::Invoice {
                    r_preimage: bytes.clone(),
                    ..Default::default()
                },
                lnrpc::SendResponse {
                    payment_preimage: bytes.clone(),
                    ..Default::default()
                },
                attempt(&bytes),
            )
        );

        assert!(!shown.contains(&text), "{shown}");
        assert!(!shown.contains("171"), "0xab, as a list of bytes: {shown}");
    }

    #[test]
    fn debug_does_not_leak_the_shares_of_a_preimage() {
        let bytes = vec![0xab; 32];
        let shown = format!(
            "{:?}",
            (
                lnrpc::Amp {
                    root_share: bytes.clone(),
                    preimage: bytes.clone(),
                    ..Default::default()
                },
                lnrpc::AmpRecord {
                    root_share: bytes,
                    ..Default::default()
                },
            )
        );

        assert!(!shown.contains("171"), "0xab, as a list of bytes: {shown}");
    }

    fn attempt(preimage: &[u8]) -> lnrpc::HtlcAttempt {
        lnrpc::HtlcAttempt {
            preimage: preimage.to_vec(),
            ..Default::default()
        }
    }
}
