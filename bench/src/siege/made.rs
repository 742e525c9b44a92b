//! Result of an attack.

use serde::Serialize;

/// An attack that was made.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    /// How much of it: connections, streams or requests, as `--count` counts.
    pub(super) count: usize,
    /// What the attackers saw.
    pub(super) seen: String,
}
