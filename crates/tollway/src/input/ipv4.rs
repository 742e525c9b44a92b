//! Spellings of IPv4 addresses: `127.1`, `0x7f.1`, `0177.0.0.1` are 127.0.0.1, as for curl and
//! browsers.
//!
//! Specification: WHATWG URL, 3.5, "IPv4 parser" and "ends in a number checker".

use std::net::Ipv4Addr;

/// Reads an address of one to four numbers, each decimal, octal after `0` or hexadecimal after
/// `0x`. The last one has the bytes that the others leave.
pub(super) fn read(host: &str) -> Option<Ipv4Addr> {
    let mut numbers: Vec<u32> = host.split('.').map(number).collect::<Option<_>>()?;
    let last = numbers.pop()?;
    let bytes_left = 4_u32.checked_sub(u32::try_from(numbers.len()).ok()?)?;
    let fits = u64::from(last) < 1_u64.checked_shl(bytes_left.checked_mul(8)?)?;
    if bytes_left == 0 || !fits {
        return None;
    }
    let mut address = last;
    for (number, shift) in numbers.iter().zip([24, 16, 8]) {
        address |= u32::from(u8::try_from(*number).ok()?).checked_shl(shift)?;
    }
    Some(Ipv4Addr::from(address))
}

/// Returns true for a host that can only be an IPv4 address: its last label is a number.
pub(super) fn ends_in_number(host: &str) -> bool {
    let (others, last) = host.rsplit_once('.').unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || number(last).is_some();
    is_number && !last.is_empty() && !others.contains(':')
}

fn number(text: &str) -> Option<u32> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        (None, _) => (text, 10),
    };
    let is_number = digits.bytes().all(|byte| char::from(byte).is_digit(radix));
    u32::from_str_radix(digits, radix)
        .ok()
        .filter(|_number| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_to_four_numbers() {
        for (host, address) in [
            ("127.0.0.1", [127, 0, 0, 1]),
            ("127.1", [127, 0, 0, 1]),
            ("0x7f.1", [127, 0, 0, 1]),
            ("0177.0.0.1", [127, 0, 0, 1]),
            ("0x7f000001", [127, 0, 0, 1]),
            ("2130706433", [127, 0, 0, 1]),
            ("10.0xffffff", [10, 255, 255, 255]),
            ("1.2.3", [1, 2, 0, 3]),
            ("0", [0, 0, 0, 0]),
        ] {
            assert_eq!(read(host), Some(Ipv4Addr::from(address)), "{host}");
        }
        for host in [
            "",
            "a",
            "1.",
            ".1",
            "1..2",
            "256.1",
            "1.256.1.1",
            "1.2.3.256",
            "1.2.3.4.5",
            "08.1",
            "0x",
            "0xg.1",
            "1.16777216",
            "+1.2",
            "4294967296",
            "api.example",
        ] {
            assert_eq!(read(host), None, "{host}");
        }
        assert!(ends_in_number("256.1") && ends_in_number("a.09"));
        for host in [
            "api.example",
            "localhost",
            "::ffff:1.2.3.4",
            "8402",
            "",
            ".",
        ] {
            assert!(!ends_in_number(host), "{host}");
        }
    }
}
