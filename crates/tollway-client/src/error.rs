//! Errors of a request, sorted by what its caller does next.
//!
//! Every error after a payment carries what was paid: [`Error::receipt`].

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use l402::{ChallengeError, Invoice, Msat, OverLimit, PaymentHash, QuoteError, UnixSeconds};
use tollway_lightning::PayerError;

use crate::book::{BookError, Brake, WalletName};
use crate::origin::{Origin, OriginError};

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
        "payment {} of {} was made and the server still responds {status}",
        receipt.payment.payment_hash,
        receipt.paid()
    )]
    PaidButRefused {
        /// What was paid.
        receipt: Box<Receipt>,
        /// The status of the response to the paid request.
        status: StatusCode,
    },
    /// Paid, and the paid request did not get through. Sending it again costs nothing: the
    /// credential is stored.
    #[error(
        "payment {} of {} was made, then the request failed; send it again, it is paid",
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
        wallet_error: Option<PayerError>,
        /// When something else may be bought at its path although its outcome is unknown.
        blocks_until: Option<UnixSeconds>,
    },
    /// The data directory cannot be used. Nothing was paid.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The request failed before anything was paid.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The wallet cannot be used, for a reason that [`PayerError`] sorts by what to do about
    /// it. Nothing was paid.
    #[error(transparent)]
    Wallet(#[from] PayerError),
}

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

/// Why a client did not pay. No money moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotPaid {
    /// The server asks again for a payment that was made before.
    #[error("payment {payment_hash} was already made: the server sells the same thing twice")]
    AlreadyPaid {
        /// The payment's hash.
        payment_hash: PaymentHash,
    },
    /// The body could not be sent again with the credential.
    #[error("{origin} asks to be paid, and this body can be sent only once: use bytes or a file")]
    BodyNotReplayable {
        /// The seller.
        origin: Origin,
    },
    /// The server's challenge cannot be read.
    #[error("the server asks to be paid in a way that cannot be read: {0}")]
    Challenge(#[source] ChallengeError),
    /// A credential would travel in clear text.
    #[error(
        "{origin} is plain http: its credential could be stolen on the way; use https, or allow clear text"
    )]
    ClearText {
        /// The origin.
        origin: Origin,
    },
    /// The approver declined.
    #[error("declined: {price} for {origin}")]
    Declined {
        /// The seller.
        origin: Origin,
        /// The price, in millisatoshis.
        price: Msat,
    },
    /// The wallet cannot limit routing fees, and the policy does not allow that: see
    /// [`UncappedFees`](crate::UncappedFees).
    #[error(
        "the wallet {wallet} cannot limit routing fees, so no spending limit would hold: use another wallet, or allow uncapped fees"
    )]
    FeeNotCapped {
        /// The wallet.
        wallet: WalletName,
    },
    /// The host is not on the allow-list.
    #[error("{host} is not on the list of hosts to pay")]
    HostNotAllowed {
        /// The host.
        host: String,
    },
    /// The server asks to be paid and names no way to.
    #[error("the server asks to be paid and names no way to")]
    NoChallenge,
    /// No wallet was given.
    #[error("{origin} asks for {price} and there is no wallet")]
    NoWallet {
        /// The seller.
        origin: Origin,
        /// The price, in millisatoshis.
        price: Msat,
    },
    /// A limit stands in the way.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// A paid credential was refused at this path a short while ago.
    #[error(
        "payment {} of {} was made to {} for {} and the server refused it: nothing more is bought there for now",
        .0.payment_hash, .0.paid, .0.origin, .0.path
    )]
    PaidBefore(Box<Brake>),
    /// Paying is switched off.
    #[error("{origin} asks for {price} and paying is off")]
    PayingIsOff {
        /// The seller.
        origin: Origin,
        /// The price, in millisatoshis.
        price: Msat,
        /// The invoice, which another wallet could pay.
        invoice: Box<Invoice>,
    },
    /// The challenge is not fit to be paid.
    #[error("not paid: {0}")]
    Quote(#[source] QuoteError),
    /// A redirect leads to a seller that the request was not addressed to.
    #[error("redirected to {origin}, which asks to be paid: request that address directly")]
    Redirected {
        /// The seller.
        origin: Origin,
    },
    /// Spending is stopped.
    #[error("spending is stopped: remove {} to allow it", file.display())]
    Stopped {
        /// The kill switch.
        file: PathBuf,
    },
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

/// Why a request did not get through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address is not one a request can be sent to.
    #[error(transparent)]
    Address(#[from] OriginError),
    /// The request's own body cannot be read.
    #[error("cannot read the request body")]
    Body(#[source] std::io::Error),
    /// A file of certificates to trust cannot be used.
    #[error("cannot use the certificates in {}: {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {origin}")]
    Connect {
        /// The server.
        origin: Origin,
        /// What went wrong.
        source: hyper_util::client::legacy::Error,
    },
    /// The connection broke before the body was whole.
    #[error("the response body of {origin} was cut off")]
    CutOff {
        /// The server.
        origin: Origin,
        /// What went wrong.
        source: hyper::Error,
    },
    /// The connection broke, or what came back is not HTTP.
    #[error("no usable response from {origin}")]
    Exchange {
        /// The server.
        origin: Origin,
        /// What went wrong.
        source: hyper_util::client::legacy::Error,
    },
    /// The address is a name of the Tor network. It is never looked up in DNS (RFC 7686).
    #[error("`{host}` is an onion service, and there is no support for a Tor proxy")]
    Onion {
        /// The host.
        host: String,
    },
    /// The request was not finished when its time was up.
    #[error("the request to {origin} was not finished within {limit:?}")]
    OutOfTime {
        /// The server.
        origin: Origin,
        /// The time given, from the start to the last byte of the body.
        limit: Duration,
    },
    /// A redirect that cannot or must not be followed.
    #[error("redirect from {origin} not followed: {reason}")]
    Redirect {
        /// The server that redirects.
        origin: Origin,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// The body paused for too long.
    #[error("the response body of {origin} paused for more than {limit:?}")]
    Stalled {
        /// The server.
        origin: Origin,
        /// The time given.
        limit: Duration,
    },
    /// No head of a response in time.
    #[error("no response from {origin} within {limit:?}")]
    Timeout {
        /// The server.
        origin: Origin,
        /// The time given.
        limit: Duration,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}
