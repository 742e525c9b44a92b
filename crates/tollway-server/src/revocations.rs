//! The revocations in force at one gate.
//!
//! A request reads a snapshot: one atomic load. A revocation is kept in the store first and
//! published second, so that one that was reported survives a crash. Revocations kept by other
//! processes are published when the store notices them.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use l402::{RevocationSet, TokenId, UnixSeconds};

use crate::ledger::{LedgerError, Revocation, Revocations};

/// The revocations of one gate, kept in its store.
pub struct ActiveRevocations {
    store: Arc<dyn Revocations>,
    current: Arc<ArcSwap<RevocationSet>>,
}

impl ActiveRevocations {
    /// Reads what the store has kept, and follows it from then on.
    pub(crate) async fn open(store: Arc<dyn Revocations>) -> Result<Self, LedgerError> {
        let current = Arc::new(ArcSwap::from_pointee(RevocationSet::default()));
        // Watched before it is read, so that nothing falls between the two.
        let watched = Arc::downgrade(&current);
        store.watch(Box::new(move |revocation| {
            if let Some(current) = watched.upgrade() {
                publish(&current, &[revocation]);
            }
        }));
        publish(&current, &store.all().await?);
        Ok(Self { store, current })
    }

    /// Returns the set as it is.
    #[must_use]
    pub fn snapshot(&self) -> Arc<RevocationSet> {
        self.current.load_full()
    }

    /// Returns the set as it is, without touching a counter that all cores share.
    pub(crate) fn load(&self) -> Guard<Arc<RevocationSet>> {
        self.current.load()
    }

    /// Revokes one token, and all narrowed from it, from the next request on.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it is not known to be kept. The token is then still honoured
    /// here; repeating is safe.
    pub async fn revoke(&self, token: TokenId) -> Result<(), LedgerError> {
        self.keep(Revocation::Token(token)).await
    }

    /// Revokes everything minted before `moment`, from the next request on.
    ///
    /// # Errors
    ///
    /// As [`revoke`](Self::revoke).
    pub async fn revoke_minted_before(&self, moment: UnixSeconds) -> Result<(), LedgerError> {
        self.keep(Revocation::MintedBefore(moment)).await
    }

    async fn keep(&self, revocation: Revocation) -> Result<(), LedgerError> {
        self.store.revoke(revocation).await?;
        publish(&self.current, &[revocation]);
        Ok(())
    }
}

impl fmt::Debug for ActiveRevocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveRevocations")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

fn publish(current: &ArcSwap<RevocationSet>, revocations: &[Revocation]) {
    current.rcu(|current| {
        let mut next = RevocationSet::clone(current);
        for revocation in revocations {
            apply(&mut next, *revocation);
        }
        next
    });
}

fn apply(set: &mut RevocationSet, revocation: Revocation) {
    match revocation {
        Revocation::MintedBefore(moment) => set.revoke_minted_before(moment),
        Revocation::Token(token) => set.revoke(token),
    }
}
