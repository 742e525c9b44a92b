//! Delivery test: counts the responses that one use of a token buys while something fails.
//!
//! The test is `tests/e2e/delivery.rs`, of which `cargo test` runs a short version. This runs
//! it with as many tokens as asked for, on the optimized binary.

use std::num::NonZeroU32;

use crate::e2e::{self, E2eError};

/// Fails upstreams and gateways, and checks that each paid use buys one response.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Tokens per case.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: NonZeroU32,
}

pub(crate) fn run(args: &Args) -> Result<(), E2eError> {
    e2e::run("delivery::", "TOLLWAY_DELIVERY_ROUNDS", args.rounds)
}

const ROUNDS: NonZeroU32 = NonZeroU32::new(200).expect("not zero");
