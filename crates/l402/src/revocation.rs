//! Revocation: the tokens that are invalid although their signature holds.
//!
//! Deriving root keys leaves no key to delete, so revocation is a small set instead: single
//! tokens by id, and everything minted before a moment. A query takes one look-up and no
//! lock; a server replaces the whole set when it changes.

use std::collections::HashSet;

use crate::identifier::TokenId;
use crate::time::UnixSeconds;

/// The tokens that buy nothing although they are genuine.
///
/// ```
/// use l402::{RevocationSet, TokenId, UnixSeconds};
///
/// let (stolen, other) = (TokenId::new([1; 32]), TokenId::new([2; 32]));
/// let leak = UnixSeconds::new(1_700_000_000);
/// let mut revoked = RevocationSet::default();
/// revoked.revoke(stolen);
/// revoked.revoke_minted_before(leak);
///
/// assert!(revoked.is_revoked(&stolen, Some(leak)));
/// assert!(revoked.is_revoked(&other, Some(UnixSeconds::new(1_699_999_999))));
/// assert!(!revoked.is_revoked(&other, Some(leak)));
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RevocationSet {
    tokens: HashSet<TokenId>,
    minted_before: Option<UnixSeconds>,
}

impl RevocationSet {
    /// Revokes one token.
    pub fn revoke(&mut self, token_id: TokenId) {
        self.tokens.insert(token_id);
    }

    /// Revokes every token minted before `moment`. A later call only ever revokes more.
    ///
    /// Applies only to tokens whose id contains the time of minting, which those of a
    /// [`KeyRing`](crate::KeyRing) do.
    pub fn revoke_minted_before(&mut self, moment: UnixSeconds) {
        self.minted_before = self.minted_before.max(Some(moment));
    }

    /// Returns true when the token is revoked.
    #[must_use]
    pub fn is_revoked(&self, token_id: &TokenId, minted_at: Option<UnixSeconds>) -> bool {
        let too_old = match (minted_at, self.minted_before) {
            (Some(minted_at), Some(moment)) => minted_at < moment,
            (None, _) | (_, None) => false,
        };
        too_old || self.tokens.contains(token_id)
    }

    /// Returns the tokens revoked one by one.
    pub fn tokens(&self) -> impl Iterator<Item = &TokenId> {
        self.tokens.iter()
    }

    /// Returns the time before which every token minted is revoked.
    #[must_use]
    pub const fn minted_before(&self) -> Option<UnixSeconds> {
        self.minted_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: TokenId = TokenId::new([1; 32]);
    const NOON: UnixSeconds = UnixSeconds::new(43_200);

    #[test]
    fn a_single_token_is_revoked_and_no_other() {
        let mut set = RevocationSet::default();
        set.revoke(TOKEN);

        assert!(set.is_revoked(&TOKEN, None));
        assert!(!set.is_revoked(&TokenId::new([2; 32]), None));
    }

    #[test]
    fn an_earlier_time_never_restores_a_token() {
        let mut set = RevocationSet::default();
        set.revoke_minted_before(NOON);
        set.revoke_minted_before(UnixSeconds::new(0));

        assert!(set.is_revoked(&TOKEN, Some(UnixSeconds::new(43_199))));
        assert!(!set.is_revoked(&TOKEN, Some(NOON)));
        assert!(!set.is_revoked(&TOKEN, None));
    }
}
