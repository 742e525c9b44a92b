//! BOLT 11 invoices, as far as a purchase needs to know them.
//!
//! Reading is `lightning-invoice`'s work: checksum, signature and feature bits included.
//! This module keeps the facts a decision needs and refuses what has no safe reading.

use std::str::FromStr;

use lightning_invoice::{Bolt11Invoice, Currency, ParseOrSemanticError};

use crate::amount::Msat;
use crate::hash::PaymentHash;
use crate::network::Network;
use crate::time::UnixSeconds;

/// A readable BOLT 11 invoice: its text and the facts in it.
///
/// ```
/// use l402::{Invoice, Msat, Network, UnixSeconds};
/// # let invoice = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/invoice.txt")).trim();
///
/// let invoice: Invoice = invoice.parse()?;
/// assert_eq!(invoice.amount(), Some(Msat::from_msat(10_000)));
/// assert_eq!(invoice.network(), Network::Regtest);
/// assert!(invoice.expires_at() > UnixSeconds::new(1_700_000_000));
/// # Ok::<(), l402::InvoiceError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invoice {
    text: String,
    payment_hash: PaymentHash,
    amount: Option<Msat>,
    network: Network,
    expires_at: UnixSeconds,
    is_amp: bool,
}

impl Invoice {
    /// Reads a BOLT 11 invoice.
    ///
    /// # Errors
    ///
    /// [`InvoiceError`] when the text is too long, is not BOLT 11, or its signature or
    /// checksum does not hold.
    pub fn parse(text: &str) -> Result<Self, InvoiceError> {
        if text.len() > MAX_INVOICE_LEN {
            return Err(InvoiceError::TooLong { len: text.len() });
        }
        let parsed = Bolt11Invoice::from_str(text)
            .map_err(|error| InvoiceError::Unreadable(Bolt11Error(error)))?;
        let created = parsed.duration_since_epoch().as_secs();
        Ok(Self {
            text: text.to_owned(),
            payment_hash: PaymentHash::new(*parsed.payment_hash().as_ref()),
            amount: parsed.amount_milli_satoshis().map(Msat::from_msat),
            network: match parsed.currency() {
                Currency::Bitcoin => Network::Mainnet,
                Currency::BitcoinTestnet => Network::Testnet,
                Currency::Regtest => Network::Regtest,
                Currency::Simnet => Network::Simnet,
                Currency::Signet => Network::Signet,
            },
            expires_at: UnixSeconds::new(created).plus_secs(parsed.expiry_time().as_secs()),
            is_amp: is_amp(&parsed),
        })
    }

    /// Returns the invoice exactly as received.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the hash whose preimage the payment buys.
    #[must_use]
    pub const fn payment_hash(&self) -> PaymentHash {
        self.payment_hash
    }

    /// Returns its amount, or `None` when the payer would choose one.
    #[must_use]
    pub const fn amount(&self) -> Option<Msat> {
        self.amount
    }

    /// Returns the network it is payable on.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }

    /// Returns the first second at which it is no longer payable.
    #[must_use]
    pub const fn expires_at(&self) -> UnixSeconds {
        self.expires_at
    }

    /// Returns true for an atomic multi-path payment (BOLT 9 feature bits 30 and 31), which
    /// settles with preimages that do not hash to the payment hash.
    #[must_use]
    pub const fn is_amp(&self) -> bool {
        self.is_amp
    }
}

fn is_amp(invoice: &Bolt11Invoice) -> bool {
    let flags = invoice.features().map(|features| features.le_flags());
    flags
        .and_then(|flags| flags.get(AMP_BYTE))
        .is_some_and(|byte| byte & AMP_BITS != 0)
}

impl FromStr for Invoice {
    type Err = InvoiceError;

    /// Reads a BOLT 11 invoice, as [`parse`](Self::parse) does.
    fn from_str(text: &str) -> Result<Self, InvoiceError> {
        Self::parse(text)
    }
}

/// Why a text is not a payable invoice.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvoiceError {
    /// Longer than any invoice needs to be.
    #[error("invoice of {len} bytes is longer than {MAX_INVOICE_LEN}")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
    },
    /// Not BOLT 11, or damaged.
    #[error("not a BOLT 11 invoice: {0}")]
    Unreadable(#[source] Bolt11Error),
}

/// What is wrong with a text that should be BOLT 11: its encoding, its checksum, its signature,
/// a field that is missing or given twice, or a required feature that is unknown.
///
/// Opaque, so that the reader behind [`Invoice::parse`] is no part of this crate's interface:
/// `Display` describes the fault, and `==` compares it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Bolt11Error(ParseOrSemanticError);

/// BOLT 11 recommends at most 7089 bytes, what a QR code holds.
const MAX_INVOICE_LEN: usize = 7_089;
const AMP_BYTE: usize = 3;
const AMP_BITS: u8 = 0b1100_0000;

#[cfg(test)]
mod tests {
    use super::*;

    // BOLT 11, "Examples": 2500 µBTC for a cup of coffee, expiring after a minute.
    const COFFEE: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";
    // BOLT 11, "Examples": a donation of any amount.
    const DONATION: &str = "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql";

    #[test]
    fn the_facts_of_the_bolt_11_example() {
        let invoice = Invoice::parse(COFFEE).unwrap();

        assert_eq!(invoice.amount(), Some(Msat::from_msat(250_000_000)));
        assert_eq!(invoice.network(), Network::Mainnet);
        assert_eq!(invoice.expires_at(), UnixSeconds::new(1_496_314_658 + 60));
        assert_eq!(
            invoice.payment_hash().to_string(),
            "0001020304050607080900010203040506070809000102030405060708090102"
        );
    }

    #[test]
    fn an_absent_amount_is_none_and_never_zero() {
        assert_eq!(Invoice::parse(DONATION).unwrap().amount(), None);
    }

    #[test]
    fn damaged_invoices_are_refused() {
        let flipped = COFFEE.replace("2500u", "2501u");
        let long = "l".repeat(MAX_INVOICE_LEN + 1);
        for bad in [
            "",
            "lnbc",
            "lnbcrt100n1fake10",
            flipped.as_str(),
            &COFFEE[1..],
            &long,
        ] {
            assert!(Invoice::parse(bad).is_err());
        }
    }
}
