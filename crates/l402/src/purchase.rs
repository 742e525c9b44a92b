//! The life of one purchase, as a state machine.
//!
//! [`step`] is one pure function: a state and an event in, the next state and one action
//! out. The caller carries the action out (records, pays, looks up, keeps the credential) and
//! reports the result as the next event. It guarantees that:
//!
//! - nothing is paid before it is recorded;
//! - nothing is paid a second time while the first payment may have moved money, unless the
//!   wallet pays one payment hash at most once ([`PurchaseEvent::Reoffered`]);
//! - a payment counts as settled only with a preimage that hashes to the payment hash;
//! - a settlement that is found late, after a failure was reported, is kept.
//!
//! ```text
//!          Admitted           Recorded            Settled
//! Offered ─────────► Reserved ────────► Paying ──────────────► Paid
//!    ▲                                  │ │  ▲                  ▲ ▲
//!    │ Admitted                 Unknown │ │  │ Reoffered        │ │
//!    │                                  ▼ │  │                  │ │
//!    │                              Unknown ─┴── Settled ───────┘ │
//!    │                                  │ │ Failed                │
//!    └───────────────────────────────── Failed ───── Settled ─────┘
//! ```
//!
//! It knows no scheme and no limit: what is paid is a [`Payable`], whether it may be paid is
//! decided by [`Quote`] and [`Budget`](crate::Budget) before [`PurchaseEvent::Admitted`].

mod quote;

pub(crate) use self::quote::check_pair;
pub use self::quote::{Quote, QuoteError, unverified_deadline};
use crate::amount::Msat;
use crate::hash::{PaymentHash, Preimage};
use crate::invoice::Invoice;
use crate::network::Network;
use crate::time::UnixSeconds;

/// What can be paid: the facts that a decision about money needs, whatever the scheme.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Payable {
    invoice: Invoice,
    price: Msat,
    host: String,
}

impl Payable {
    /// Creates what an invoice of `host` asks for; `None` when it names no amount.
    #[must_use]
    pub fn new(invoice: Invoice, host: &str) -> Option<Self> {
        let price = invoice.amount().filter(|price| !price.is_zero())?;
        Some(Self {
            invoice,
            price,
            host: host.to_owned(),
        })
    }

    /// Returns the hash whose preimage proves the payment.
    #[must_use]
    pub const fn payment_hash(&self) -> PaymentHash {
        self.invoice.payment_hash()
    }

    /// Returns the price in millisatoshis, never zero.
    pub const fn price(&self) -> Msat {
        self.price
    }

    /// Returns the network it is payable on.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.invoice.network()
    }

    /// Returns the first second at which it is no longer payable.
    #[must_use]
    pub const fn expires_at(&self) -> UnixSeconds {
        self.invoice.expires_at()
    }

    /// Returns the host that is paid.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the invoice to pay.
    #[must_use]
    pub const fn invoice(&self) -> &Invoice {
        &self.invoice
    }
}

/// How far a purchase has come.
///
/// Exhaustive on purpose, as [`PurchaseEvent`] and [`PurchaseAction`] are: whether money may
/// have moved must be settled for each state wherever one is stored or shown, so adding one is
/// a breaking change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PurchaseState {
    /// No money moved and none will.
    Failed,
    /// Nothing is reserved.
    Offered,
    /// Paid.
    Paid {
        /// The proof, checked against the payment hash.
        preimage: Preimage,
        /// The routing fee, in millisatoshis.
        fee: Msat,
    },
    /// Recorded; the wallet may have been asked to pay.
    Paying,
    /// Price and fee ceiling are reserved; nothing is recorded.
    Reserved,
    /// Money may have moved.
    Unknown,
}

impl PurchaseState {
    /// Returns true while it is not known whether money moved.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        match self {
            Self::Paying | Self::Unknown => true,
            Self::Failed | Self::Offered | Self::Paid { .. } | Self::Reserved => false,
        }
    }

    /// Returns what a purchase in this state counts against every limit, in millisatoshis.
    pub fn charge(&self, price: Msat, fee_max: Msat) -> Msat {
        let beyond_price = match self {
            Self::Failed | Self::Offered => return Msat::ZERO,
            Self::Paid { fee, .. } => *fee,
            Self::Paying | Self::Reserved | Self::Unknown => fee_max,
        };
        price.checked_add(beyond_price).unwrap_or(Msat::MAX)
    }
}

