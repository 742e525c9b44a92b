//! Root keys: the secret at the start of a macaroon's chain of HMACs.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::hmac::{self, HmacKey};

/// The key a macaroon is minted under. Never leaves the issuer.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RootKey([u8; 32]);

impl RootKey {
    /// Wraps the 32 bytes of a root key.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the secret bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first link of the chain.
    ///
    /// The root key is not used as it is: all deployed implementations first derive
    /// `HMAC("macaroons-key-generator", root)`, which is missing from the specification's text.
    pub(super) fn first_signature(&self, identifier: &[u8]) -> [u8; 32] {
        hmac::hmac(&KEY_GENERATOR.sign(&self.0), identifier)
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(redacted)")
    }
}

/// The key `macaroons-key-generator`, absorbed.
const KEY_GENERATOR: HmacKey = HmacKey::from_states(
    [
        0x9077_a15b,
        0xd63d_8c38,
        0x24d7_0d8b,
        0xa0d6_3f24,
        0x4803_6cbf,
        0x16ff_ae7d,
        0x4857_e31d,
        0xbb1f_1d67,
    ],
    [
        0xbdcc_52d8,
        0x514c_306d,
        0xa461_4039,
        0xaa6e_3e88,
        0xc98a_3415,
        0xb547_216b,
        0x5b29_34f4,
        0x8053_6d5f,
    ],
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_absorbed_generator_key_is_the_generator_key() {
        let mut key = [0; 32];
        key[..23].copy_from_slice(b"macaroons-key-generator");

        assert_eq!(
            KEY_GENERATOR.sign(b"probe"),
            HmacKey::new(&key).sign(b"probe")
        );
    }
}
