//! HMAC-SHA-256 with a 32-byte key, for chains of short messages.
//!
//! A macaroon is verified by one HMAC a caveat, each keyed by the one before, so the cost
//! of a paid request is the cost of keying. This works on SHA-256's compression function
//! directly: a fixed key is absorbed once and kept as two states, and a message is hashed
//! where it lies. Every result is compared with the `hmac` crate in the tests below.

use sha2::block_api::compress256;
use zeroize::Zeroize;

/// A key, absorbed: SHA-256's state after the inner and the outer pad.
#[derive(Clone, Zeroize)]
pub(crate) struct HmacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl HmacKey {
    /// Absorbs a key. A shorter key is the same key padded with zeros.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self {
            inner: absorb(key, 0x36),
            outer: absorb(key, 0x5c),
        }
    }

    /// A key absorbed elsewhere.
    pub(crate) const fn from_states(inner: [u32; 8], outer: [u32; 8]) -> Self {
        Self { inner, outer }
    }

    /// The HMAC of `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut inner = self.inner;
        let (blocks, rest) = message.as_chunks::<BLOCK>();
        compress256(&mut inner, blocks);
        finish(&mut inner, rest, message.len());

        let mut outer = self.outer;
        finish(&mut outer, &to_bytes(&inner), 32);
        to_bytes(&outer)
    }
}

fn absorb(key: &[u8; 32], pad: u8) -> [u32; 8] {
    let mut block = [pad; BLOCK];
    for (to, from) in block.iter_mut().zip(key) {
        *to ^= from;
    }
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    state
}

/// Ends a hash whose first block was a pad: `rest` is the message after its last whole block.
fn finish(state: &mut [u32; 8], rest: &[u8], message_len: usize) {
    let mut tail = [[0; BLOCK]; 2];
    let flat = tail.as_flattened_mut();
    for (to, from) in flat.iter_mut().zip(rest.iter().chain(&[0x80])) {
        *to = *from;
    }
    let bits = (message_len as u64)
        .saturating_add(BLOCK as u64)
        .saturating_mul(8);
    let blocks = if rest.len() < BLOCK - 8 { 1 } else { 2 };
    let used = tail.get_mut(..blocks).unwrap_or_default();
    if let Some(length) = used.as_flattened_mut().last_chunk_mut::<8>() {
        *length = bits.to_be_bytes();
    }
    compress256(state, used);
}

fn to_bytes(state: &[u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *chunk = word.to_be_bytes();
    }
    bytes
}

const BLOCK: usize = 64;

/// FIPS 180-4, section 5.3.3.
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;
    use sha2::Sha256;

    use super::*;

    fn oracle(key: &[u8], message: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    #[test]
    fn every_length_around_the_block_edges_agrees_with_the_hmac_crate() {
        let key = [0x42; 32];
        let message: Vec<u8> = (0..=255).cycle().take(400).collect();
        for len in 0..=message.len() {
            assert_eq!(
                HmacKey::new(&key).sign(&message[..len]),
                oracle(&key, &message[..len]),
                "{len}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_key_and_message_agree_with_the_hmac_crate(key: [u8; 32], message: Vec<u8>) {
            prop_assert_eq!(HmacKey::new(&key).sign(&message), oracle(&key, &message));
        }
    }
}
