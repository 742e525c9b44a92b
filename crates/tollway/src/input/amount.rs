//! Amounts: `10sat`, `2500 msat`, `1_000sat`.

use l402::Msat;

use super::shown;

/// Reads an amount. A number without a unit is refused, as are units that are no money here.
pub(crate) fn amount(text: &str) -> Result<Msat, AmountError> {
    let typed = text.trim().replace('_', "");
    typed.parse().map_err(|_not_an_amount| AmountError {
        shown: shown(text),
        advice: advice(&typed),
    })
}

/// Returns what to write instead, made of what was typed where its meaning is clear.
fn advice(typed: &str) -> String {
    let lower = typed.to_ascii_lowercase();
    let letter = |letter: char| letter.is_alphabetic() || "$€£".contains(letter);
    let number: String = lower.chars().filter(|c| !letter(*c)).collect();
    let unit: String = lower.chars().filter(|c| letter(*c)).collect();
    let number = number.trim();
    let sats = match unit.as_str() {
        "" if number.parse::<u64>().is_ok() => return format!("has no unit: write {number}sat"),
        "" | "sat" | "sats" | "satoshi" | "satoshis" => Some(MSAT_PER_SAT),
        "k" | "ksat" | "ksats" => Some(MSAT_PER_SAT.saturating_mul(1_000)),
        "btc" => Some(MSAT_PER_SAT.saturating_mul(100_000_000)),
        "msat" | "msats" => None,
        "$" | "usd" | "€" | "eur" | "£" | "gbp" => {
            return "is not in bitcoin: write sat or msat, like 10sat".to_owned();
        }
        _ => None,
    };
    match sats.and_then(|unit| in_msat(number, unit)) {
        Some(msat) if msat > AMOUNT_MAX => "is more than all bitcoin: write less".to_owned(),
        Some(msat) if msat % MSAT_PER_SAT == 0 => {
            format!("is not written so: write {}sat", msat / MSAT_PER_SAT)
        }
        Some(msat) => format!("is not written so: write {msat}msat"),
        None => "is not an amount: write it like 10sat or 2500msat".to_owned(),
    }
}

/// Returns a decimal number of units in millisatoshis, if it is a whole one.
fn in_msat(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_short = whole.len() <= DIGITS_MAX && fraction.len() <= DIGITS_MAX;
    let digits: u128 = format!("{whole}{fraction}")
        .parse()
        .ok()
        .filter(|_digits| is_short)?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let msat = digits.checked_mul(unit)?;
    let is_whole = msat.checked_rem(scale)? == 0;
    msat.checked_div(scale).filter(|_msat| is_whole)
}

/// A text that is no amount.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{shown} {advice}")]
pub(crate) struct AmountError {
    shown: String,
    advice: String,
}

const MSAT_PER_SAT: u128 = 1_000;
/// 21 million bitcoin, in millisatoshis.
const AMOUNT_MAX: u128 = 2_100_000_000_000_000_000;
const DIGITS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, msat) in [
            ("10sat", 10_000),
            ("10 sats", 10_000),
            (" 10 SAT ", 10_000),
            ("1_000sat", 1_000_000),
            ("2500msat", 2_500),
        ] {
            assert_eq!(amount(text).unwrap().as_msat(), msat, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for (text, error) in [
            ("10", "`10` has no unit: write 10sat"),
            ("1k", "`1k` is not written so: write 1000sat"),
            ("2ksat", "`2ksat` is not written so: write 2000sat"),
            ("0.5sat", "`0.5sat` is not written so: write 500msat"),
            ("1.5 sat", "`1.5 sat` is not written so: write 1500msat"),
            (
                "10 satoshis",
                "`10 satoshis` is not written so: write 10sat",
            ),
            (
                "0.001 btc",
                "`0.001 btc` is not written so: write 100000sat",
            ),
            (
                "0.01 usd",
                "`0.01 usd` is not in bitcoin: write sat or msat, like 10sat",
            ),
            (
                "$1",
                "`$1` is not in bitcoin: write sat or msat, like 10sat",
            ),
            (
                "99999999999999999999sat",
                "`99999999999999999999sat` is more than all bitcoin: write less",
            ),
            (
                "1,000sat",
                "`1,000sat` is not an amount: write it like 10sat or 2500msat",
            ),
            ("", "`` is not an amount: write it like 10sat or 2500msat"),
            (
                "1e3",
                "`1e3` is not an amount: write it like 10sat or 2500msat",
            ),
        ] {
            assert_eq!(amount(text).unwrap_err().to_string(), error);
        }
    }
}
