//! What holds for every input, and not only for chosen examples.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on has failed"
)]

mod attenuation;
mod corpus;
mod purchase;
mod reading;
mod tampering;

/// What the fuzz targets do with their bytes.
#[allow(
    unreachable_pub,
    clippy::expect_used,
    reason = "a library of its own when it is fuzzed"
)]
#[path = "../../../../fuzz/src/lib.rs"]
mod fuzz;
