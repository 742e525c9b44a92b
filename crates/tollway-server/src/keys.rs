//! Sources of root keys.
//!
//! A [`KeySource`] gives the ring that mints and verifies without waiting. It may also know
//! tokens that no ring minted, whose keys are kept one by one in a store; these are looked up
//! only for a token that the ring cannot have minted and that is paid for.
//!
//! | source | ring | other tokens |
//! |---|---|---|
//! | [`KeyRing`] | fixed | none |
//! | [`LiveKeyRing`] | follows a [key file](mod@file) | none |
//! | [`StoredKeys`] | that of another source | looked up in a [`KeyStore`] |

pub mod file;
mod live;
mod stored;

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::Guard;
use futures_util::future::{self, BoxFuture};
use l402::{ApertureKey, KeyRing};

pub use self::live::LiveKeyRing;
pub use self::stored::{KeyStore, KeyStoreError, StoredKeys};

/// Where a gate finds the keys of tokens.
pub trait KeySource: Debug + Send + Sync {
    /// Returns the ring in force. Its newest key mints; all of its keys verify.
    fn ring(&self) -> RingRef<'_>;

    /// Returns whether tokens that the ring did not mint may be honoured as well.
    fn has_stored_keys(&self) -> bool {
        false
    }

    /// Looks up the key of a token that the ring did not mint; `None` when it is not known.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError`]: whether the token is genuine is unknown, and the request must not go
    /// on.
    fn stored<'a>(
        &'a self,
        identifier: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<ApertureKey>, KeyStoreError>> {
        let _ = identifier;
        Box::pin(future::ready(Ok(None)))
    }
}

/// A key ring, borrowed from a [`KeySource`] for one look.
///
/// Does not touch a counter that all cores share.
#[derive(Debug)]
pub struct RingRef<'a>(Borrowed<'a>);

#[derive(Debug)]
enum Borrowed<'a> {
    Fixed(&'a KeyRing),
    Live(Guard<Arc<KeyRing>>),
}

impl RingRef<'_> {
    fn live(guard: Guard<Arc<KeyRing>>) -> Self {
        Self(Borrowed::Live(guard))
    }
}

impl<'a> From<&'a KeyRing> for RingRef<'a> {
    fn from(ring: &'a KeyRing) -> Self {
        Self(Borrowed::Fixed(ring))
    }
}

impl Deref for RingRef<'_> {
    type Target = KeyRing;

    fn deref(&self) -> &KeyRing {
        match &self.0 {
            Borrowed::Fixed(ring) => ring,
            Borrowed::Live(ring) => ring,
        }
    }
}

/// A ring that never changes.
impl KeySource for KeyRing {
    fn ring(&self) -> RingRef<'_> {
        self.into()
    }
}

impl<K: KeySource + ?Sized> KeySource for Arc<K> {
    fn ring(&self) -> RingRef<'_> {
        self.as_ref().ring()
    }

    fn has_stored_keys(&self) -> bool {
        self.as_ref().has_stored_keys()
    }

    fn stored<'a>(
        &'a self,
        identifier: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<ApertureKey>, KeyStoreError>> {
        self.as_ref().stored(identifier)
    }
}
