//! Is this challenge fit to be paid?
//!
//! A challenge is a stranger's demand for money. Before a limit is even looked at, token and
//! invoice must be readable, must belong together, and the amount must be stated: what
//! cannot be read is refused and never taken for zero.

use crate::amount::Msat;
use crate::challenge::Challenge;
use crate::credential::Credential;
use crate::hash::{PaymentHash, Preimage};
use crate::identifier::{Identifier, IdentifierError};
use crate::invoice::{Invoice, InvoiceError, Network};
use crate::macaroon::{Macaroon, MacaroonError};
use crate::time::UnixSeconds;

/// A challenge that could be paid: its token and invoice agree, and it names its price.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Quote {
    challenge: Challenge,
    macaroon: Macaroon,
    invoice: Invoice,
    price: Msat,
}

impl Quote {
    /// Reads a challenge received just now.
    ///
    /// # Errors
    ///
    /// [`QuoteError`]; nothing may then be paid.
    ///
    /// # Specification
    ///
    /// L402 `protocol-specification.md`, Client Flow (rows 36, 37 and 44 in `docs/spec.md`).
    pub fn read(
        challenge: &Challenge,
        network: Network,
        now: UnixSeconds,
    ) -> Result<Self, QuoteError> {
        let quote = Self::read_recorded(challenge)?;
        let found = quote.invoice.network();
        if found != network {
            return Err(QuoteError::WrongNetwork {
                found,
                expected: network,
            });
        }
        let expires_at = quote.invoice.expires_at();
        if now >= expires_at {
            return Err(QuoteError::Expired {
                seconds_ago: now.secs_since(expires_at),
            });
        }
        Ok(quote)
    }

    /// Reads a challenge out of a record: the network and the time were checked back then.
    ///
    /// # Errors
    ///
    /// [`QuoteError`] when the record does not hold a payable challenge.
    pub fn read_recorded(challenge: &Challenge) -> Result<Self, QuoteError> {
        let invoice = Invoice::parse(&challenge.invoice).map_err(QuoteError::Invoice)?;
        let macaroon = challenge.token.macaroon().map_err(QuoteError::Token)?;
        let identifier =
            Identifier::parse(macaroon.identifier()).map_err(QuoteError::Identifier)?;
        if identifier.payment_hash != invoice.payment_hash() {
            return Err(QuoteError::HashMismatch {
                token: identifier.payment_hash,
                invoice: invoice.payment_hash(),
            });
        }
        match invoice.amount() {
            None => Err(QuoteError::NoAmount),
            Some(price) if price.is_zero() => Err(QuoteError::NoAmount),
            Some(price) => Ok(Self {
                challenge: challenge.clone(),
                macaroon,
                invoice,
                price,
            }),
        }
    }

    /// The challenge as received.
    #[must_use]
    pub const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// The invoice to pay.
    #[must_use]
    pub const fn invoice(&self) -> &Invoice {
        &self.invoice
    }

    /// The price in millisatoshis, never zero.
    pub const fn price(&self) -> Msat {
        self.price
    }

    /// The hash that invoice and token share.
    #[must_use]
    pub const fn payment_hash(&self) -> PaymentHash {
        self.invoice.payment_hash()
    }

    pub(super) fn credential(&self, preimage: Preimage) -> Credential {
        Credential::new(self.macaroon.clone(), preimage)
    }
}

/// Why a challenge is not fit to be paid.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum QuoteError {
    /// The invoice is no longer payable.
    #[error("invoice expired {seconds_ago} s ago: ask for a new one")]
    Expired {
        /// Whole seconds since then.
        seconds_ago: u64,
    },
    /// The token is for another payment: paying would buy nothing.
    #[error(
        "token is for payment {token}, invoice for {invoice}: paying would not make the token valid"
    )]
    HashMismatch {
        /// The payment hash in the token.
        token: PaymentHash,
        /// The payment hash in the invoice.
        invoice: PaymentHash,
    },
    /// The token does not say which payment makes it valid.
    #[error("token names no payment: {0}")]
    Identifier(#[source] IdentifierError),
    /// The invoice cannot be read.
    #[error("invoice cannot be read: {0}")]
    Invoice(#[source] InvoiceError),
    /// The invoice leaves the amount to the payer, or asks for nothing.
    #[error("invoice names no amount")]
    NoAmount,
    /// The token cannot be read.
    #[error("token cannot be read: {0}")]
    Token(#[source] MacaroonError),
    /// The invoice is for another network than the wallet's.
    #[error("invoice is for {found}, the wallet pays on {expected}")]
    WrongNetwork {
        /// The invoice's network.
        found: Network,
        /// The wallet's network.
        expected: Network,
    },
}
