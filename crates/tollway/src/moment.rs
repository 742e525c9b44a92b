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

/// Reads a date (its first second, UTC), a date with time, or Unix seconds.
pub(crate) fn parse(text: &str) -> Result<UnixSeconds, MomentError> {
    let seconds = text.parse().ok().map(UnixSeconds::new);
    seconds
        .or_else(|| date(text))
        .or_else(|| date_and_time(text))
        .ok_or_else(|| MomentError {
            text: text.to_owned(),
        })
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

/// Reads RFC 3339; a space may take the place of `T`, and without an offset it is UTC.
fn date_and_time(text: &str) -> Option<UnixSeconds> {
    let text = text.trim_end_matches(" UTC").replacen(' ', "T", 1);
    let read = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    seconds(read(&text).or_else(|| read(&format!("{text}Z")))?)
}

fn seconds(moment: OffsetDateTime) -> Option<UnixSeconds> {
    let seconds = u64::try_from(moment.unix_timestamp()).ok()?;
    Some(UnixSeconds::new(seconds))
}

/// A text that is no moment.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{text}` is not a moment: write a date like 2027-01-31, 2027-01-31T12:00:00Z or Unix seconds"
)]
pub(crate) struct MomentError {
    text: String,
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
            "1801396805",
        ] {
            let moment = parse(text).unwrap();
            assert_eq!(show(moment), "2027-01-31 12:00:05 UTC", "{text}");
        }
        assert_eq!(
            show(parse("2027-01-31").unwrap()),
            "2027-01-31 00:00:00 UTC"
        );
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
