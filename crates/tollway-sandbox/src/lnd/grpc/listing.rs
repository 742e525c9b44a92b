//! Listing requests: pages and ranges of dates.

use crate::wallet::{Direction, Page};

/// Reads which page a request asks for; a limit of zero is LND's default.
pub(super) fn page(offset: u64, limit: u64, reversed: bool) -> Page {
    Page {
        offset,
        limit: match limit {
            0 => DEFAULT_LIMIT,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        },
        direction: if reversed {
            Direction::Reversed
        } else {
            Direction::Forward
        },
    }
}

/// Whether a creation date is in a range, in seconds; zero ends nothing.
pub(super) const fn is_between(moment: u64, start: u64, end: u64) -> bool {
    moment >= start && (end == 0 || moment <= end)
}

const DEFAULT_LIMIT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_without_a_limit_is_a_hundred_long() {
        assert_eq!(page(0, 0, false).limit, 100);
        assert_eq!(page(0, 7, true).limit, 7);
    }

    #[test]
    fn a_range_of_dates_includes_its_ends() {
        for (moment, within) in [(9, false), (10, true), (11, true), (12, false)] {
            assert_eq!(is_between(moment, 10, 11), within, "{moment}");
        }
        assert!(is_between(12, 10, 0));
    }
}
