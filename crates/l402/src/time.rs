//! Time as a value: the caller reads the clock.

use std::fmt;

/// A moment, in whole seconds since 1970-01-01 00:00 UTC.
///
/// ```
/// use l402::UnixSeconds;
///
/// let now = UnixSeconds::new(1_700_000_000);
/// let deadline = now.plus_secs(3_600);
/// assert!(now < deadline);
/// assert_eq!(deadline.secs_since(now), 3_600);
/// assert_eq!(now.utc_day(), 19_675);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixSeconds(u64);

impl UnixSeconds {
    /// Creates the moment `secs` seconds after the epoch.
    #[must_use]
    pub const fn new(secs: u64) -> Self {
        Self(secs)
    }

    /// Returns the seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// Returns the moment `secs` seconds later, saturating at the end of time.
    #[must_use]
    pub const fn plus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs))
    }

    /// Returns the whole seconds from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub const fn secs_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the UTC day, counted from the epoch, by which daily limits are counted.
    #[must_use]
    pub const fn utc_day(self) -> u64 {
        self.0.div_euclid(SECS_PER_DAY)
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const SECS_PER_DAY: u64 = 86_400;
