//! Refusals to pay, before any money moves.

use std::path::PathBuf;

use l402::{ChallengeError, Invoice, Msat, OverLimit, PaymentHash, QuoteError};

use crate::book::{Brake, WalletName};
use crate::fit::TokenTerms;
use crate::origin::Origin;
use crate::refusal_reason::RefusalReason;

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
    /// The token that is offered excludes the request by its own text.
    #[error("the token that is offered could not be presented for this request: {reason}")]
    Misfit {
        /// Why.
        reason: RefusalReason,
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
    /// What was paid for brought nothing a while ago.
    #[error(
        "{}: nothing more is bought from {}{} until {} (Unix seconds)",
        .0.cause.of_payment(&.0.payment_hash, .0.paid, &.0.path), .0.origin, .0.scope, .0.until
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
        /// What is offered for it.
        terms: TokenTerms,
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
