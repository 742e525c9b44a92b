//! What is wrong with the text of an invoice?
//!
//! The invoice reader says whether a text is one; LND's clients also read why it is not. This
//! is BIP 173's checksum again, for the sake of LND's wording of each way to fail it.

/// Why a text is not bech32, in LND's words.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Bech32Error {
    /// Not printable ASCII.
    #[error("invalid character in string: '{}'", char::from(*found))]
    Character {
        /// The first such byte.
        found: u8,
    },
    /// The checksum is of another text.
    #[error("checksum failed. Expected {expected}, got {found}.")]
    Checksum {
        /// The checksum of this text.
        expected: String,
        /// The one it has.
        found: String,
    },
    /// Not one of the 32 characters.
    #[error("failed converting data to bytes: invalid character not part of charset: {found}")]
    Charset {
        /// The first such byte.
        found: u8,
    },
    /// Too short to have a checksum.
    #[error("invalid bech32 string length {len}")]
    Length {
        /// Its length in bytes.
        len: usize,
    },
    /// Both cases in one text.
    #[error("string not all lowercase or all uppercase")]
    MixedCase,
    /// No `1` between prefix and data.
    #[error("invalid index of 1")]
    Separator,
}

/// Checks a text and returns its prefix in lower case.
pub(super) fn prefix(text: &str) -> Result<String, Bech32Error> {
    if text.len() < 8 {
        return Err(Bech32Error::Length { len: text.len() });
    }
    if let Some(found) = text.bytes().find(|byte| !(33..=126).contains(byte)) {
        return Err(Bech32Error::Character { found });
    }
    let lower = text.to_ascii_lowercase();
    if text != lower && text != text.to_ascii_uppercase() {
        return Err(Bech32Error::MixedCase);
    }
    let (prefix, data) = lower
        .rsplit_once('1')
        .filter(|(prefix, data)| !prefix.is_empty() && data.len() >= CHECKSUM_LEN)
        .ok_or(Bech32Error::Separator)?;
    check(prefix, data)?;
    Ok(prefix.to_owned())
}

fn check(prefix: &str, data: &str) -> Result<(), Bech32Error> {
    let values = data
        .bytes()
        .map(|byte| value(byte).ok_or(Bech32Error::Charset { found: byte }))
        .collect::<Result<Vec<u8>, Bech32Error>>()?;
    let (signed, _checksum) = values.split_at(values.len().saturating_sub(CHECKSUM_LEN));
    let expected = checksum(prefix, signed);
    let (_signed, found) = data.split_at(data.len().saturating_sub(CHECKSUM_LEN));
    if expected == found {
        Ok(())
    } else {
        let found = found.to_owned();
        Err(Bech32Error::Checksum { expected, found })
    }
}

fn value(byte: u8) -> Option<u8> {
    let position = CHARSET.iter().position(|&character| character == byte)?;
    u8::try_from(position).ok()
}

fn checksum(prefix: &str, data: &[u8]) -> String {
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    let values = high
        .chain([0])
        .chain(low)
        .chain(data.iter().copied())
        .chain([0; CHECKSUM_LEN]);
    let polymod = values.fold(1, next) ^ 1;
    [25, 20, 15, 10, 5, 0]
        .into_iter()
        .filter_map(|shift| usize::try_from((polymod >> shift) & 31).ok())
        .filter_map(|index| CHARSET.get(index))
        .map(|&character| char::from(character))
        .collect()
}

/// One step of BIP 173's checksum.
fn next(sum: u32, value: u8) -> u32 {
    let top = sum >> 25;
    GENERATOR
        .iter()
        .enumerate()
        .filter(|(bit, _)| (top >> bit) & 1 == 1)
        .fold(
            ((sum & 0x01ff_ffff) << 5) ^ u32::from(value),
            |sum, (_, generator)| sum ^ generator,
        )
}

const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM_LEN: usize = 6;
const GENERATOR: [u32; 5] = [
    0x3b6a_57b2,
    0x2650_8e6d,
    0x1ea1_19fa,
    0x3d42_33dd,
    0x2a14_62b3,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_texts_give_their_prefix() {
        for (text, expected) in [
            ("A12UEL5L", "a"),
            ("a12uel5l", "a"),
            ("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef"),
            (
                "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
                "split",
            ),
        ] {
            assert_eq!(prefix(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn each_way_to_fail_is_worded_as_lnds() {
        for (text, reason) in [
            ("", "invalid bech32 string length 0"),
            ("garbage", "invalid bech32 string length 7"),
            ("a12uel5 ", "invalid character in string: ' '"),
            ("A12uEL5L", "string not all lowercase or all uppercase"),
            ("a12uelqq", "checksum failed. Expected 2uel5l, got 2uelqq."),
            ("12uel5lqq", "invalid index of 1"),
            ("lnbcrt1qqqq", "invalid index of 1"),
            (
                "lnbcrt1qqqqqqbqqqqqq",
                "failed converting data to bytes: invalid character not part of charset: 98",
            ),
        ] {
            assert_eq!(prefix(text).unwrap_err().to_string(), reason, "{text}");
        }
    }
}
