//! Moments, as people write and read them: UTC dates and Unix seconds.

use std::time::{SystemTime, UNIX_EPOCH};

use l402::UnixSeconds;
use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime};

use crate::exit::Failure;

/// Reads the clock of this machine.
pub(crate) fn now() -> Result<UnixSeconds, Failure> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch
        .map(|since| UnixSeconds::new(since.as_secs()))
        .map_err(|_before_1970| Failure::general("the clock of this machine stands before 1970"))
}

/// Returns a moment as `2026-11-21 16:40:05 UTC`.
pub(crate) fn show(moment: UnixSeconds) -> String {
    let date = i64::try_from(moment.as_secs())
        .ok()
        .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok());
    let Some(date) = date else {
        return format!("{moment} (Unix seconds)");
    };
    let (hour, minute, second) = date.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", date.date())
}

/// Returns the first second of a UTC day, counted from the epoch.
pub(crate) const fn start_of_day(utc_day: u64) -> UnixSeconds {
    UnixSeconds::new(utc_day.saturating_mul(SECS_PER_DAY))
}

/// Returns the first UTC day, counted from the epoch, of the month of a moment.
pub(crate) fn first_of_month(moment: UnixSeconds) -> u64 {
    let date = i64::try_from(moment.as_secs())
        .ok()
        .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok());
    let days = date.map_or(0, |date| u64::from(date.day()).saturating_sub(1));
    moment.utc_day().saturating_sub(days)
}

/// Returns the date of a UTC day, counted from the epoch, as `2026-11-21`.
pub(crate) fn show_day(utc_day: u64) -> String {
    let text = show(start_of_day(utc_day));
    let date = text.strip_suffix(" 00:00:00 UTC");
    date.unwrap_or(&text).to_owned()
}

/// Reads a date (its first second, UTC), a date with time, Unix seconds, or `now`, `today` and
/// `yesterday`.
///
/// A number that is no present-day moment is refused: it is a year, a day, or milliseconds.
pub(crate) fn parse(text: &str) -> Result<UnixSeconds, MomentError> {
    let text = text.trim();
    if let Some(seconds) = number(text) {
        return match seconds.as_secs() {
            UNIX_SECONDS_MIN..UNIX_SECONDS_END => Ok(seconds),
            UNIX_SECONDS_END.. => Err(MomentError::Milliseconds {
                text: shortened(text),
            }),
            _ => Err(MomentError::Number {
                text: text.to_owned(),
                moment: show(seconds),
                example: date_of(text),
            }),
        };
    }
    word(text)
        .or_else(|| date(text))
        .or_else(|| date_and_time(text))
        .ok_or_else(|| MomentError::Unreadable {
            text: shortened(text),
        })
}

fn number(text: &str) -> Option<UnixSeconds> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_seconds| is_number);
    seconds.map(UnixSeconds::new)
}

fn word(text: &str) -> Option<UnixSeconds> {
    let now = now().ok()?;
    match text.to_ascii_lowercase().as_str() {
        "now" => Some(now),
        "today" => Some(start_of_day(now.utc_day())),
        "yesterday" => Some(start_of_day(now.utc_day().saturating_sub(1))),
        _ => None,
    }
}

fn date(text: &str) -> Option<UnixSeconds> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let is_dated = parts.next().is_none() && (year.len(), month.len(), day.len()) == (4, 2, 2);
    let month: u8 = month.parse().ok().filter(|_month| is_dated)?;
    let month = Month::try_from(month).ok()?;
    let date = Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    seconds(date.midnight().assume_utc())
}

/// Reads RFC 3339; a space may take the place of `T`, the seconds may be left out, and without
/// an offset it is UTC.
fn date_and_time(text: &str) -> Option<UnixSeconds> {
    let text = text.to_ascii_uppercase();
    let text = text.strip_suffix("UTC").unwrap_or(&text).trim_end();
    let (date, time) = text.split_once(['T', ' '])?;
    let offset_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, offset) = time.split_at_checked(offset_at)?;
    let clock = clock.trim();
    let zero = if clock.len() == HOURS_AND_MINUTES_LEN {
        ":00"
    } else {
        ""
    };
    let offset = if offset.is_empty() { "Z" } else { offset };
    let whole = format!("{date}T{clock}{zero}{offset}");
    seconds(OffsetDateTime::parse(&whole, &Rfc3339).ok()?)
}

fn seconds(moment: OffsetDateTime) -> Option<UnixSeconds> {
    let seconds = u64::try_from(moment.unix_timestamp()).ok()?;
    Some(UnixSeconds::new(seconds))
}

