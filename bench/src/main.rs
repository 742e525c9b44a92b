//! The other ends of a measured gateway: the load, the upstream, and those who buy.
//!
//! A program of its own, so that it can be pinned to a core the gateway does not have.
//! Started by `cargo xtask bench`, which reads the JSON it prints.
#![forbid(unsafe_code)]

mod buyers;
mod latency;
mod load;

use anyhow::Result;
use clap::Parser;

#[derive(Debug, Parser)]
enum Command {
    /// Serves an upstream, and sends HTTP/1.1 load when told to on standard input.
    Load,
    /// Buys the same page over and over, each time with a new token.
    Purchases(buyers::Purchases),
    /// Buys once and prints the `Authorization` line that was paid for.
    Credential(buyers::Shop),
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Load => load::run(),
        Command::Purchases(purchases) => buyers::purchases(&purchases),
        Command::Credential(shop) => buyers::credential(&shop),
    }
}
