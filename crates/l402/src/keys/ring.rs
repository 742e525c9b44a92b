//! Derived root keys: `HMAC(master, identifier)`.
//!
//! Verifying a token looks nothing up, and selling one stores nothing. Token ids contain the id
//! of their master key and the time of minting, so rotation and revocation by time need no
//! table either.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::RootKeys;
use crate::encoding::{self, HexError};
use crate::identifier::{Identifier, TokenId};
use crate::macaroon::{HmacKey, RootKey};
use crate::time::UnixSeconds;

/// The secret all root keys of a ring derive from.
///
/// If it leaks, anyone can mint tokens; if it is lost or replaced, all issued tokens become
/// invalid.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// Wraps 32 bytes, which must come from a cryptographic random source.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads exactly 64 hexadecimal digits of either case.
    ///
    /// # Errors
    ///
    /// [`HexError`], which does not repeat the secret.
    pub fn from_hex(text: &str) -> Result<Self, HexError> {
        encoding::hex_32(text.as_bytes()).map(Self)
    }

    /// Returns the secret as 64 lower-case hexadecimal digits, the form key files hold.
    #[must_use]
    pub fn expose_hex(&self) -> String {
        encoding::to_hex(&self.0)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(redacted)")
    }
}

/// The master keys whose tokens are valid. The newest mints; all of them verify.
///
/// ```
/// use l402::{KeyRing, MasterKey, PaymentHash, RootKeys, Services, UnixSeconds, mint};
///
/// // In production both keys come from a cryptographic random source.
/// let (old, new) = (MasterKey::new([1; 32]), MasterKey::new([2; 32]));
/// let now = UnixSeconds::new(1_700_000_000);
/// let services = Services::new("weather", 0)?;
/// let hash = PaymentHash::new([3; 32]);
/// let token = mint(&KeyRing::new(old.clone()), hash, &services, &[], now, [4; 20])?;
///
/// // After rotation the new key mints, and tokens of the old one stay valid.
/// let rotated = KeyRing::new(new.clone()).with_retired(old, now)?;
/// assert!(rotated.root_key(token.identifier()).is_some());
/// assert!(KeyRing::new(new).root_key(token.identifier()).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KeyRing {
    newest: Derivation,
    retired: Vec<Retired>,
}

impl KeyRing {
    /// Creates a ring of one key.
    #[must_use]
    pub fn new(newest: MasterKey) -> Self {
        Self {
            newest: Derivation::new(&newest),
            retired: Vec::new(),
        }
    }

    /// Adds an older key, whose tokens stay valid when they were minted by `minted_until`.
    ///
    /// Tokens whose id states a later time are forged. A key that has leaked must be left
    /// out, not retired: its holder can also write an earlier time.
    ///
    /// # Errors
    ///
    /// [`KeyIdTaken`] when the ring has this key already, or one with the same id.
    pub fn with_retired(
        mut self,
        older: MasterKey,
        minted_until: UnixSeconds,
    ) -> Result<Self, KeyIdTaken> {
        let derivation = Derivation::new(&older);
        let mut ids = self.retired.iter().map(|retired| retired.derivation.id());
        if derivation.id() == self.newest.id() || ids.any(|id| id == derivation.id()) {
            return Err(KeyIdTaken);
        }
        self.retired.push(Retired {
            derivation,
            minted_until,
        });
        Ok(self)
    }

    /// Creates the id of a new token: key id (4 bytes), time of minting in seconds (8 bytes), `entropy` (20 bytes).
    ///
    /// `entropy` must come from a cryptographic random source; it keeps tokens of one
    /// payment hash apart and cannot be guessed.
    #[must_use]
    pub fn token_id(&self, now: UnixSeconds, entropy: [u8; 20]) -> TokenId {
        let mut bytes = [0; 32];
        let minted_at = now.as_secs().to_be_bytes();
        let parts = self.newest.id().iter().chain(&minted_at).chain(&entropy);
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = *from;
        }
        TokenId::new(bytes)
    }

    /// The root key of a new token whose id this ring has made.
    pub(crate) fn minting_key(&self, identifier: &[u8; Identifier::LEN]) -> RootKey {
        self.newest.root_key(identifier)
    }

    /// Returns what distinguishes the key that tokens of this id are verified under from every
    /// other key; `None` when the ring has none for it.
    pub(crate) fn fingerprint(&self, token_id: &TokenId) -> Option<&[u8; 32]> {
        self.derivation(token_id.as_bytes())
            .map(|derivation| &derivation.fingerprint)
    }

    fn derivation(&self, token_id: &[u8; 32]) -> Option<&Derivation> {
        let (key_id, rest) = token_id.split_first_chunk::<4>()?;
        if self.newest.id() == key_id {
            return Some(&self.newest);
        }
        let minted_at = u64::from_be_bytes(*rest.first_chunk::<8>()?);
        self.retired
            .iter()
            .find(|retired| retired.derivation.id() == key_id)
            .filter(|retired| minted_at <= retired.minted_until.as_secs())
            .map(|retired| &retired.derivation)
    }
}

