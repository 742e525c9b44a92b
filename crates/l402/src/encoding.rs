//! Hexadecimal and base64 in every spelling that is deployed.
//!
//! Both decoders take every spelling seen in the wild and nothing else: four base64
//! alphabets, two hexadecimal cases, no white space, no partial results.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Why a text is not the hexadecimal form of 32 bytes. Never repeats the text: it may be a secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// A character outside `0-9a-fA-F`.
    #[error("byte {at} is not a hexadecimal digit")]
    Digit {
        /// Offset of the first such byte.
        at: usize,
    },
    /// Not 64 digits.
    #[error("{found} bytes long where 64 hexadecimal digits are needed")]
    Length {
        /// Length found, in bytes.
        found: usize,
    },
}

/// Writes lower-case hexadecimal.
#[must_use]
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

/// Returns the two upper-case hexadecimal digits of a byte, as percent-encoding writes them.
pub(crate) fn hex_pair_upper(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 0x0f].map(|nibble| match nibble {
        0..=9 => b'0'.saturating_add(nibble),
        _ => b'A'.saturating_add(nibble).saturating_sub(10),
    })
}

/// Reads exactly 64 hexadecimal digits.
pub(crate) fn hex_32(text: &[u8]) -> Result<[u8; 32], HexError> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return Err(HexError::Length { found: text.len() });
    }
    hex_into(text, &mut bytes)?;
    Ok(bytes)
}

/// Reads an even number of hexadecimal digits; `None` for anything else.
pub(crate) fn hex_any(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = vec![0; text.len().div_euclid(2)];
    hex_into(text, &mut bytes).ok()?;
    Some(bytes)
}

fn hex_into(text: &[u8], bytes: &mut [u8]) -> Result<(), HexError> {
    for (index, (pair, byte)) in text.chunks_exact(2).zip(bytes).enumerate() {
        let mut value = 0;
        for (offset, digit) in pair.iter().enumerate() {
            let nibble = HEX_VALUES
                .get(usize::from(*digit))
                .copied()
                .unwrap_or(NOT_HEX);
            if nibble == NOT_HEX {
                let at = index.saturating_mul(2).saturating_add(offset);
                return Err(HexError::Digit { at });
            }
            value = (value << 4) | nibble;
        }
        *byte = value;
    }
    Ok(())
}

/// Writes padded standard base64, the one form this crate emits.
#[must_use]
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads standard or URL-safe base64, padded or not; `None` for anything else.
///
/// The alphabet is determined by its own characters: any `-` or `_` means URL-safe. A text that
/// mixes both alphabets, or has stray bits at its end, has two readings and is refused.
pub(crate) fn base64_any(text: &[u8]) -> Option<Vec<u8>> {
    // Nearly all writers use the standard alphabet, and decoding it finds out.
    STANDARD
        .decode(text)
        .or_else(|_other| URL_SAFE.decode(text))
        .ok()
}

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

const NOT_HEX: u8 = 0xff;
const HEX_VALUES: [u8; 256] = hex_values();

#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated at compile time over 0..=255"
)]
const fn hex_values() -> [u8; 256] {
    let mut table = [NOT_HEX; 256];
    let mut value = 0;
    while value < 10 {
        table[b'0' as usize + value] = value as u8;
        value += 1;
    }
    while value < 16 {
        table[b'a' as usize + value - 10] = value as u8;
        table[b'A' as usize + value - 10] = value as u8;
        value += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_base64_spellings_read_the_same() {
        let bytes = [0xfb, 0xff, 0xfe, 0x01];
        for text in ["+//+AQ==", "+//+AQ", "-__-AQ==", "-__-AQ"] {
            assert_eq!(
                base64_any(text.as_bytes()).as_deref(),
                Some(&bytes[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn ambiguous_base64_is_refused() {
        for text in ["+__+AQ==", "+//+AR==", "+//+A", "+//+ AQ==", "+//+AQ==="] {
            assert_eq!(base64_any(text.as_bytes()), None, "{text}");
        }
    }
}
