//! Beginnings of a report: `7d`, `2w`, `2026-11-01`.

use std::time::Duration;

use l402::UnixSeconds;

use super::{duration, shown};
use crate::exit::Failure;
use crate::moment;

/// Where a report begins. Reports count whole UTC days.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Since {
    Ago(Duration),
    Moment(UnixSeconds),
}

impl Since {
    /// Returns the first UTC day, counted from the epoch.
    pub(crate) fn first_day(self, now: UnixSeconds) -> Result<u64, Failure> {
        let moment = match self {
            Self::Ago(duration) => {
                UnixSeconds::new(now.as_secs().saturating_sub(duration.as_secs()))
            }
            Self::Moment(moment) if moment > now => {
                let shown = moment::show(moment);
                return Err(Failure::usage(format!("--since: {shown} is in the future")));
            }
            Self::Moment(moment) => moment,
        };
        Ok(moment.utc_day())
    }
}

/// Reads a duration before now, a date, or a date with time.
pub(crate) fn since(text: &str) -> Result<Since, SinceError> {
    let error = || SinceError { shown: shown(text) };
    // A bare number could be seconds, days or a moment.
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error());
    }
    if let Ok(moment) = moment::parse(text) {
        return Ok(Since::Moment(moment));
    }
    duration(text).map(Since::Ago).map_err(|_neither| error())
}

/// A text that is neither a duration nor a date.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{shown} is neither a duration nor a date: write 7d, 2w or 2026-11-01")]
pub(crate) struct SinceError {
    shown: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds::new(1_801_396_805);

    #[test]
    fn a_report_begins_with_a_whole_day() {
        for (text, first) in [
            ("1d", "2027-01-30"),
            ("2w", "2027-01-17"),
            ("1h", "2027-01-31"),
            ("2027-01-05", "2027-01-05"),
            ("2027-01-05 23:00:00", "2027-01-05"),
            ("99999w", "1970-01-01"),
        ] {
            let day = since(text).unwrap().first_day(NOW).unwrap();
            assert_eq!(moment::show_day(day), first, "{text}");
        }
    }

    #[test]
    fn the_future_and_what_is_neither_are_refused() {
        assert!(since("2027-02-01").unwrap().first_day(NOW).is_err());
        for text in ["7", "", "soon", "-1d", "1801396805"] {
            let refused = since(text).unwrap_err().to_string();
            assert!(refused.contains(&format!("`{text}`")), "{refused}");
        }
    }
}
