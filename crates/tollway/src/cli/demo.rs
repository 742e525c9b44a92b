//! Arguments of `tollway demo`.

use std::net::SocketAddr;

use clap::Args;
use l402::Msat;

use super::heading;
use crate::input;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Exit after the paid request, with an error if any step failed.
    #[arg(long)]
    pub(crate) once: bool,
    /// The gateway, or a port.
    #[arg(long, default_value = "127.0.0.1:8402", value_name = "ADDRESS", value_parser = input::listen, help_heading = heading::CONNECTION)]
    pub(crate) listen: SocketAddr,
    /// Price of one token.
    #[arg(long, default_value = "10sat", value_name = "AMOUNT", value_parser = input::amount, help_heading = heading::PAYMENT)]
    pub(crate) price: Msat,
}

const EXAMPLES: &str = "\
Examples:
  tollway demo --once
  tollway demo --listen :9000 --price 5sat

It needs no node: it runs a sandbox, a gateway, an API and a buyer of its own.";