/// What happened to a purchase.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PurchaseEvent {
    /// It fits every limit, and its amount is reserved.
    Admitted,
    /// The wallet reported that no money moved and none will.
    Failed,
    /// The record is durable.
    Recorded,
    /// The same invoice is to be offered to the same wallet again. Only for a wallet that pays
    /// one payment hash at most once.
    Reoffered,
    /// The wallet reported that the payment settled.
    Settled {
        /// The proof of payment.
        preimage: Preimage,
        /// The routing fee, in millisatoshis.
        fee: Msat,
    },
    /// The outcome of the payment is unknown.
    Unknown,
}

/// What the caller has to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum PurchaseAction {
    /// Store the credential durably, and use it.
    Keep,
    /// Look the payment up. Never pay.
    LookUp,
    /// Nothing.
    Nothing,
    /// Pay the invoice, once.
    Pay,
    /// Write the purchase down, durably.
    Record,
    /// Give the reservation back.
    Release,
}

/// An event that cannot follow the state.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this event cannot happen to a purchase in its state")]
pub struct OutOfOrder;

/// Returns the state that follows `state` after `event`, and what to do about it.
///
/// `payment_hash` is the purchase's: a settlement is believed only with a preimage that
/// hashes to it. With any other the outcome is unknown.
///
/// # Errors
///
/// [`OutOfOrder`] when the event cannot follow the state.
///
/// # Specification
///
/// L402 `protocol-specification.md`, Client Flow (rows 44 and 52 in `docs/spec.md`).
///
/// # Examples
///
/// ```
/// use l402::{Msat, Preimage, PurchaseAction, PurchaseEvent, PurchaseState, step};
///
/// let preimage = Preimage::new([9; 32]);
/// let hash = preimage.payment_hash();
/// let settled = PurchaseEvent::Settled { preimage, fee: Msat::ZERO };
///
/// let (state, action) = step(&hash, &PurchaseState::Offered, PurchaseEvent::Admitted)?;
/// assert_eq!(action, PurchaseAction::Record);
/// let (state, action) = step(&hash, &state, PurchaseEvent::Recorded)?;
/// assert_eq!(action, PurchaseAction::Pay);
///
/// // The wallet did not respond in time: money may have moved, so it is never paid again.
/// let (state, action) = step(&hash, &state, PurchaseEvent::Unknown)?;
/// assert_eq!(action, PurchaseAction::LookUp);
/// let (state, action) = step(&hash, &state, settled)?;
/// assert_eq!(action, PurchaseAction::Keep);
/// assert!(!state.is_open());
/// # Ok::<(), l402::OutOfOrder>(())
/// ```
pub fn step(
    payment_hash: &PaymentHash,
    state: &PurchaseState,
    event: PurchaseEvent,
) -> Result<(PurchaseState, PurchaseAction), OutOfOrder> {
    use {PurchaseAction as Do, PurchaseEvent as Event, PurchaseState as State};
    match (state, event) {
        (State::Offered | State::Failed, Event::Admitted) => Ok((State::Reserved, Do::Record)),
        (State::Reserved, Event::Recorded) | (State::Paying | State::Unknown, Event::Reoffered) => {
            Ok((State::Paying, Do::Pay))
        }
        (State::Reserved, Event::Failed) => Ok((State::Offered, Do::Release)),
        (State::Paying | State::Unknown, Event::Failed) => Ok((State::Failed, Do::Release)),
        (State::Paying | State::Unknown, Event::Unknown) => Ok((State::Unknown, Do::LookUp)),
        (State::Paying | State::Unknown | State::Failed, Event::Settled { preimage, fee }) => {
            Ok(settled(payment_hash, state, preimage, fee))
        }
        (State::Paid { .. }, Event::Settled { .. }) | (State::Failed, Event::Failed) => {
            Ok((state.clone(), Do::Nothing))
        }
        (
            State::Failed
            | State::Offered
            | State::Paid { .. }
            | State::Paying
            | State::Reserved
            | State::Unknown,
            Event::Admitted
            | Event::Failed
            | Event::Recorded
            | Event::Reoffered
            | Event::Settled { .. }
            | Event::Unknown,
        ) => Err(OutOfOrder),
    }
}

fn settled(
    payment_hash: &PaymentHash,
    state: &PurchaseState,
    preimage: Preimage,
    fee: Msat,
) -> (PurchaseState, PurchaseAction) {
    if preimage.matches(payment_hash) {
        return (PurchaseState::Paid { preimage, fee }, PurchaseAction::Keep);
    }
    match state {
        PurchaseState::Failed => (PurchaseState::Failed, PurchaseAction::Nothing),
        PurchaseState::Offered
        | PurchaseState::Paid { .. }
        | PurchaseState::Paying
        | PurchaseState::Reserved
        | PurchaseState::Unknown => (PurchaseState::Unknown, PurchaseAction::LookUp),
    }
}