impl RootKeys for KeyRing {
    fn root_key(&self, identifier: &[u8]) -> Option<RootKey> {
        let identifier: &[u8; Identifier::LEN] = identifier.try_into().ok()?;
        let token_id = identifier.last_chunk::<32>()?;
        self.derivation(token_id)
            .map(|derivation| derivation.root_key(identifier))
    }

    fn minted_at(&self, token_id: &TokenId) -> Option<UnixSeconds> {
        let secs = token_id.as_bytes().get(4..)?.first_chunk::<8>()?;
        Some(UnixSeconds::new(u64::from_be_bytes(*secs)))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "KeyRing({} keys, redacted)",
            self.retired.len().saturating_add(1)
        )
    }
}

/// Two keys of a ring have the same id in their tokens.
///
/// The id has 32 bits: keys drawn at random collide by chance once in four billion times, and
/// the remedy is a new key. Usually the same key was given twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the key ring has this key already, or one with the same id: retire each key once")]
pub struct KeyIdTaken;

#[derive(Clone)]
struct Retired {
    derivation: Derivation,
    minted_until: UnixSeconds,
}

#[derive(Clone)]
struct Derivation {
    /// Public in part: token ids begin with its first four bytes.
    fingerprint: [u8; 32],
    key: HmacKey,
}

impl Derivation {
    fn new(master: &MasterKey) -> Self {
        let key = HmacKey::new(&master.0);
        Self {
            // A message of another length than any identifier, so that it reveals nothing
            // about root keys.
            fingerprint: key.sign(b"tollway key id"),
            key,
        }
    }

    const fn id(&self) -> &[u8; 4] {
        let (id, _rest) = self.fingerprint.split_first_chunk().expect("32 bytes");
        id
    }

    fn root_key(&self, identifier: &[u8; Identifier::LEN]) -> RootKey {
        RootKey::new(self.key.sign(identifier))
    }
}

impl Drop for Derivation {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::PaymentHash;

    const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

    fn identifier(ring: &KeyRing) -> [u8; 66] {
        Identifier {
            payment_hash: PaymentHash::new([1; 32]),
            token_id: ring.token_id(NOW, [7; 20]),
        }
        .to_bytes()
    }

    fn ring(byte: u8) -> KeyRing {
        KeyRing::new(MasterKey::new([byte; 32]))
    }

    fn key_of(keys: &impl RootKeys, identifier: &[u8]) -> Option<[u8; 32]> {
        keys.root_key(identifier).map(|key| *key.expose())
    }

    fn rotated(minted_until: UnixSeconds) -> KeyRing {
        ring(2)
            .with_retired(MasterKey::new([1; 32]), minted_until)
            .unwrap()
    }

    #[test]
    fn a_retired_key_still_verifies_and_a_dropped_one_does_not() {
        let old = identifier(&ring(1));

        assert_eq!(key_of(&rotated(NOW), &old), key_of(&ring(1), &old));
        assert_eq!(key_of(&ring(2), &old), None);
    }

    #[test]
    fn a_retired_key_knows_no_token_minted_after_its_retirement() {
        let late = identifier(&ring(1));
        let a_second_before = UnixSeconds::new(NOW.as_secs() - 1);

        assert_eq!(key_of(&rotated(a_second_before), &late), None);
    }

    #[test]
    fn a_ring_has_each_key_once() {
        assert_eq!(
            ring(1)
                .with_retired(MasterKey::new([1; 32]), NOW)
                .unwrap_err(),
            KeyIdTaken
        );
        let again = rotated(NOW).with_retired(MasterKey::new([1; 32]), NOW);
        assert_eq!(again.unwrap_err(), KeyIdTaken);
    }

    #[test]
    fn the_newest_key_mints() {
        assert_eq!(identifier(&rotated(NOW)), identifier(&ring(2)));
    }

    #[test]
    fn every_bit_of_the_identifier_changes_the_key() {
        let ring = ring(1);
        let original = identifier(&ring);
        for at in 0..original.len() {
            let mut changed = original;
            changed[at] ^= 1;
            assert_ne!(
                key_of(&ring, &changed),
                key_of(&ring, &original),
                "byte {at}"
            );
        }
    }

    #[test]
    fn identifiers_of_other_lengths_have_no_key() {
        for len in [0, 33, 38, 65, 67, 132] {
            assert_eq!(key_of(&ring(1), &vec![0; len]), None);
        }
    }

    #[test]
    fn the_token_id_says_when_it_was_minted() {
        let ring = ring(1);
        assert_eq!(ring.minted_at(&ring.token_id(NOW, [0; 20])), Some(NOW));
    }

    #[test]
    fn debug_shows_no_keys() {
        assert_eq!(
            format!("{:?} {:?}", MasterKey::new([1; 32]), ring(1)),
            "MasterKey(redacted) KeyRing(1 keys, redacted)"
        );
    }
}
