//! Why a request was not answered, sorted by what its caller does next.

use std::path::PathBuf;

use http::StatusCode;
use l402::{ChallengeError, Msat, OverLimit, PaymentHash, QuoteError};

use crate::journal::JournalError;
use crate::origin::{Origin, OriginError};
use crate::store::StoreError;

/// Why [`Client::send`](crate::Client::send) has no response.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Money may have moved. Do not buy this again; [`Client::resume`](crate::Client::resume)
    /// looks the payment up and keeps the credential if it settled.
    #[error(
        "payment {payment_hash} of {price} to {origin} is in doubt: {reason}; it will be looked up, not paid again"
    )]
    MoneyInDoubt {
        /// The payment's hash; names the purchase.
        payment_hash: PaymentHash,
        /// Who sells.
        origin: Origin,
        /// The price, in millisatoshis.
        price: Msat,
        /// What the wallet said.
        reason: String,
    },
    /// The wallet tried, and no money moved. Trying again is safe.
    #[error("not paid, no money moved: {reason}")]
    NotPaid {
        /// What the wallet said.
        reason: String,
    },
    /// Paid, and the server refused the credential. Do not try again: complain. The
    /// credential is set aside in the store.
    #[error("payment {payment_hash} of {paid} was made and the server still answers {status}")]
    PaidButRefused {
        /// The payment's hash.
        payment_hash: PaymentHash,
        /// What was paid, fees included, in millisatoshis.
        paid: Msat,
        /// The answer to the paid request.
        status: StatusCode,
    },
    /// Paid, and the paid request did not get through. Sending it again costs nothing: the
    /// credential is in the store.
    #[error(
        "payment {payment_hash} of {paid} was made, then the request failed; send it again, it is paid"
    )]
    PaidButUndelivered {
        /// The payment's hash.
        payment_hash: PaymentHash,
        /// What was paid, fees included, in millisatoshis.
        paid: Msat,
        /// What went wrong.
        source: Box<Self>,
    },
    /// Refused here, before any money moved. The same request will be refused again.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The data directory cannot be used. Nothing was paid.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The request failed before anything was paid.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The wallet cannot be asked. Nothing was paid.
    #[error("{reason}")]
    Wallet {
        /// What happened.
        reason: String,
    },
}

/// Why a client did not pay. No money moved.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The server asks again for a payment that was made before.
    #[error(
        "payment {payment_hash} was already made and its credential is in the store: the server sells the same thing twice"
    )]
    AlreadyPaid {
        /// The payment's hash.
        payment_hash: PaymentHash,
    },
    /// The body could not be sent again with the credential.
    #[error("{origin} asks to be paid, and this body can be sent only once: use bytes or a file")]
    BodyNotReplayable {
        /// Who asks.
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
    /// Whoever is asked before each purchase said no.
    #[error("declined: {price} for {origin}")]
    Declined {
        /// Who sells.
        origin: Origin,
        /// The price, in millisatoshis.
        price: Msat,
    },
    /// The host is not on the allow-list.
    #[error("{host} is not on the list of hosts to pay")]
    HostNotAllowed {
        /// The host.
        host: String,
    },
    /// The server asks to be paid and does not say how.
    #[error("the server asks to be paid and names no way to")]
    NoChallenge,
    /// No wallet was given.
    #[error("{origin} asks for {price} and there is no wallet")]
    NoWallet {
        /// Who sells.
        origin: Origin,
        /// The price, in millisatoshis.
        price: Msat,
    },
    /// A limit stands in the way.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// Paying is switched off.
    #[error("{origin} asks for {price} and paying is off")]
    PayingIsOff {
        /// Who sells.
        origin: Origin,
        /// The price, in millisatoshis.
        price: Msat,
    },
    /// The challenge is not fit to be paid.
    #[error("not paid: {0}")]
    Quote(#[source] QuoteError),
    /// A redirect leads to a seller the request was not addressed to.
    #[error(
        "redirected to {origin}, which asks to be paid: address it yourself, or put it on the list of hosts to pay"
    )]
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
pub enum StorageError {
    /// The work was cut off: the runtime is shutting down.
    #[error("interrupted: the runtime is shutting down")]
    Interrupted,
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The token store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a request did not get through.
#[derive(Debug, thiserror::Error)]
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
        /// Where to.
        origin: Origin,
        /// What went wrong.
        source: hyper_util::client::legacy::Error,
    },
    /// The connection broke, or what came back is not HTTP.
    #[error("no usable answer from {origin}")]
    Exchange {
        /// Where from.
        origin: Origin,
        /// What went wrong.
        source: hyper_util::client::legacy::Error,
    },
    /// A redirect that cannot or must not be followed.
    #[error("redirect from {origin} not followed: {reason}")]
    Redirect {
        /// Who redirects.
        origin: Origin,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// No answer in time.
    #[error("no answer from {origin} within {seconds} s")]
    Timeout {
        /// Where from.
        origin: Origin,
        /// The time given.
        seconds: u64,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}
