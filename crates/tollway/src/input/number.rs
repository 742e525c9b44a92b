//! Whole numbers: counts from 1, and ports.

use std::str::FromStr;

use super::shown;

/// Reads a whole number from 1; `_` may separate digits.
pub(crate) fn count<N: FromStr>(text: &str) -> Result<N, NumberError> {
    read(&text.trim().replace('_', "")).ok_or_else(|| NumberError {
        shown: shown(text),
        range: "a whole number from 1",
    })
}

/// Reads a port; 0 is any free one.
pub(crate) fn port(text: &str) -> Result<u16, NumberError> {
    read(text.trim()).ok_or_else(|| NumberError {
        shown: shown(text),
        range: "a port, a number from 0 to 65535",
    })
}

/// Reads digits only: a sign is no part of either.
fn read<N: FromStr>(text: &str) -> Option<N> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_number| is_number)
}

/// A text that is no such number.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{shown} is not {range}")]
pub(crate) struct NumberError {
    shown: String,
    range: &'static str,
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_count_is_one_or_more() {
        assert_eq!(count::<NonZeroU32>("1_000").unwrap().get(), 1_000);
        for text in ["0", "3.5", "unlimited", "+3", "", "99999999999"] {
            let error = count::<NonZeroU32>(text).unwrap_err().to_string();
            assert_eq!(error, format!("`{text}` is not a whole number from 1"));
        }
        assert_eq!(port("0"), Ok(0));
        assert!(port("65536").is_err());
    }
}
