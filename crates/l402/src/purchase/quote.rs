//! A challenge that has been checked and could be paid.
//!
//! A challenge is a request for money from a server that is not trusted. Before any limit is
//! looked at, token and invoice must be readable and must belong together, the amount must be
//! stated, and the token must not be one that paying cannot make useful: one with a third
//! party's caveat, no uses, a deadline that is past or too near, or the preimage of another
//! payment.

use super::Payable;
use crate::amount::Msat;
use crate::caveat;
use crate::challenge::Challenge;
use crate::hash::{PaymentHash, Preimage};
use crate::identifier::{Identifier, IdentifierError};
use crate::invoice::{Invoice, InvoiceError};
use crate::macaroon::{Macaroon, MacaroonError};
use crate::network::Network;
use crate::time::UnixSeconds;
use crate::token::Token;

/// A challenge that could be paid: its token and invoice agree, and it names its price.
///
/// ```
/// use l402::{Msat, Network, Quote, QuoteError, UnixSeconds};
/// # use l402::{Challenge, KeyRing, MasterKey, Services};
/// # let invoice = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/invoice.txt")).trim();
/// # let (ring, now) = (KeyRing::new(MasterKey::new([1; 32])), UnixSeconds::new(1_700_000_000));
/// # let services = Services::new("weather", 0)?;
/// # let challenge = Challenge::issue(&ring, &invoice.parse()?, &services, &[], now, [2; 20])?;
///
/// let now = UnixSeconds::new(1_700_000_000);
/// let quote = Quote::read(&challenge, Network::Regtest, now)?;
/// assert_eq!(quote.price(), Msat::from_msat(10_000));
///
/// let refused = Quote::read(&challenge, Network::Mainnet, now);
/// assert!(matches!(refused, Err(QuoteError::WrongNetwork { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Quote {
    challenge: Challenge,
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
        let quote = Self::read_any_network(challenge, now)?;
        let found = quote.invoice.network();
        if found != network {
            return Err(QuoteError::WrongNetwork {
                found,
                expected: network,
            });
        }
        Ok(quote)
    }

    /// Reads a challenge without knowing which network the wallet pays on: its price
    /// can be shown, and must be [read](Self::read) before it is paid.
    ///
    /// # Errors
    ///
    /// [`QuoteError`]; nothing may then be paid.
    pub fn read_any_network(challenge: &Challenge, now: UnixSeconds) -> Result<Self, QuoteError> {
        let invoice = Invoice::parse(challenge.invoice()).map_err(QuoteError::Invoice)?;
        let macaroon = check_pair(challenge.token(), &invoice)?;
        if invoice.is_amp() {
            return Err(QuoteError::Amp);
        }
        let expires_at = invoice.expires_at();
        if now >= expires_at {
            return Err(QuoteError::Expired {
                seconds_ago: now.secs_since(expires_at),
            });
        }
        check_caveats(&macaroon, &invoice.payment_hash(), now)?;
        match invoice.amount() {
            None => Err(QuoteError::NoAmount),
            Some(price) if price.is_zero() => Err(QuoteError::NoAmount),
            Some(price) => Ok(Self {
                challenge: challenge.clone(),
                invoice,
                price,
            }),
        }
    }

    /// Returns the challenge as received.
    #[must_use]
    pub const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// Returns the invoice to pay.
    #[must_use]
    pub const fn invoice(&self) -> &Invoice {
        &self.invoice
    }

    /// Returns the price in millisatoshis, never zero.
    pub const fn price(&self) -> Msat {
        self.price
    }

    /// Returns the hash that invoice and token share.
    #[must_use]
    pub const fn payment_hash(&self) -> PaymentHash {
        self.invoice.payment_hash()
    }

    /// Returns what is to be paid to `host`, without the scheme.
    #[must_use]
    pub fn payable(&self, host: &str) -> Payable {
        Payable {
            invoice: self.invoice.clone(),
            price: self.price,
            host: host.to_owned(),
        }
    }
}

/// Returns the earliest deadline in a token's caveats, which are not verified.
///
/// Good for not showing, or not buying, a token whose own deadline is past.
/// Deadlines that cannot be read are skipped: only the seller knows what they mean.
#[must_use]
pub fn unverified_deadline(token: &Macaroon) -> Option<UnixSeconds> {
    let deadlines = token.unverified_caveats().filter_map(|caveat| {
        let (condition, value) = std::str::from_utf8(caveat.id()).ok()?.split_once('=')?;
        let is_decimal = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let value: u64 = value.parse().ok().filter(|_value| is_decimal)?;
        if condition == caveat::EXPIRATION_MS {
            return Some(UnixSeconds::new(value.div_ceil(1_000)));
        }
        let is_deadline =
            condition == caveat::VALID_UNTIL || condition.ends_with(caveat::VALID_UNTIL_SUFFIX);
        is_deadline.then(|| UnixSeconds::new(value))
    });
    deadlines.min()
}

