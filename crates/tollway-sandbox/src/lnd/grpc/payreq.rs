//! Invoices as `DecodePayReq` describes them.

use std::collections::HashMap;

use l402::Msat;
use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef};
use tollway_lightning::lnd::proto::lnrpc;

use super::amount::whole_sat;
use super::int64;

/// Describes an invoice. Its route hints and fallback addresses are left out: the sandbox writes
/// none, and has no use for those of others.
pub(super) fn describe(invoice: &Bolt11Invoice) -> lnrpc::PayReq {
    let amount = Msat::from_msat(invoice.amount_milli_satoshis().unwrap_or_default());
    let (description, description_hash) = match invoice.description() {
        Bolt11InvoiceDescriptionRef::Direct(text) => (text.to_string(), String::new()),
        Bolt11InvoiceDescriptionRef::Hash(hash) => (String::new(), hash.0.to_string()),
    };
    lnrpc::PayReq {
        destination: invoice.get_payee_pub_key().to_string(),
        payment_hash: invoice.payment_hash().to_string(),
        num_satoshis: int64(whole_sat(amount)),
        timestamp: int64(invoice.duration_since_epoch().as_secs()),
        expiry: int64(invoice.expiry_time().as_secs()),
        description,
        description_hash,
        cltv_expiry: int64(invoice.min_final_cltv_expiry_delta()),
        payment_addr: invoice.payment_secret().0.to_vec(),
        num_msat: int64(amount.as_msat()),
        features: features(invoice.features().map_or(&[], |set| set.le_flags())),
        ..lnrpc::PayReq::default()
    }
}

/// Feature bits, least significant byte first, with LND's names of those that wallets look for.
pub(super) fn features(little_endian: &[u8]) -> HashMap<u32, lnrpc::Feature> {
    let bits = (0_u32..)
        .zip(
            little_endian
                .iter()
                .flat_map(|byte| (0..8).map(move |shift| byte >> shift)),
        )
        .filter(|(_, flag)| flag & 1 == 1);
    let described = |bit: u32| {
        let name = match bit & !1 {
            8 => "tlv-onion",
            14 => "payment-addr",
            16 => "multi-path-payments",
            _ => "unknown",
        };
        lnrpc::Feature {
            name: name.to_owned(),
            is_required: bit.is_multiple_of(2),
            is_known: name != "unknown",
        }
    };
    bits.map(|(bit, _)| (bit, described(bit))).collect()
}
