//! What a client does, step by step, for whoever wants to show or count it.
//!
//! Events carry names and amounts. They never carry a token, a preimage, a header or a
//! query, so an observer may print them.

use http::StatusCode;
use l402::{Msat, Network, PaymentHash, SchemeName, UnixSeconds};

use crate::origin::Origin;

/// One step. Times are the observer's to take: it is called as the step happens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The server wants to be paid, or refused the credential it was shown.
    Challenged {
        /// The status it answered with.
        status: StatusCode,
        /// How many challenges of ours it made.
        challenges: usize,
    },
    /// The paid credential is in the store.
    Kept {
        /// The payment that bought it.
        payment_hash: PaymentHash,
    },
    /// The paid credential could not be written down. It is used all the same, and the
    /// journal's record from before the payment is enough to look it up again.
    NotKept {
        /// The payment that bought it.
        payment_hash: PaymentHash,
        /// What the system said.
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
    },
    /// The server points somewhere else.
    Redirected {
        /// Where to.
        origin: Origin,
        /// The path there.
        path: String,
    },
    /// A credential was refused and will not be tried at this path again.
    Refused {
        /// The payment that bought it.
        payment_hash: PaymentHash,
    },
    /// The purchase fits every limit and is on disk.
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
    /// What became of an earlier purchase is known.
    Resumed {
        /// The payment's hash.
        payment_hash: PaymentHash,
        /// What became of it.
        outcome: Resumption,
    },
    /// A request leaves.
    Sending {
        /// Where to.
        origin: Origin,
        /// The path there.
        path: String,
        /// What it shows the server.
        presented: Presented,
    },
}

/// What a request shows the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presented {
    /// The credential bought just now.
    Bought(PaymentHash),
    /// No credential.
    Nothing,
    /// A credential from the store.
    Stored(PaymentHash),
}

/// What became of a purchase that was open, or paid and not kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Resumption {
    /// It was paid; the credential is in the store.
    Kept,
    /// No money moved and none will.
    NotPaid {
        /// What the wallet said.
        reason: String,
    },
    /// Still not known. What it may cost stays set aside.
    Open {
        /// Why.
        reason: String,
    },
}
