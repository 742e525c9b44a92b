//! Durations: `90s`, `30m`, `1h30m`, `2d`.

use std::time::Duration;

use super::shown;

/// Reads a duration of whole seconds, one or more.
pub(crate) fn duration(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError {
        shown: shown(text),
        advice: advice(text.trim()),
    };
    let seconds = seconds(text.trim()).filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(error)
}

fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |letter| !letter.is_ascii_digit());
        let (unit, after) = split_where(after.trim_start(), |letter| !letter.is_ascii_alphabetic());
        let seconds = number.parse::<u64>().ok()?.checked_mul(seconds_of(unit)?)?;
        sum = sum.checked_add(seconds)?;
        rest = after.trim_start();
    }
    Some(sum)
}

fn split_where(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    let at = text.find(is_end).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

fn seconds_of(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 604_800,
        _ => return None,
    })
}

/// Returns what to write instead, made of what was typed.
fn advice(typed: &str) -> String {
    let number = first_number(typed);
    let is_number = !typed.is_empty() && typed.bytes().all(|byte| byte.is_ascii_digit());
    if seconds(typed) == Some(0) || typed == "0" {
        "is no time: write one second or more, like 30s".to_owned()
    } else if is_number {
        format!("has no unit: write {typed}s for seconds, or {typed}m, {typed}h or {typed}d")
    } else {
        format!(
            "is not a duration: write a number and a unit, like {number}s, {number}m, {number}h or {number}d"
        )
    }
}

/// Returns the first number of a text, for the example in its error.
fn first_number(text: &str) -> u64 {
    let digits = text.split(|letter: char| !letter.is_ascii_digit());
    let mut numbers = digits.filter_map(|digits| digits.parse().ok());
    numbers.find(|number| *number > 0).unwrap_or(1)
}

/// A text that is no duration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{shown} {advice}")]
pub(crate) struct DurationError {
    shown: String,
    advice: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1_800),
            ("1h", 3_600),
            ("1h30m", 5_400),
            ("2d", 172_800),
            ("1 hour", 3_600),
            ("2 Days", 172_800),
            ("1w", 604_800),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_an_example_made_of_it() {
        for text in [
            "",
            "90",
            "0",
            "0s",
            "h",
            "1x",
            "-1",
            "1.5h",
            "1h30",
            "500ms",
            "1mo",
            "tomorrow",
            "99999999999999999999",
            "999999999999999999w",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(
            duration("90").unwrap_err().to_string(),
            "`90` has no unit: write 90s for seconds, or 90m, 90h or 90d"
        );
        let error = duration("5 fortnights").unwrap_err().to_string();
        assert!(
            error.contains("`5 fortnights`") && error.contains("5m"),
            "{error}"
        );
    }
}
