//! Invoices as `DecodePayReq` describes them.

use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef, RouteHint};
use tollway_lightning::lnd::proto::lnrpc;

use super::amount::whole_sat;
use super::{feature, int64};
use l402::Msat;

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
        node_id: hop.src_node_id.to_string(),
        chan_id: hop.short_channel_id,
        fee_base_msat: hop.fees.base_msat,
        fee_proportional_millionths: hop.fees.proportional_millionths,
        cltv_expiry_delta: u32::from(hop.cltv_expiry_delta),
    };
    lnrpc::RouteHint {
        hop_hints: hint.0.iter().map(hop).collect(),
    }
}
