//! Which tokens are void although their signature holds?
//!
//! Deriving root keys leaves no key to delete, so revocation is a small set instead: single
//! tokens by id, and everything minted before a moment. Asking it takes one look-up and no
//! lock; a server replaces the whole set when it changes.

use std::collections::HashSet;

use crate::identifier::TokenId;
use crate::time::UnixSeconds;

/// The tokens that no longer buy anything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RevocationSet {
    tokens: HashSet<TokenId>,
    minted_before: Option<UnixSeconds>,
}

impl RevocationSet {
    /// Voids one token.
    pub fn revoke(&mut self, token_id: TokenId) {
        self.tokens.insert(token_id);
    }

    /// Voids every token minted before `moment`. Calling it again only ever voids more.
    ///
    /// Reaches only tokens whose id says when they were minted, which those of a
    /// [`KeyRing`](crate::KeyRing) do.
    pub fn revoke_minted_before(&mut self, moment: UnixSeconds) {
        self.minted_before = self.minted_before.max(Some(moment));
    }

    /// True when the token is void.
    #[must_use]
    pub fn is_revoked(&self, token_id: &TokenId, minted_at: Option<UnixSeconds>) -> bool {
        let too_old = match (minted_at, self.minted_before) {
            (Some(minted_at), Some(moment)) => minted_at < moment,
            (None, _) | (_, None) => false,
        };
        too_old || self.tokens.contains(token_id)
    }

    /// The tokens voided one by one.
    pub fn tokens(&self) -> impl Iterator<Item = &TokenId> {
        self.tokens.iter()
    }

    /// The moment before which everything minted is void.
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
    fn a_single_token_is_voided_and_no_other() {
        let mut set = RevocationSet::default();
        set.revoke(TOKEN);

        assert!(set.is_revoked(&TOKEN, None));
        assert!(!set.is_revoked(&TokenId::new([2; 32]), None));
    }

    #[test]
    fn an_earlier_moment_never_unvoids() {
        let mut set = RevocationSet::default();
        set.revoke_minted_before(NOON);
        set.revoke_minted_before(UnixSeconds::new(0));

        assert!(set.is_revoked(&TOKEN, Some(UnixSeconds::new(43_199))));
        assert!(!set.is_revoked(&TOKEN, Some(NOON)));
        assert!(!set.is_revoked(&TOKEN, None));
    }
}
