//! The steps of a request, for programs that show or count them.
//!
//! Events carry names and amounts. They never carry a token, a preimage, a header or a
//! query, so an observer may print them.

use std::path::PathBuf;

use http::StatusCode;
use l402::{Msat, Network, PaymentHash, SchemeName, UnixSeconds};

use crate::fit::TokenTerms;
use crate::origin::Origin;
use crate::refusal_reason::RefusalReason;

/// One step. Times are the observer's to take: it is called as the step happens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Another process has held the book for a while, and is waited for.
    BookBusy {
        /// The database file.
        file: PathBuf,
    },
    /// The server asks to be paid, or refused the credential that was presented.
    Challenged {
        /// The status of the response.
        status: StatusCode,
        /// How many challenges of ours it made.
        challenges: usize,
    },
    /// The paid credential is stored.
    Kept {
        /// The payment that bought it.
        payment_hash: PaymentHash,
    },
    /// The paid credential could not be stored. It is used all the same, and the purchase
    /// that was committed before the payment is enough to look it up again.
    NotKept {
        /// The payment that bought it.
        payment_hash: PaymentHash,
        /// What the system reported.
        reason: String,
    },
    /// The payment settled.
    Paid {
        /// Its hash.
        payment_hash: PaymentHash,
        /// The price, in millisatoshis.
        price: Msat,
        /// What routing cost, in millisatoshis.
        fee: Msat,
        /// The ceiling that was set for it. A wallet that passed it is at fault.
        fee_max: Msat,
    },
    /// The wallet is asked to pay.
    Paying {
        /// The payment's hash.
        payment_hash: PaymentHash,
    },
    /// A challenge passed every check a buyer can make.
    Quoted {
        /// The payment's hash.
        payment_hash: PaymentHash,
        /// The price, in millisatoshis.
        price: Msat,
        /// The network it is payable on.
        network: Network,
        /// The first second at which it is no longer payable.
        expires_at: UnixSeconds,
        /// The scheme the credential will be presented under.
        scheme: SchemeName,
        /// What is offered for it.
        terms: TokenTerms,
    },
    /// The server redirects.
    Redirected {
        /// Where to.
        origin: Origin,
        /// The path there.
        path: String,
    },
    /// A credential was refused, and is not presented for the same thing for a while.
    Refused {
        /// The payment that bought it.
        payment_hash: PaymentHash,
        /// What the server states.
        reason: RefusalReason,
    },
    /// A stored credential does not buy what is asked for any more, and no other one does:
    /// another is bought, if that is allowed.
    Replacing {
        /// The payment that bought it.
        payment_hash: PaymentHash,
        /// What the server states, or what is known without asking it.
        reason: RefusalReason,
        /// Whether it was accepted there before.
        accepted: bool,
        /// How many of its uses may have been taken and have delivered nothing. Where they are
        /// more than one in ten, nothing is bought in its place.
        lost: u64,
        /// How many requests it was good for, if it counts them.
        uses_max: Option<u64>,
    },
    /// Every use that a stored token has left is held by requests still being served: it is
    /// presented again in a moment.
    InUse {
        /// The payment that bought it.
        payment_hash: PaymentHash,
    },
    /// The invoice of a purchase whose process died is offered to the wallet again.
    Reoffered {
        /// The payment's hash.
        payment_hash: PaymentHash,
        /// The price, in millisatoshis.
        price: Msat,
    },
    /// The purchase fits every limit and is committed.
    Reserved {
        /// The payment's hash.
        payment_hash: PaymentHash,
        /// The price, in millisatoshis.
        price: Msat,
        /// The fee ceiling set aside with it, in millisatoshis.
        fee_max: Msat,
    },
    /// The head of a response arrived.
    Responded {
        /// Its status.
        status: StatusCode,
    },
    /// An earlier purchase was looked up.
    Resumed {
        /// The payment's hash.
        payment_hash: PaymentHash,
        /// The price, in millisatoshis.
        price: Msat,
        /// Its outcome.
        outcome: Resumption,
    },
    /// The server refused a credential bought just now; it is presented once more.
    Retrying {
        /// The payment's hash.
        payment_hash: PaymentHash,
    },
    /// What is bought will be presented in a second `Authorization` header, after the request's
    /// own, which is the only one that some servers read. Nothing is paid yet.
    SecondAuthorization {
        /// The seller.
        origin: Origin,
    },
    /// A request is sent.
    Sending {
        /// Where to.
        origin: Origin,
        /// The path there.
        path: String,
        /// What it presents to the server.
        presented: Presented,
        /// How many requests the token is good for, if it counts them: this one may take one of
        /// its uses.
        uses_max: Option<u64>,
    },
    /// Another request or process is buying the same thing, or as many as are made at a time are
    /// buying from this seller: they are waited for.
    Waiting {
        /// The seller.
        origin: Origin,
        /// The path there.
        path: String,
    },
}

/// What a request presents to the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presented {
    /// The credential bought just now.
    Bought(PaymentHash),
    /// No credential.
    Nothing,
    /// A stored credential.
    Stored(PaymentHash),
}

/// The outcome of looking up a purchase.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Resumption {
    /// It was paid; the credential is stored.
    Kept,
    /// No money moved and none will.
    NotPaid {
        /// What the wallet reported.
        reason: String,
    },
    /// Not known. What it may cost stays reserved.
    Open {
        /// Why, and what to do about it.
        reason: String,
    },
}
