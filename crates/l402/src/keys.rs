//! Root keys: derived from a key ring, or stored one by one.
//!
//! A [`KeyRing`] derives them. [`RootKeys`] is a trait so that keys kept in a database can be
//! used next to derived ones: the caller fetches the key and passes it as [`RootKey`] or
//! [`ApertureKey`].
//!
//! # Specification
//!
//! L402 `macaroons.md`, "Macaroon Minting" (rows 22 and 32 in `docs/spec.md`).

mod ring;

pub use self::ring::{KeyIdTaken, KeyRing, MasterKey};
use crate::identifier::TokenId;
use crate::macaroon::RootKey;
use crate::time::UnixSeconds;

/// Finds the root key of an identifier without doing I/O.
///
/// ```
/// use std::collections::HashMap;
///
/// use l402::{RootKey, RootKeys};
///
/// /// Keys read from a database before verification.
/// struct Fetched(HashMap<Vec<u8>, RootKey>);
///
/// impl RootKeys for Fetched {
///     fn root_key(&self, identifier: &[u8]) -> Option<RootKey> {
///         self.0.get(identifier).cloned()
///     }
/// }
/// ```
pub trait RootKeys {
    /// Returns the key `identifier` was minted under, or `None` when these keys never minted it.
    fn root_key(&self, identifier: &[u8]) -> Option<RootKey>;

    /// Returns the time of minting, if the token id contains it.
    fn minted_at(&self, token_id: &TokenId) -> Option<UnixSeconds> {
        let _ = token_id;
        None
    }

    /// Returns how the caveats of this token are to be read.
    fn dialect(&self, token_id: &TokenId) -> Dialect {
        let _ = token_id;
        Dialect::Tollway
    }
}

/// Which conditions of a token are enforced.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Dialect {
    /// `services`, `<service>_capabilities` and `<service>_valid_until`; every other
    /// condition is unknown. Aperture's configuration lets operators name constraints freely,
    /// so `valid_until` or `ip` in a token it sold need not mean what this crate means by it.
    Aperture,
    /// Every condition this crate knows.
    #[default]
    Tollway,
}

/// A key from a database, fetched before the token is judged. Every condition is enforced.
impl RootKeys for RootKey {
    fn root_key(&self, _identifier: &[u8]) -> Option<RootKey> {
        Some(self.clone())
    }
}

/// A key from a database that Aperture wrote: its tokens are read in [`Dialect::Aperture`].
#[derive(Clone, Debug)]
pub struct ApertureKey(RootKey);

impl ApertureKey {
    /// Wraps the key that was stored for a token.
    #[must_use]
    pub const fn new(root: RootKey) -> Self {
        Self(root)
    }
}

impl RootKeys for ApertureKey {
    fn root_key(&self, identifier: &[u8]) -> Option<RootKey> {
        self.0.root_key(identifier)
    }

    fn dialect(&self, _token_id: &TokenId) -> Dialect {
        Dialect::Aperture
    }
}
