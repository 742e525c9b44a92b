//! What does an invoice ask for?

use std::str::FromStr as _;

use lightning_invoice::{
    Bolt11Invoice, Bolt11InvoiceDescriptionRef, RouteHint, SignedRawBolt11Invoice,
};
use tollway_lightning::lnd::proto::lnrpc;

use super::super::hex;
use super::amount::whole_sat;
use super::bech32::{self, Bech32Error};
use super::{feature, int64};
use l402::Msat;

/// Why a text cannot be paid here, in LND's words where LND has any.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum PayReqError {
    /// Not even bech32.
    #[error(transparent)]
    Bech32(#[from] Bech32Error),
    /// For another network.
    #[error("invoice not for current active network 'regtest'")]
    Network,
    /// Bech32, but nothing of Lightning's.
    #[error("prefix should be \"ln\"")]
    Prefix,
    /// Longer than any invoice.
    #[error("invoice is too large")]
    TooLarge,
    /// Damaged within a good checksum.
    #[error("invalid invoice: {reason}")]
    Unreadable {
        /// What the reader said.
        reason: String,
    },
}

/// Reads an invoice of the sandbox's network.
pub(super) fn read(text: &str) -> Result<Bolt11Invoice, PayReqError> {
    if text.len() > MAX_LEN {
        return Err(PayReqError::TooLarge);
    }
    let prefix = bech32::prefix(text)?;
    let network = prefix.strip_prefix("ln").ok_or(PayReqError::Prefix)?;
    if !network.starts_with("bcrt") {
        return Err(PayReqError::Network);
    }
    Bolt11Invoice::from_str(text).map_err(|error| PayReqError::Unreadable {
        reason: error.to_string(),
    })
}

/// What is written in an invoice, without checking who signed it: for our own.
pub(super) fn read_own(bolt11: &str) -> Option<SignedRawBolt11Invoice> {
    bolt11.parse().ok()
}

/// An invoice as `DecodePayReq` answers it.
pub(super) fn describe(invoice: &Bolt11Invoice) -> lnrpc::PayReq {
    let amount = Msat::from_msat(invoice.amount_milli_satoshis().unwrap_or_default());
    let (description, description_hash) = match invoice.description() {
        Bolt11InvoiceDescriptionRef::Direct(text) => (text.to_string(), String::new()),
        Bolt11InvoiceDescriptionRef::Hash(hash) => (String::new(), hash.0.to_string()),
    };
    let fallback = invoice.fallback_addresses().into_iter().next();
    lnrpc::PayReq {
        destination: invoice.get_payee_pub_key().to_string(),
        payment_hash: invoice.payment_hash().to_string(),
        num_satoshis: int64(whole_sat(amount)),
        timestamp: int64(invoice.duration_since_epoch().as_secs()),
        expiry: int64(invoice.expiry_time().as_secs()),
        description,
        description_hash,
        fallback_addr: fallback
            .map(|address| address.to_string())
            .unwrap_or_default(),
        cltv_expiry: int64(invoice.min_final_cltv_expiry_delta()),
        route_hints: invoice.route_hints().iter().map(hint).collect(),
        payment_addr: invoice.payment_secret().0.to_vec(),
        num_msat: int64(amount.as_msat()),
        features: feature::named(invoice.features().map_or(&[], |set| set.le_flags())),
        blinded_paths: vec![],
    }
}

fn hint(hint: &RouteHint) -> lnrpc::RouteHint {
    let hop = |hop: &lightning_invoice::RouteHintHop| lnrpc::HopHint {
        node_id: hex::encode(&hop.src_node_id.serialize()),
        chan_id: hop.short_channel_id,
        fee_base_msat: hop.fees.base_msat,
        fee_proportional_millionths: hop.fees.proportional_millionths,
        cltv_expiry_delta: u32::from(hop.cltv_expiry_delta),
    };
    lnrpc::RouteHint {
        hop_hints: hint.0.iter().map(hop).collect(),
    }
}

/// BOLT 11 recommends at most 7089 bytes, what a QR code holds.
const MAX_LEN: usize = 7_089;

#[cfg(test)]
mod tests {
    use super::*;

    // BOLT 11, "Examples": a donation of any amount, on the main network.
    const DONATION: &str = "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql";

    #[test]
    fn texts_that_cannot_be_paid_here_are_refused_in_lnds_words() {
        for (text, reason) in [
            ("", "invalid bech32 string length 0"),
            ("garbage", "invalid bech32 string length 7"),
            (DONATION, "invoice not for current active network 'regtest'"),
            (
                "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
                "prefix should be \"ln\"",
            ),
            (&"l".repeat(MAX_LEN + 1), "invoice is too large"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), reason, "{text}");
        }
        let prefixed = format!("lightning:{DONATION}");
        assert!(matches!(
            read(&prefixed),
            Err(PayReqError::Bech32(Bech32Error::Checksum { .. }))
        ));
    }
}
