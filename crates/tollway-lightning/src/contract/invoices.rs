//! The invoices the cases are about: the seller's own, and some that no wallet would issue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use l402::{Invoice, Msat, Network, PaymentHash, UnixSeconds};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};

use super::{Fixture, Violation};
use crate::{InvoiceTerms, PaymentTerms};

/// Has the seller ask for a few satoshis, payable for ten minutes.
pub(super) async fn small(fixture: &Fixture<'_>) -> Result<Invoice, Violation> {
    Ok(fixture.seller.invoice(terms(SMALL, 600)).await?)
}

pub(super) fn terms(amount: Msat, expiry_secs: u32) -> InvoiceTerms {
    InvoiceTerms {
        amount,
        memo: "tollway contract".to_owned(),
        expiry_secs,
    }
}

/// Pays with room for fees and time.
pub(super) const fn payment(invoice: Invoice) -> PaymentTerms {
    PaymentTerms {
        invoice,
        fee_max: Msat::from_msat(1_000),
        timeout: Duration::from_secs(20),
    }
}

/// An invoice signed by a key that no node has, so that it cannot be paid.
///
/// # Errors
///
/// [`Violation`] when it cannot be made, which is no evidence about any wallet.
pub(super) fn unroutable(network: Network, amount: Option<Msat>) -> Result<Invoice, Violation> {
    let cannot = |why: String| Violation(format!("no unroutable invoice: {why}"));
    let key = SecretKey::from_slice(&NOBODYS_KEY).map_err(|error| cannot(error.to_string()))?;
    let hash = sha256::Hash::from_byte_array(*fresh_hash().as_bytes());
    let mut builder = InvoiceBuilder::new(currency(network))
        .description("tollway contract: payable to nobody".to_owned())
        .payment_hash(hash)
        .payment_secret(PaymentSecret([1; 32]))
        .duration_since_epoch(Duration::from_secs(now().as_secs()))
        .min_final_cltv_expiry_delta(80);
    if let Some(amount) = amount {
        builder = builder.amount_milli_satoshis(amount.as_msat());
    }
    let signed = builder
        .build_signed(|message| Secp256k1::new().sign_ecdsa_recoverable(message, &key))
        .map_err(|error| cannot(error.to_string()))?;
    Invoice::parse(&signed.to_string()).map_err(|error| cannot(error.to_string()))
}

/// A hash that no wallet has seen before.
pub(super) fn fresh_hash() -> PaymentHash {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let seed = (
        SystemTime::now().duration_since(UNIX_EPOCH).ok(),
        std::process::id(),
        DRAWN.fetch_add(1, Ordering::Relaxed),
    );
    PaymentHash::new(sha256::Hash::hash(format!("{seed:?}").as_bytes()).to_byte_array())
}

pub(super) fn now() -> UnixSeconds {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixSeconds::new(since_epoch.map_or(0, |elapsed| elapsed.as_secs()))
}

const fn currency(network: Network) -> Currency {
    match network {
        Network::Mainnet => Currency::Bitcoin,
        Network::Regtest => Currency::Regtest,
        Network::Signet => Currency::Signet,
        Network::Simnet => Currency::Simnet,
        Network::Testnet => Currency::BitcoinTestnet,
    }
}

/// Not a whole number of satoshis, so that rounding shows.
pub(super) const SMALL: Msat = Msat::from_msat(3_001);
const NOBODYS_KEY: [u8; 32] = [0x17; 32];
