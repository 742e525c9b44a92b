//! Listing requests: pages and ranges of dates.

use tonic::Status;

use super::refused;
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

/// A range of creation dates, in seconds; zero ends nothing.
#[derive(Clone, Copy)]
pub(super) struct Dates {
    start: u64,
    end: u64,
}

impl Dates {
    /// Refuses a range that ends before it starts.
    pub(super) fn new(start: u64, end: u64) -> Result<Self, Status> {
        if start != 0 && end != 0 && start >= end {
            return Err(refused(format!(
                "start date({start}) must be before end date({end})"
            )));
        }
        Ok(Self { start, end })
    }

    pub(super) const fn contain(self, moment: u64) -> bool {
        moment >= self.start && (self.end == 0 || moment <= self.end)
    }
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
    fn dates_that_end_before_they_start_are_refused() {
        let refused = Dates::new(1_000, 10).err().unwrap();
        assert_eq!(
            refused.message(),
            "start date(1000) must be before end date(10)"
        );
        assert!(Dates::new(10, 10).is_err());
        assert!(Dates::new(10, 0).is_ok());
        let day = Dates::new(10, 11).unwrap();
        assert!(day.contain(10) && day.contain(11) && !day.contain(9) && !day.contain(12));
    }
}
