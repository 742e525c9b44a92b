//! Creation of invoices.

use std::time::Duration;

use bitcoin::hashes::{Hash, sha256};
use l402::{Msat, PaymentHash, Preimage, UnixSeconds};
use lightning::types::payment::PaymentSecret;
use lightning_invoice::{CreationError, Currency, InvoiceBuilder, RawBolt11Invoice};

use super::invoice::{
    AddInvoiceError, InvoiceDescription, InvoiceRecord, InvoiceStatus, NewInvoice,
};
use crate::node::{CLTV_DELTA, Node};

/// Creates an invoice of `node`. It is not payable before the wallet has it in its book.
///
/// The preimage is the wallet's own, drawn here or given: the node only checks the payment
/// secret, and asks the wallet when a payment has arrived.
pub(super) fn invoice(
    node: &Node,
    new: NewInvoice,
    now: UnixSeconds,
) -> Result<InvoiceRecord, AddInvoiceError> {
    let preimage = new
        .preimage
        .unwrap_or_else(|| Preimage::new(node.random_bytes()));
    let hash = preimage.payment_hash();
    // LND writes an invoice for nothing as one for any amount.
    let amount = new.amount.filter(|amount| !amount.is_zero());
    let expiry_secs = new.expiry_secs.unwrap_or(DEFAULT_EXPIRY_SECS);
    let payment_secret = node.expect_payment(&hash, amount).map_err(|_too_large| {
        AddInvoiceError::AmountTooLarge {
            amount: amount.unwrap_or(Msat::ZERO),
            max: AMOUNT_MAX,
        }
    })?;
    let terms = Terms {
        hash,
        payment_secret,
        amount,
        expiry_secs,
        created_at: now,
    };
    let unsigned = write(&terms, &new.description).map_err(AddInvoiceError::Unwritable)?;
    let bolt11 = node
        .sign(unsigned)
        .map_err(|_signer| AddInvoiceError::Unsigned)?;
    Ok(InvoiceRecord {
        add_index: 0,
        description: new.description,
        preimage,
        hash,
        payment_secret,
        amount,
        created_at: now,
        expiry_secs,
        cltv_delta: CLTV_DELTA,
        bolt11,
        status: InvoiceStatus::Open,
    })
}

/// What is in an invoice other than its description.
struct Terms {
    hash: PaymentHash,
    payment_secret: [u8; 32],
    amount: Option<Msat>,
    expiry_secs: u32,
    created_at: UnixSeconds,
}

fn write(terms: &Terms, text: &InvoiceDescription) -> Result<RawBolt11Invoice, CreationError> {
    let mut invoice = InvoiceBuilder::new(Currency::Regtest)
        .payment_hash(sha256::Hash::from_byte_array(*terms.hash.as_bytes()))
        .payment_secret(PaymentSecret(terms.payment_secret))
        .duration_since_epoch(Duration::from_secs(terms.created_at.as_secs()))
        .expiry_time(Duration::from_secs(u64::from(terms.expiry_secs)))
        .min_final_cltv_expiry_delta(u64::from(CLTV_DELTA))
        .basic_mpp();
    if let Some(amount) = terms.amount {
        invoice = invoice.amount_milli_satoshis(amount.as_msat());
    }
    match text {
        InvoiceDescription::Hash { hash, .. } => invoice
            .description_hash(sha256::Hash::from_byte_array(*hash))
            .build_raw(),
        InvoiceDescription::Memo(memo) => invoice.description(memo.clone()).build_raw(),
    }
}

/// A day, as LND's default.
const DEFAULT_EXPIRY_SECS: u32 = 86_400;
/// All bitcoin there will ever be.
const AMOUNT_MAX: Msat = Msat::from_msat(21_000_000 * 100_000_000 * 1_000);
