//! The real binary, over real sockets and a real Lightning network.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "tests: what goes wrong here fails"
)]

mod books;
mod buy;
mod codes;
mod crash;
mod delivery;
mod demo;
mod disk;
mod failures;
mod input;
mod log;
mod operate;
mod output;
mod owned;
mod proxies;
mod purchases;
mod request;
mod secrets;
mod serving;
mod support;
mod tls;
mod token;
mod tokens;
mod transcripts;
mod uses;
