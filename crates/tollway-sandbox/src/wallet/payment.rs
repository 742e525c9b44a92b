//! Payments: what to pay, and how one ends.

use std::str::FromStr as _;
use std::time::Duration;

use bitcoin::secp256k1::PublicKey;
use l402::{Msat, PaymentHash, Preimage, UnixSeconds};
use lightning_invoice::{Bolt11Invoice, Currency};

/// What to pay and within which bounds.
#[derive(Clone, Debug)]
pub struct NewPayment {
    /// The invoice; [`parse_invoice`] reads one of this network.
    pub invoice: Bolt11Invoice,
    /// What to pay, for an invoice that names no amount; `None` for any other.
    pub amount: Option<Msat>,
    /// The most routing may cost beyond the amount.
    pub fee_max: Msat,
    /// How long attempts may be started. One already on its way is waited for.
    pub timeout: Duration,
    /// Whether this wallet may pay its own invoice.
    pub self_payment: SelfPayment,
}

/// Whether a wallet may pay its own invoice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SelfPayment {
    /// It may, over a circle of channels.
    Allow,
    /// It may not.
    Refuse,
}

/// Why a payment was not begun. No money moves for the refused call.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendError {
    /// This hash is paid; the record has the preimage.
    #[error("invoice is already paid")]
    AlreadyPaid {
        /// The hash paid before.
        hash: PaymentHash,
    },
    /// An amount was given for an invoice that names its own.
    #[error("amount must not be specified when paying a non-zero amount invoice")]
    AmountGiven,
    /// No amount was given for an invoice that names none.
    #[error("amount must be specified when paying a zero amount invoice")]
    AmountMissing,
    /// The invoice is no longer payable.
    #[error("invoice expired {seconds_ago} s ago")]
    Expired {
        /// When it expired.
        expired_at: UnixSeconds,
        /// Whole seconds between then and now.
        seconds_ago: u64,
    },
    /// This hash is being paid; watch that payment.
    #[error("payment is in transition")]
    InFlight {
        /// The hash being paid.
        hash: PaymentHash,
    },
    /// The invoice is this wallet's own.
    #[error("self-payments not allowed")]
    SelfPayment,
    /// The sandbox has stopped.
    #[error("the sandbox has stopped")]
    Stopped,
    /// The invoice is for another network.
    #[error(transparent)]
    WrongNetwork(ParseInvoiceError),
}

/// Why a text is not an invoice of this network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseInvoiceError {
    /// Not a BOLT 11 invoice.
    #[error("not a BOLT 11 invoice: {reason}")]
    Unreadable {
        /// What the parser reported.
        reason: String,
    },
    /// For another network, in LND's words.
    #[error("invoice not for current active network 'regtest'")]
    WrongNetwork {
        /// The invoice's network.
        network: l402::Network,
    },
}

/// Parses a BOLT 11 invoice of the sandbox's network.
///
/// # Errors
///
/// [`ParseInvoiceError`].
pub fn parse_invoice(text: &str) -> Result<Bolt11Invoice, ParseInvoiceError> {
    let invoice = Bolt11Invoice::from_str(text).map_err(|error| ParseInvoiceError::Unreadable {
        reason: error.to_string(),
    })?;
    check_network(&invoice)?;
    Ok(invoice)
}

pub(super) fn check_network(invoice: &Bolt11Invoice) -> Result<(), ParseInvoiceError> {
    use l402::Network;
    let network = match invoice.currency() {
        Currency::Regtest => return Ok(()),
        Currency::Bitcoin => Network::Mainnet,
        Currency::BitcoinTestnet => Network::Testnet,
        Currency::Signet => Network::Signet,
        Currency::Simnet => Network::Simnet,
    };
    Err(ParseInvoiceError::WrongNetwork { network })
}

/// A payment of this wallet. A second attempt at a failed hash continues its record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PaymentRecord {
    /// 1 for the first payment, one more for each later one.
    pub payment_index: u64,
    /// The hash whose preimage the payment buys.
    pub hash: PaymentHash,
    /// The invoice paid.
    pub bolt11: Box<str>,
    /// Who is paid.
    pub destination: PublicKey,
    /// What the payee gets.
    pub amount: Msat,
    /// When it was begun, in nanoseconds since the epoch.
    pub created_at_nanos: u64,
    /// How it stands.
    pub status: PaymentStatus,
    /// The routes tried, oldest first.
    pub attempts: Vec<Attempt>,
}

/// How a payment stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PaymentStatus {
    /// It failed: no money moved, and none will.
    Failed(FailureReason),
    /// It may yet settle or fail.
    InFlight,
    /// It settled.
    Succeeded {
        /// The proof.
        preimage: Preimage,
        /// What routing cost beyond the amount.
        fee: Msat,
    },
}

/// Why a payment failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FailureReason {
    /// The node itself failed.
    #[error("the node failed to send the payment")]
    Error,
    /// The payee does not know the hash, or the invoice is expired, paid or for another amount.
    #[error("the payee refused: unknown, expired or already settled invoice, or a wrong amount")]
    IncorrectPaymentDetails,
    /// More than this wallet can send.
    #[error("the wallet's channels hold less than the amount")]
    InsufficientBalance,
    /// No route leads to the payee within the fee limit.
    #[error("no route to the payee within the fee limit")]
    NoRoute,
    /// No attempt succeeded in time.
    #[error("no attempt succeeded in time")]
    Timeout,
}

/// One route tried for a payment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// Distinguishes the attempts of this wallet.
    pub id: u64,
    /// When it was sent, in nanoseconds since the epoch.
    pub sent_at_nanos: u64,
    /// What leaves this wallet: the part of the amount sent this way, and its fees.
    pub total: Msat,
    /// The part of it that pays the hops.
    pub fee: Msat,
    /// The block height at which the first hop's lock ends.
    pub total_time_lock: u32,
    /// The hops, the payee last.
    pub hops: Vec<Hop>,
    /// How it ended.
    pub status: AttemptStatus,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttemptStatus {
    /// It failed.
    Failed {
        /// When, in nanoseconds since the epoch.
        at_nanos: u64,
    },
    /// Not known yet.
    InFlight,
    /// The payee took it.
    Succeeded {
        /// When, in nanoseconds since the epoch.
        at_nanos: u64,
    },
}

/// One hop of a route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hop {
    /// The node at its end.
    pub node: PublicKey,
    /// The short channel id that leads there.
    pub channel_id: u64,
    /// What the node at its end forwards, or keeps if it is the payee.
    pub forwards: Msat,
    /// What that node takes for it.
    pub fee: Msat,
    /// The block height at which the lock beyond this hop ends.
    pub expiry_height: u32,
}

/// What routing would cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FeeEstimate {
    /// The fee beyond the amount.
    pub fee: Msat,
    /// Blocks for which the money could at worst be locked.
    pub time_lock_blocks: u32,
}

/// Why there is no estimate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EstimateError {
    /// More than this wallet can send now, payments in flight counted as gone.
    #[error("the wallet's channels cannot send that much now")]
    InsufficientBalance,
    /// No route leads there.
    #[error("no route to the payee")]
    NoRoute,
}
