//! A payment that a command made or may have made, as it is reported.

use l402::{Msat, PaymentHash};
use serde_json::{Value, json};

/// What is known of a payment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PaymentState {
    /// It was made.
    Settled,
    /// It may have been made.
    Unknown,
}

/// One payment. It contains no preimage and no token, so it may be printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Payment {
    /// Whether it is known to have been made.
    pub(crate) state: PaymentState,
    /// The price, in millisatoshis.
    pub(crate) price: Msat,
    /// The routing fee in millisatoshis, where it is known.
    pub(crate) fee: Option<Msat>,
    /// The payment's hash.
    pub(crate) payment_hash: PaymentHash,
    /// The seller, where it is known.
    pub(crate) origin: Option<String>,
}

impl Payment {
    /// Returns the payment as it is shown in a command's JSON.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "state": match self.state {
                PaymentState::Settled => "settled",
                PaymentState::Unknown => "unknown",
            },
            "price_msat": self.price.as_msat(),
            "fee_msat": self.fee.map(Msat::as_msat),
            "payment_hash": self.payment_hash.to_string(),
            "origin": self.origin,
        })
    }

    /// Returns the payment as a line for people.
    pub(crate) fn to_line(&self) -> String {
        let origin = match &self.origin {
            Some(origin) => format!(" to {origin}"),
            None => String::new(),
        };
        let (price, hash) = (self.price, self.payment_hash);
        match self.state {
            PaymentState::Settled => {
                let fee = match self.fee {
                    Some(fee) => format!(", fee {fee}"),
                    None => String::new(),
                };
                format!("paid {price}{origin}{fee} (payment {hash})")
            }
            PaymentState::Unknown => format!(
                "{price}{origin} may have been paid (payment {hash}): running the command again looks it up and never pays it twice"
            ),
        }
    }
}

/// Adds `paid`, the latest payment or null, and `paid_before`, the others if there are any,
/// to a JSON object.
pub(crate) fn insert_into(object: &mut Value, payments: &[Payment]) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    let (paid, before) = match payments.split_last() {
        Some((last, before)) => (last.to_json(), before),
        None => (Value::Null, payments),
    };
    object.insert("paid".to_owned(), paid);
    if !before.is_empty() {
        let before = before.iter().map(Payment::to_json).collect();
        object.insert("paid_before".to_owned(), Value::Array(before));
    }
}
