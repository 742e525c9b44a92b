//! How does Go read hexadecimal?
//!
//! LND hands Go's complaint to its clients as it is, so it is worded here as Go words it.

/// Why a text is not hexadecimal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum HexError {
    /// A byte that is not a digit.
    #[error("encoding/hex: invalid byte: U+{:04X} '{}'", found, char::from(*found))]
    Digit {
        /// The first such byte.
        found: u8,
    },
    /// Half a byte is missing.
    #[error("encoding/hex: odd length hex string")]
    OddLength,
}

/// Reads hexadecimal of either case.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, HexError> {
    let digits = text
        .iter()
        .map(|&byte| match char::from(byte).to_digit(16) {
            Some(digit) => {
                u8::try_from(digit).map_err(|_too_large| HexError::Digit { found: byte })
            }
            None => Err(HexError::Digit { found: byte }),
        })
        .collect::<Result<Vec<u8>, HexError>>()?;
    if !digits.len().is_multiple_of(2) {
        return Err(HexError::OddLength);
    }
    Ok(digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit))
        .collect())
}

/// Writes lower-case hexadecimal.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0x0f])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_worded_as_gos() {
        for (text, complaint) in [
            ("zz", "encoding/hex: invalid byte: U+007A 'z'"),
            ("0", "encoding/hex: odd length hex string"),
            ("00z", "encoding/hex: invalid byte: U+007A 'z'"),
            ("0 ", "encoding/hex: invalid byte: U+0020 ' '"),
        ] {
            assert_eq!(decode(text.as_bytes()).unwrap_err().to_string(), complaint);
        }
    }

    #[test]
    fn both_cases_read_and_lower_case_is_written() {
        assert_eq!(decode(b"00fFAb"), Ok(vec![0x00, 0xff, 0xab]));
        assert_eq!(encode(&[0x00, 0xff, 0xab]), "00ffab");
        assert_eq!(decode(b""), Ok(vec![]));
    }
}