/// Reads the token, and refuses one that the payment of `invoice` would not make valid.
pub(crate) fn check_pair(token: &Token, invoice: &Invoice) -> Result<Macaroon, QuoteError> {
    let macaroon = token.macaroon().map_err(QuoteError::Token)?;
    let identifier = Identifier::parse(macaroon.identifier()).map_err(QuoteError::Identifier)?;
    if identifier.payment_hash != invoice.payment_hash() {
        return Err(QuoteError::HashMismatch {
            token: identifier.payment_hash,
            invoice: invoice.payment_hash(),
        });
    }
    Ok(macaroon)
}

fn check_caveats(
    token: &Macaroon,
    payment_hash: &PaymentHash,
    now: UnixSeconds,
) -> Result<(), QuoteError> {
    if token
        .unverified_caveats()
        .any(|caveat| caveat.is_third_party())
    {
        return Err(QuoteError::ThirdParty);
    }
    if let Some(deadline) = unverified_deadline(token) {
        if now >= deadline {
            return Err(QuoteError::TokenExpired {
                seconds_ago: now.secs_since(deadline),
            });
        }
        let seconds_left = deadline.secs_since(now);
        if seconds_left < LIFE_MIN_SECS {
            return Err(QuoteError::TokenExpiring { seconds_left });
        }
    }
    let is_useless = token.unverified_caveats().any(|caveat| {
        let text = std::str::from_utf8(caveat.id()).unwrap_or_default();
        let uses = text
            .split_once('=')
            .filter(|(name, _)| name.trim() == caveat::MAX_USES);
        uses.is_some_and(|(_, uses)| uses.trim().parse() == Ok(0_u64))
    });
    if is_useless {
        return Err(QuoteError::NoUses);
    }
    let names_other_preimage = token.unverified_caveats().any(|caveat| {
        let text = std::str::from_utf8(caveat.id()).unwrap_or_default();
        let value = text
            .split_once('=')
            .filter(|(condition, _)| *condition == caveat::PREIMAGE)
            .map(|(_, value)| value);
        value.is_some_and(|value| {
            !Preimage::from_hex(value).is_ok_and(|preimage| preimage.matches(payment_hash))
        })
    });
    if names_other_preimage {
        return Err(QuoteError::ForeignPreimage);
    }
    Ok(())
}

/// Why a challenge is not fit to be paid.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuoteError {
    /// The invoice is for an atomic multi-path payment: the hash that settles is not the one
    /// that the token names.
    #[error("invoice is for an AMP payment: its preimage would not make the token valid")]
    Amp,
    /// The invoice is no longer payable.
    #[error("invoice expired {seconds_ago} s ago: send the request again for a new one")]
    Expired {
        /// Whole seconds since then.
        seconds_ago: u64,
    },
    /// The token is already bound to the preimage of another payment.
    #[error("token is bound to another payment's preimage: paying would not make it valid")]
    ForeignPreimage,
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
    /// The token does not name the payment that makes it valid.
    #[error("token names no payment: {0}")]
    Identifier(#[source] IdentifierError),
    /// The invoice cannot be read.
    #[error("invoice cannot be read: {0}")]
    Invoice(#[source] InvoiceError),
    /// The invoice leaves the amount to the payer, or asks for nothing.
    #[error("invoice names no amount")]
    NoAmount,
    /// The token is good for no request.
    #[error("token is good for no request: paying would buy nothing")]
    NoUses,
    /// The token has a caveat that only a third party can discharge.
    #[error("token has a third-party caveat: paying would not make it valid")]
    ThirdParty,
    /// The token's own deadline is past.
    #[error("token expired {seconds_ago} s ago: paying would not make it valid")]
    TokenExpired {
        /// Whole seconds since then.
        seconds_ago: u64,
    },
    /// The token's own deadline is so near that it may be past once the payment has settled.
    #[error("token expires in {seconds_left} s: a payment may take longer")]
    TokenExpiring {
        /// Whole seconds until then.
        seconds_left: u64,
    },
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

/// The least time that a token must be valid for: a payment over several hops takes seconds.
const LIFE_MIN_SECS: u64 = 10;
