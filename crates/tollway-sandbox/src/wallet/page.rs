//! Which part of a book does a listing show?
//!
//! LND's paging: the offset is the index just outside the page, pages are always in rising
//! order, and a reversed listing is the newest page before the offset.

/// Which way a listing walks from its offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    /// To newer entries.
    Forward,
    /// To older entries, from the newest when the offset is zero.
    Reversed,
}

/// What a listing asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// The index just outside the page; zero for none.
    pub(super) offset: u64,
    /// The most entries to show; zero for LND's default.
    pub(super) limit: u64,
    /// Which way to go.
    pub(super) direction: Direction,
}

/// The entries of a page, out of all entries in rising order of their index.
pub(super) fn select<T>(
    page: Page,
    entries: Vec<T>,
    index: impl Fn(&T) -> u64,
    shown: impl Fn(&T) -> bool,
) -> Vec<T> {
    let limit = match page.limit {
        0 => DEFAULT_LIMIT,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let entries = entries.into_iter().filter(shown);
    match page.direction {
        Direction::Forward => entries
            .filter(|entry| index(entry) > page.offset)
            .take(limit)
            .collect(),
        Direction::Reversed => {
            let mut newest: Vec<T> = entries
                .rev()
                .filter(|entry| page.offset == 0 || index(entry) < page.offset)
                .take(limit)
                .collect();
            newest.reverse();
            newest
        }
    }
}

/// Refuses a range of dates that ends before it starts, in LND's words.
pub(super) fn check_dates(start: u64, end: u64) -> Result<(), String> {
    if start != 0 && end != 0 && start >= end {
        Err(format!(
            "start date({start}) must be before end date({end})"
        ))
    } else {
        Ok(())
    }
}

/// Whether a moment is in a range of dates; zero ends nothing.
pub(super) const fn in_dates(moment: u64, start: u64, end: u64) -> bool {
    moment >= start && (end == 0 || moment <= end)
}

const DEFAULT_LIMIT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(offset: u64, limit: u64, direction: Direction) -> Vec<u64> {
        let page = Page {
            offset,
            limit,
            direction,
        };
        let all: Vec<u64> = (1..=78).collect();
        select(page, all, |index| *index, |index| *index != 2)
    }

    #[test]
    fn pages_are_those_lnd_shows() {
        use Direction::{Forward, Reversed};
        assert_eq!(page(0, 0, Forward).len(), 77);
        assert_eq!(page(0, 2, Forward), [1, 3]);
        assert_eq!(page(3, 2, Forward), [4, 5]);
        assert_eq!(page(78, 2, Forward), [0; 0]);
        assert_eq!(page(u64::MAX, u64::MAX, Forward), [0; 0]);
        assert_eq!(page(0, 2, Reversed), [77, 78]);
        assert_eq!(page(5, 2, Reversed), [3, 4]);
        assert_eq!(page(1, 2, Reversed), [0; 0]);
        assert_eq!(page(1_000, 1, Reversed), [78]);
    }

    #[test]
    fn a_listing_without_a_limit_is_a_hundred_long() {
        let page = Page {
            offset: 0,
            limit: 0,
            direction: Direction::Reversed,
        };
        let shown = select(page, (1..=500).collect(), |index| *index, |_| true);
        assert_eq!(shown, (401..=500).collect::<Vec<u64>>());
    }

    #[test]
    fn dates_that_end_before_they_start_are_refused() {
        let refused = check_dates(1_000, 10).unwrap_err();
        assert_eq!(refused, "start date(1000) must be before end date(10)");
        assert!(check_dates(10, 10).is_err());
        assert!(check_dates(10, 0).is_ok());
        assert!(in_dates(10, 10, 10) && !in_dates(9, 10, 0) && !in_dates(11, 0, 10));
    }
}
