//! Which root key was a token minted under?
//!
//! A [`KeyRing`] derives: the root key is `HMAC(master, identifier)`, so that verifying a
//! token looks nothing up and selling one stores nothing. The ring's token ids name their
//! master key and the moment of minting, which makes rotation and "revoke everything older
//! than" free as well. [`RootKeys`] is a trait so that keys kept in a database can stand
//! beside derived ones: whoever fetched such a key passes the [`RootKey`] itself.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::encoding::{self, HexError};
use crate::identifier::{Identifier, TokenId};
use crate::macaroon::{HmacKey, RootKey};
use crate::time::UnixSeconds;

/// Finds the root key of an identifier without doing I/O.
pub trait RootKeys: Send + Sync {
    /// The key `identifier` was minted under, or `None` when these keys never minted it.
    fn root_key(&self, identifier: &[u8]) -> Option<RootKey>;

    /// When the token was minted, if its id says so.
    fn minted_at(&self, token_id: &TokenId) -> Option<UnixSeconds> {
        let _ = token_id;
        None
    }
}

/// A stored key, fetched before the token is looked at.
impl RootKeys for RootKey {
    fn root_key(&self, _identifier: &[u8]) -> Option<RootKey> {
        Some(self.clone())
    }
}

/// The secret all root keys of a ring derive from. Losing it forges tokens; changing it voids them.
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

    /// The secret as 64 lower-case hexadecimal digits, the form key files hold.
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

/// The master keys whose tokens are honoured. The newest mints; all of them verify.
#[derive(Clone)]
pub struct KeyRing {
    newest: Derivation,
    retired: Vec<Derivation>,
}

impl KeyRing {
    /// A ring of one key.
    #[must_use]
    pub fn new(newest: MasterKey) -> Self {
        Self {
            newest: Derivation::new(&newest),
            retired: Vec::new(),
        }
    }

    /// Honours an older key's tokens as well. Leaving the key out again voids them all.
    #[must_use]
    pub fn with_retired(mut self, older: MasterKey) -> Self {
        self.retired.push(Derivation::new(&older));
        self
    }

    /// Names a new token: key id (4 bytes), moment of minting (8 bytes), `entropy` (20 bytes).
    ///
    /// `entropy` must come from a cryptographic random source; it keeps tokens of one
    /// payment hash apart and cannot be guessed.
    #[must_use]
    pub fn token_id(&self, now: UnixSeconds, entropy: [u8; 20]) -> TokenId {
        let mut bytes = [0; 32];
        let minted_at = now.as_secs().to_be_bytes();
        let parts = self.newest.id.iter().chain(&minted_at).chain(&entropy);
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = *from;
        }
        TokenId::new(bytes)
    }

    /// The root key of a new token whose id this ring has made.
    pub(crate) fn minting_key(&self, identifier: &[u8; Identifier::LEN]) -> RootKey {
        self.newest.root_key(identifier)
    }
}

impl RootKeys for KeyRing {
    fn root_key(&self, identifier: &[u8]) -> Option<RootKey> {
        let identifier: &[u8; Identifier::LEN] = identifier.try_into().ok()?;
        let key_id = identifier.get(KEY_ID_AT..)?.first_chunk::<4>()?;
        std::iter::once(&self.newest)
            .chain(&self.retired)
            .find(|derivation| derivation.id == *key_id)
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

#[derive(Clone)]
struct Derivation {
    id: [u8; 4],
    key: HmacKey,
}

impl Derivation {
    fn new(master: &MasterKey) -> Self {
        let key = HmacKey::new(&master.0);
        // A message of another length than any identifier, so that the id tells nothing
        // about root keys.
        let [a, b, c, d, ..] = key.sign(b"tollway key id");
        Self {
            id: [a, b, c, d],
            key,
        }
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

/// Behind version and payment hash, where the token id starts.
const KEY_ID_AT: usize = 34;

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

    #[test]
    fn a_retired_key_still_verifies_and_a_dropped_one_does_not() {
        let old = identifier(&ring(1));
        let rotated = ring(2).with_retired(MasterKey::new([1; 32]));

        assert_eq!(key_of(&rotated, &old), key_of(&ring(1), &old));
        assert_eq!(key_of(&ring(2), &old), None);
    }

    #[test]
    fn the_newest_key_mints() {
        let rotated = ring(2).with_retired(MasterKey::new([1; 32]));
        assert_eq!(identifier(&rotated), identifier(&ring(2)));
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
