//! Errors of a request, sorted by what its caller does next.
//!
//! Every error after a payment carries what was paid: [`Error::receipt`].

use http::StatusCode;
use l402::{Msat, PaymentHash, UnixSeconds};
use tollway_lightning::WalletError;

use crate::book::BookError;
use crate::origin::Origin;
use crate::visible::visible;

mod connect;
mod not_paid;
mod transport;

pub use connect::ConnectError;
pub use not_paid::NotPaid;
pub use transport::{CertificateSource, TransportError};

/// A payment that was to be made, whatever its outcome.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Payment {
    /// Its hash; names the purchase.
    pub payment_hash: PaymentHash,
    /// The seller.
    pub origin: Origin,
    /// The path it was for.
    pub path: String,
    /// The price, in millisatoshis.
    pub price: Msat,
}

/// A payment that was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// What was paid for.
    pub payment: Payment,
    /// The routing fee, in millisatoshis.
    pub fee: Msat,
}

impl Receipt {
    /// Returns price and fee together, in millisatoshis.
    pub fn paid(&self) -> Msat {
        self.payment
            .price
            .checked_add(self.fee)
            .unwrap_or(Msat::MAX)
    }
}

/// Why [`Client::send`](crate::Client::send) has no response, or its response no body.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process buys the same thing and has not finished in time. Nothing was paid;
    /// trying again is safe.
    #[error("another process has not finished buying {origin}{path}: try again later")]
    Busy {
        /// The seller.
        origin: Origin,
        /// The path.
        path: String,
    },
    /// Refused here, before any money moved. The same request will be refused again.
    #[error(transparent)]
    NotPaid(#[from] NotPaid),
    /// Paid, and the server refused the credential. Do not retry; contact the seller. The
    /// credential is kept, and is presented again by later requests.
    #[error(
        "payment {} of {} was made and the server still responds {status}{}",
        receipt.payment.payment_hash,
        receipt.paid(),
        bought_redirect(redirected_to.as_deref())
    )]
    PaidButRefused {
        /// What was paid.
        receipt: Box<Receipt>,
        /// The status of the response to the paid request.
        status: StatusCode,
        /// Where the paid request was redirected, which asks to be paid again. The
        /// credential was accepted then: this address is to be requested directly.
        redirected_to: Option<String>,
    },
    /// Paid, and the paid request did not get through. The credential is stored, and is presented
    /// when it is sent again; one for a single request may have been used up by this one.
    #[error(
        "payment {} of {} was made, then the request failed; its token is kept and is presented when the request is sent again",
        receipt.payment.payment_hash,
        receipt.paid()
    )]
    PaidButUndelivered {
        /// What was paid.
        receipt: Box<Receipt>,
        /// What went wrong.
        source: Box<Self>,
    },
    /// The wallet tried, and no money moved. Trying again is safe.
    #[error("not paid, no money moved: {reason}")]
    PaymentFailed {
        /// What was to be paid.
        payment: Box<Payment>,
        /// What the wallet reported.
        reason: String,
    },
    /// Money may have moved. The next request for the same thing looks the payment up, and it
    /// is never paid twice.
    #[error(
        "payment {} of {} to {} has no known outcome: {reason}",
        payment.payment_hash,
        payment.price,
        payment.origin
    )]
    PaymentUnknown {
        /// What was to be paid.
        payment: Box<Payment>,
        /// Why it is unknown, and what to do.
        reason: String,
        /// What the wallet failed with, when it was asked about the payment and did not reply.
        #[source]
        wallet_error: Option<WalletError>,
        /// When something else may be bought at its path although its outcome is unknown.
        blocks_until: Option<UnixSeconds>,
    },
    /// The data directory cannot be used. Nothing was paid.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The request failed before anything was paid.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The wallet cannot be used, for a reason that [`WalletError`] sorts by what to do about
    /// it. Nothing was paid.
    #[error(transparent)]
    Wallet(#[from] WalletError),
}

fn bought_redirect(address: Option<&str>) -> String {
    address.map_or_else(String::new, |address| {
        let address = visible(address, ADDRESS_MAX);
        format!("; it bought a redirect to {address}, which asks to be paid: request that directly")
    })
}

/// Characters of an address that are shown.
const ADDRESS_MAX: usize = 256;

impl From<BookError> for Error {
    fn from(error: BookError) -> Self {
        Self::Storage(error.into())
    }
}

impl Error {
    /// Returns the error of a request that did not get through, by whether it has paid.
    pub(crate) fn of_request(source: impl Into<Self>, receipt: Option<&Receipt>) -> Self {
        match receipt {
            Some(receipt) => Self::PaidButUndelivered {
                receipt: Box::new(receipt.clone()),
                source: Box::new(source.into()),
            },
            None => source.into(),
        }
    }

    /// Returns what this request has paid.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::PaidButRefused { receipt, .. } | Self::PaidButUndelivered { receipt, .. } => {
                Some(receipt)
            }
            Self::Busy { .. }
            | Self::NotPaid(_)
            | Self::PaymentFailed { .. }
            | Self::PaymentUnknown { .. }
            | Self::Storage(_)
            | Self::Transport(_)
            | Self::Wallet(_) => None,
        }
    }

    /// Returns the payment that this error is about.
    #[must_use]
    pub fn payment(&self) -> Option<&Payment> {
        match self {
            Self::PaidButRefused { receipt, .. } | Self::PaidButUndelivered { receipt, .. } => {
                Some(&receipt.payment)
            }
            Self::PaymentFailed { payment, .. } | Self::PaymentUnknown { payment, .. } => {
                Some(payment)
            }
            Self::Busy { .. }
            | Self::NotPaid(_)
            | Self::Storage(_)
            | Self::Transport(_)
            | Self::Wallet(_) => None,
        }
    }
}

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The book.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The work was cut off: the runtime is shutting down.
    #[error("interrupted: the runtime is shutting down")]
    Interrupted,
}
