//! Which tokens are void, as of this moment?
//!
//! A request reads a snapshot: one atomic load. A revocation is kept in the ledger first and
//! published second, so that what an operator was told is done survives a crash.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use l402::{RevocationSet, TokenId, UnixSeconds};

use crate::ledger::{Ledger, LedgerError, Revocation};

/// The revocations of one gate, kept in its ledger.
pub struct Revocations {
    ledger: Arc<dyn Ledger>,
    current: ArcSwap<RevocationSet>,
}

impl Revocations {
    /// Reads what the ledger has kept.
    pub(crate) async fn open(ledger: Arc<dyn Ledger>) -> Result<Self, LedgerError> {
        let mut set = RevocationSet::default();
        for revocation in ledger.revocations().await? {
            apply(&mut set, revocation);
        }
        Ok(Self {
            ledger,
            current: ArcSwap::from_pointee(set),
        })
    }

    /// The set as it is.
    #[must_use]
    pub fn snapshot(&self) -> Arc<RevocationSet> {
        self.current.load_full()
    }

    /// The set as it is, without touching a counter that all cores share.
    pub(crate) fn load(&self) -> Guard<Arc<RevocationSet>> {
        self.current.load()
    }

    /// Voids one token, and all narrowed from it, from the next request on.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it is not known to be kept. The token is then still honoured
    /// here; repeating is safe.
    pub async fn revoke(&self, token: TokenId) -> Result<(), LedgerError> {
        self.keep(Revocation::Token(token)).await
    }

    /// Voids everything minted before `moment`, from the next request on.
    ///
    /// # Errors
    ///
    /// As [`revoke`](Self::revoke).
    pub async fn revoke_minted_before(&self, moment: UnixSeconds) -> Result<(), LedgerError> {
        self.keep(Revocation::MintedBefore(moment)).await
    }

    async fn keep(&self, revocation: Revocation) -> Result<(), LedgerError> {
        self.ledger.revoke(revocation).await?;
        self.current.rcu(|current| {
            let mut next = RevocationSet::clone(current);
            apply(&mut next, revocation);
            next
        });
        Ok(())
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

fn apply(set: &mut RevocationSet, revocation: Revocation) {
    match revocation {
        Revocation::MintedBefore(moment) => set.revoke_minted_before(moment),
        Revocation::Token(token) => set.revoke(token),
    }
}
