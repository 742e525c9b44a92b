//! Issuing and restoring: where a token and the invoice that pays for it are put together.

use super::Challenge;
use crate::caveat::Caveat;
use crate::invoice::Invoice;
use crate::keys::KeyRing;
use crate::macaroon::MacaroonError;
use crate::mint::mint;
use crate::purchase::{QuoteError, check_pair};
use crate::scheme::SchemeName;
use crate::services::Services;
use crate::time::UnixSeconds;
use crate::token::Token;

impl Challenge {
    /// Mints a token for the payment of `invoice` and creates the challenge of both.
    ///
    /// `entropy` must come from a cryptographic random source. The token is for `services`
    /// and is narrowed by `caveats`, in their order.
    ///
    /// # Errors
    ///
    /// As [`mint`](crate::mint()).
    pub fn issue(
        ring: &KeyRing,
        invoice: &Invoice,
        services: &Services,
        caveats: &[Caveat],
        now: UnixSeconds,
        entropy: [u8; 20],
    ) -> Result<Self, MacaroonError> {
        let hash = invoice.payment_hash();
        let token = mint(ring, hash, services, caveats, now, entropy)?;
        Ok(Self {
            name: SchemeName::L402,
            token: Token::from(&token),
            invoice: invoice.as_str().to_owned(),
        })
    }

    /// Restores a challenge from a record of its parts.
    ///
    /// # Errors
    ///
    /// [`QuoteError::Token`], [`QuoteError::Identifier`] or [`QuoteError::HashMismatch`] when
    /// the token is not for the payment of `invoice`.
    pub fn restore(name: SchemeName, token: Token, invoice: &Invoice) -> Result<Self, QuoteError> {
        check_pair(&token, invoice)?;
        Ok(Self {
            name,
            token,
            invoice: invoice.as_str().to_owned(),
        })
    }
}
