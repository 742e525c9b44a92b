//! Pages of a listing.
//!
//! LND's paging: the offset is the index just outside the page, pages are always in rising
//! order, and a reversed listing is the newest page before the offset.

/// Which way a listing walks from its offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// To newer entries.
    Forward,
    /// To older entries, from the newest when the offset is zero.
    Reversed,
}

/// What a listing asks for.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The index just outside the page; indexes start at 1, and zero is none.
    pub offset: u64,
    /// The most entries to return.
    pub limit: usize,
    /// Which way to go.
    pub direction: Direction,
}

impl Page {
    /// The entries of this page out of `len`; `get` returns the entry at a place, or `None` for
    /// one that is not listed.
    pub(super) fn of<T>(self, len: usize, get: impl Fn(usize) -> Option<T>) -> Vec<T> {
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        match self.direction {
            Direction::Forward => (offset..len).filter_map(get).take(self.limit).collect(),
            Direction::Reversed => {
                let end = if offset == 0 {
                    len
                } else {
                    len.min(offset.saturating_sub(1))
                };
                let mut newest: Vec<T> = (0..end).rev().filter_map(get).take(self.limit).collect();
                newest.reverse();
                newest
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of 78 entries, of which the second is not listed.
    fn page(offset: u64, limit: usize, direction: Direction) -> Vec<usize> {
        let page = Page {
            offset,
            limit,
            direction,
        };
        let indexes: Vec<usize> = (1..=78).collect();
        page.of(78, |place| {
            indexes.get(place).copied().filter(|index| *index != 2)
        })
    }

    #[test]
    fn pages_are_those_lnd_shows() {
        use Direction::{Forward, Reversed};
        assert_eq!(page(0, 100, Forward).len(), 77);
        assert_eq!(page(0, 2, Forward), [1, 3]);
        assert_eq!(page(3, 2, Forward), [4, 5]);
        assert_eq!(page(78, 2, Forward), [0; 0]);
        assert_eq!(page(u64::MAX, usize::MAX, Forward), [0; 0]);
        assert_eq!(page(0, 2, Reversed), [77, 78]);
        assert_eq!(page(5, 2, Reversed), [3, 4]);
        assert_eq!(page(1, 2, Reversed), [0; 0]);
        assert_eq!(page(1_000, 1, Reversed), [78]);
    }

    #[test]
    fn only_the_entries_of_a_page_are_read() {
        let read = std::cell::RefCell::new(vec![]);
        let newest = Page {
            offset: 0,
            limit: 2,
            direction: Direction::Reversed,
        };
        newest.of(50_000, |place| {
            read.borrow_mut().push(place);
            Some(place)
        });
        assert_eq!(read.into_inner(), [49_999, 49_998]);
    }
}
