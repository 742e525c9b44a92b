//! The bytes of a history, read as limits and steps.

use l402::{Limits, Msat};

pub(super) fn limits(bytes: &mut impl Iterator<Item = u8>) -> Limits {
    let mut choose = |from: [u64; 4]| from[usize::from(bytes.next().unwrap_or(0) % 4)];
    let limit = |msat| (msat != 0).then_some(Msat::from_msat(msat));
    Limits {
        price_max: Msat::from_msat(choose([u64::MAX, 9_999, 20_000, 1_000])),
        fee_max: Msat::from_msat(choose([0, 500, 3_000, 1])),
        per_host: limit(choose([0, 12_000, 30_000, 1_000])),
        per_day: limit(choose([0, 10_000, 23_000, 60_000])),
        total: limit(choose([0, 30_000, 70_000, 11_000])),
    }
}

/// One thing that happens.
#[derive(Debug)]
pub(super) enum Step {
    /// Admitted, but not recorded yet.
    Begin {
        offer: u8,
        host: u8,
    },
    /// The record reaches the disk and the purchase goes on.
    Record {
        payment: u8,
    },
    /// The record reaches the disk and the process dies before it pays.
    RecordAndCrash {
        payment: u8,
    },
    /// The record does not reach the disk.
    Abandon {
        payment: u8,
    },
    WalletSettles {
        payment: u8,
        fee: u8,
    },
    WalletFails {
        payment: u8,
    },
    LookUp {
        payment: u8,
    },
    Lose {
        payment: u8,
    },
    WrongPreimage {
        payment: u8,
    },
    /// An event that may not fit.
    OutOfPlace {
        payment: u8,
        event: u8,
    },
    Crash,
    /// The same invoice goes to the same wallet again.
    Reoffer {
        payment: u8,
    },
    /// The clock goes on, or is set back.
    Clock {
        hours: u8,
    },
}

impl Step {
    pub(super) fn next(bytes: &mut impl Iterator<Item = u8>) -> Option<Self> {
        let kind = bytes.next()?;
        let mut byte = || bytes.next().unwrap_or(0);
        Some(match kind % 13 {
            0 => Self::Begin {
                offer: byte(),
                host: byte(),
            },
            1 => Self::Record { payment: byte() },
            2 => Self::RecordAndCrash { payment: byte() },
            3 => Self::Abandon { payment: byte() },
            4 => Self::WalletSettles {
                payment: byte(),
                fee: byte(),
            },
            5 => Self::WalletFails { payment: byte() },
            6 => Self::LookUp { payment: byte() },
            7 => Self::Lose { payment: byte() },
            8 => Self::WrongPreimage { payment: byte() },
            9 => Self::OutOfPlace {
                payment: byte(),
                event: byte(),
            },
            10 => Self::Crash,
            11 => Self::Clock { hours: byte() },
            _ => Self::Reoffer { payment: byte() },
        })
    }
}
