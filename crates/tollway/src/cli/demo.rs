//! Arguments of `tollway demo`.

use std::net::SocketAddr;

use clap::Args;
use l402::Msat;

use crate::input;

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Exit after the paid request, with an error if any step failed.
    #[arg(long)]
    pub(crate) once: bool,
    /// Where the gateway listens: IP:PORT, or a port of this machine.
    #[arg(long, default_value = "127.0.0.1:8402", value_name = "ADDRESS", value_parser = input::listen)]
    pub(crate) listen: SocketAddr,
    /// Price of one token.
    #[arg(long, default_value = "10sat", value_name = "AMOUNT")]
    pub(crate) price: Msat,
}
