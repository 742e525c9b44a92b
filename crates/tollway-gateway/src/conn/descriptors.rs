//! File descriptors: as many as the system grants, and how many of them are for clients.
//!
//! A request takes two: its client's connection and one to the upstream. Clients are given half
//! of what there is, so that those who have connected are not refused for want of another.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of this process to the most it may set itself, and returns it; `None` for
/// no limit.
pub(crate) fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        // The system may have a lower one of its own.
        Err(error) => {
            tracing::debug!(%error, "the limit on file descriptors stays");
            current
        }
    }
}

/// Returns how many client connections a limit on descriptors leaves room for, at most `asked`.
pub(crate) fn connections(
    asked: NonZeroUsize,
    limit: Option<u64>,
    workers: NonZeroUsize,
) -> NonZeroUsize {
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
        return asked;
    };
    let own = DESCRIPTORS_OF_WORKER.saturating_mul(workers.get());
    let own = own.saturating_add(DESCRIPTORS_OF_PROCESS);
    let left = limit.saturating_sub(own);
    // Where there are few, what the process itself needs is less than what is set aside for it.
    let left = left.max(limit.div_euclid(OF_REQUESTS_MIN_DIVISOR));
    let fit = left.div_euclid(DESCRIPTORS_OF_REQUEST);
    NonZeroUsize::new(fit).map_or(NonZeroUsize::MIN, |fit| fit.min(asked))
}

/// A client's connection, and one to the upstream.
const DESCRIPTORS_OF_REQUEST: usize = 2;
/// Listener sockets, what the runtime waits with, and probes of upstreams.
const DESCRIPTORS_OF_WORKER: usize = 8;
/// Ledger, keys, wallet, metrics, and what the process has been started with.
const DESCRIPTORS_OF_PROCESS: usize = 64;
/// The part of all descriptors that requests always have.
const OF_REQUESTS_MIN_DIVISOR: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn count(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn clients_get_half_of_the_descriptors() {
        let fit = connections(count(20_000), Some(1024), count(2));

        assert_eq!(fit, count(472));
    }

    #[test]
    fn a_low_limit_leaves_room_for_several() {
        for (limit, fit) in [(32, 4), (64, 8), (128, 24), (256, 88)] {
            let found = connections(count(20_000), Some(limit), count(2));
            assert_eq!(found, count(fit), "{limit}");
        }
    }

    #[test]
    fn no_more_than_asked_for_and_never_none() {
        for (limit, fit) in [(None, 20_000), (Some(1 << 20), 20_000), (Some(10), 1)] {
            let found = connections(count(20_000), limit, count(2));
            assert_eq!(found, count(fit), "{limit:?}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let limit = raise_limit();

        assert_eq!(getrlimit(Resource::Nofile).current, limit);
        assert_eq!(raise_limit(), limit);
    }
}
