//! Load, upstream and buyers for a measured gateway.
//!
//! A separate program, so that it can be pinned to another core than the gateway.
//! Started by `cargo xtask bench`, which reads the JSON it prints.
#![forbid(unsafe_code)]

mod buyers;
mod latency;
mod load;
mod siege;
mod soak;
mod upstream;

use anyhow::Result;
use clap::Parser;

#[derive(Debug, Parser)]
enum Command {
    /// Serves an upstream, and sends the HTTP/1.1 load requested on standard input.
    Load,
    /// Buys the same page over and over, each time with a new token.
    Purchases(buyers::Purchases),
    /// Attacks a proxy while paying customers use it.
    Siege(siege::Args),
    /// Sends mixed traffic of paying customers, and counts it.
    Soak(soak::Args),
    /// Serves an upstream of a siege or a soak until standard input ends.
    Upstream(upstream::Args),
    /// Buys once and prints the `Authorization` line.
    Credential(buyers::Shop),
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Load => load::run(),
        Command::Siege(args) => siege::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Upstream(args) => upstream::run(&args),
        Command::Purchases(purchases) => buyers::purchases(&purchases),
        Command::Credential(shop) => buyers::credential(&shop),
    }
}
