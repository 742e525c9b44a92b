//! Real BOLT 11 invoices, signed by a node that does not exist.

use std::time::Duration;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};

/// An invoice for what `preimage` settles, created at 1 700 000 000 and payable for an hour.
///
/// `amount_msat` of `None` leaves the amount to the payer.
pub fn invoice(currency: Currency, amount_msat: Option<u64>, preimage: &[u8; 32]) -> String {
    let builder = InvoiceBuilder::new(currency)
        .description("a test".to_owned())
        .payment_hash(sha256::Hash::hash(preimage))
        .payment_secret(PaymentSecret([3; 32]))
        .duration_since_epoch(Duration::from_secs(1_700_000_000))
        .expiry_time(Duration::from_secs(3_600))
        .min_final_cltv_expiry_delta(80);
    let builder = match amount_msat {
        Some(amount) => builder.amount_milli_satoshis(amount),
        None => builder,
    };
    let key = SecretKey::from_slice(&[0x11; 32]).expect("a valid key");
    let secp = Secp256k1::signing_only();
    builder
        .build_signed(|message| secp.sign_ecdsa_recoverable(message, &key))
        .expect("a valid invoice")
        .to_string()
}
