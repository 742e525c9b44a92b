//! No history of purchases spends beyond a limit, pays twice, pays unrecorded, loses a paid
//! token or keeps money set aside for nothing. The model is the one that is fuzzed.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::fuzz;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_history_keeps_the_books(history in vec(any::<u8>(), 0..240)) {
        fuzz::purchase::run(&history);
    }

    /// Histories in which most things succeed reach further than random ones.
    #[test]
    fn busy_histories_keep_the_books(
        limits in vec(any::<u8>(), 5),
        steps in vec((0_usize..8, any::<u8>(), any::<u8>()), 0..80),
    ) {
        const LIKELY: [u8; 8] = [0, 0, 1, 1, 4, 6, 10, 11];
        let mut history = limits;
        for (kind, payment, other) in steps {
            history.push(LIKELY[kind]);
            history.push(payment);
            if matches!(LIKELY[kind], 0 | 4) {
                history.push(other);
            }
        }
        fuzz::purchase::run(&history);
    }
}