/// Returns the date that a number may be meant as, for an example.
fn date_of(number: &str) -> String {
    let dashed = match (number.get(..4), number.get(4..6), number.get(6..)) {
        (Some(year), None, None) if number.len() == 4 => format!("{year}-01-31"),
        (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => String::new(),
    };
    if date(&dashed).is_some() {
        return dashed;
    }
    "2027-01-31".to_owned()
}

/// Returns a text that is too long for a moment without its end: it may be a secret.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", text.get(..SHOWN_OF_LONG.min(at)).unwrap_or_default()),
        None => text.to_owned(),
    }
}

const SECS_PER_DAY: u64 = 86_400;
/// In 2001: ten digits.
const UNIX_SECONDS_MIN: u64 = 1_000_000_000;
const UNIX_SECONDS_END: u64 = 100_000_000_000;
const HOURS_AND_MINUTES_LEN: usize = "12:00".len();
const SHOWN_MAX: usize = 32;
const SHOWN_OF_LONG: usize = 8;

/// A text that is no moment.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum MomentError {
    #[error("`{text}` is too much for Unix seconds: leave out the milliseconds")]
    Milliseconds { text: String },
    #[error(
        "`{text}` would be {moment} in Unix seconds: write a date like {example}, or Unix seconds of ten digits"
    )]
    Number {
        text: String,
        moment: String,
        example: String,
    },
    #[error(
        "`{text}` is not a moment: write a date like 2027-01-31 or 2027-01-31 12:00, now, today, yesterday, or Unix seconds"
    )]
    Unreadable { text: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_shown() {
        for text in [
            "2027-01-31 12:00:05 UTC",
            "2027-01-31T12:00:05Z",
            "2027-01-31T13:00:05+01:00",
            "2027-01-31 12:00:05",
            " 2027-01-31 12:00:05 utc",
            "2027-01-31t12:00:05z",
            "1801396805",
        ] {
            let moment = parse(text).unwrap();
            assert_eq!(show(moment), "2027-01-31 12:00:05 UTC", "{text}");
        }
        for text in [
            "2027-01-31 12:00",
            "2027-01-31T12:00Z",
            "2027-01-31 12:00 UTC",
            "2027-01-31 14:00+02:00",
        ] {
            let moment = parse(text).unwrap();
            assert_eq!(show(moment), "2027-01-31 12:00:00 UTC", "{text}");
        }
        assert_eq!(
            show(parse("2027-01-31").unwrap()),
            "2027-01-31 00:00:00 UTC"
        );
    }

    #[test]
    fn words_are_moments_of_this_day() {
        let (before, today) = (now().unwrap(), parse("today").unwrap());

        assert!(parse("now").unwrap() >= before);
        assert!(today <= parse("NOW").unwrap());
        assert!(show(today).ends_with(" 00:00:00 UTC"));
        assert!(parse("yesterday").unwrap() < today);
    }

    #[test]
    fn a_number_that_is_hardly_meant_as_unix_seconds_is_refused_with_both_readings() {
        for (text, moment, example) in [
            ("2026", "1970-01-01 00:33:46 UTC", "2026-01-31"),
            ("20270214", "1970-08-23 14:36:54 UTC", "2027-02-14"),
            ("1", "1970-01-01 00:00:01 UTC", "2027-01-31"),
            ("1800000000000", "Unix seconds", "milliseconds"),
        ] {
            let refused = parse(text).unwrap_err().to_string();
            for part in [&format!("`{text}`"), moment, example] {
                assert!(refused.contains(part), "{part}: {refused}");
            }
        }
    }

    #[test]
    fn what_could_be_a_secret_is_not_repeated() {
        let refused = parse(&"a".repeat(64)).unwrap_err().to_string();

        assert!(refused.contains("`aaaaaaaa…`"), "{refused}");
    }

    #[test]
    fn days_and_months_begin_at_midnight_utc() {
        let noon = parse("2027-03-31 12:00:05 UTC").unwrap();

        assert_eq!(show_day(noon.utc_day()), "2027-03-31");
        assert_eq!(
            show(start_of_day(noon.utc_day())),
            "2027-03-31 00:00:00 UTC"
        );
        assert_eq!(show_day(first_of_month(noon)), "2027-03-01");
        assert_eq!(first_of_month(UnixSeconds::new(0)), 0);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "tomorrow",
            "2027-02-30",
            "2027-1-1",
            "-5",
            "",
            "1969-01-01",
            "12:00",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
