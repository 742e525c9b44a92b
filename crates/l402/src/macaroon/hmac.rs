//! HMAC-SHA-256 with a 32-byte key, for chains of short messages.
//!
//! A macaroon is verified by one HMAC per caveat, each keyed by the one before, so the cost
//! of a paid request is the cost of keying. This works on SHA-256's compression function
//! directly, in as few calls as possible: hashing a block in a separate call costs 25 % more.
//! A key that is used again is absorbed once and kept as two states. Every result is
//! compared with the `hmac` crate in the tests below.

use sha2::block_api::compress256;
use zeroize::Zeroize;

/// The HMAC of `message` under a key that is used once.
pub(super) fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let inner = hash_after(pad(key, INNER), message);
    to_bytes(&hash_after(pad(key, OUTER), &to_bytes(&inner)))
}

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
            inner: absorb(pad(key, INNER)),
            outer: absorb(pad(key, OUTER)),
        }
    }

    /// A key absorbed elsewhere.
    pub(crate) const fn from_states(inner: [u32; 8], outer: [u32; 8]) -> Self {
        Self { inner, outer }
    }

    /// The HMAC of `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 32] {
        let inner = finish(self.inner, message);
        to_bytes(&finish(self.outer, &to_bytes(&inner)))
    }
}

fn pad(key: &[u8; 32], with: u8) -> [u8; BLOCK] {
    let mut block = [with; BLOCK];
    for (to, from) in block.iter_mut().zip(key) {
        *to ^= from;
    }
    block
}

fn absorb(block: [u8; BLOCK]) -> [u32; 8] {
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    state
}

/// Hashes a pad and the message after it.
fn hash_after(pad: [u8; BLOCK], message: &[u8]) -> [u32; 8] {
    if message.len() > SHORT {
        return finish(absorb(pad), message);
    }
    let (mut blocks, used) = last_blocks(message, message.len());
    if let Some(first) = blocks.first_mut() {
        *first = pad;
    }
    let mut state = INITIAL;
    compress256(&mut state, blocks.get(..used).unwrap_or_default());
    state
}

/// Ends a hash whose first block was a pad.
fn finish(mut state: [u32; 8], message: &[u8]) -> [u32; 8] {
    let mut rest = message;
    if message.len() > SHORT {
        let (whole, partial) = message.as_chunks();
        compress256(&mut state, whole);
        rest = partial;
    }
    let (blocks, used) = last_blocks(rest, message.len());
    compress256(&mut state, blocks.get(1..used).unwrap_or_default());
    state
}

/// What SHA-256 hashes last: the rest of the message, an end mark, and the length of
/// everything. Returns the block count, including block 0, reserved for the key pad.
fn last_blocks(rest: &[u8], message_len: usize) -> ([[u8; BLOCK]; 4], usize) {
    let mut blocks = [[0; BLOCK]; 4];
    let (_, after_pad) = blocks.as_flattened_mut().split_at_mut(BLOCK);
    if let Some((start, end)) = after_pad.split_at_mut_checked(rest.len()) {
        start.copy_from_slice(rest);
        if let Some(mark) = end.first_mut() {
            *mark = 0x80;
        }
    }
    let ends_in = rest.len().saturating_add(END_LEN).div_ceil(BLOCK);
    let used = ends_in.saturating_add(1);
    let bits = (message_len as u64)
        .saturating_add(BLOCK as u64)
        .saturating_mul(8);
    let hashed = blocks.get_mut(..used).unwrap_or_default();
    if let Some(length) = hashed.as_flattened_mut().last_chunk_mut::<8>() {
        *length = bits.to_be_bytes();
    }
    (blocks, used)
}

fn to_bytes(state: &[u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *chunk = word.to_be_bytes();
    }
    bytes
}

const INNER: u8 = 0x36;
const OUTER: u8 = 0x5c;
const BLOCK: usize = 64;
/// The end mark and the length.
const END_LEN: usize = 9;
/// Messages up to this length are hashed in one call, an identifier among them.
const SHORT: usize = 3 * BLOCK - END_LEN;

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
            let expected = oracle(&key, &message[..len]);
            assert_eq!(hmac(&key, &message[..len]), expected, "{len}");
            assert_eq!(HmacKey::new(&key).sign(&message[..len]), expected, "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_key_and_message_agree_with_the_hmac_crate(key: [u8; 32], message: Vec<u8>) {
            let expected = oracle(&key, &message);
            prop_assert_eq!(hmac(&key, &message), expected);
            prop_assert_eq!(HmacKey::new(&key).sign(&message), expected);
        }
    }
}
