//! Arguments of `tollway sandbox`.

use std::path::PathBuf;

use clap::Args;

use super::heading;
use crate::input;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SandboxArgs {
    /// Seller's LND API; 0 for any port.
    #[arg(long, default_value_t = 10_009, value_name = "PORT", value_parser = input::port, help_heading = heading::CONNECTION)]
    pub(crate) seller_port: u16,
    /// Buyer's LND API; 0 for any port.
    #[arg(long, default_value_t = 10_010, value_name = "PORT", value_parser = input::port, help_heading = heading::CONNECTION)]
    pub(crate) buyer_port: u16,
    /// Its files [default: sandbox in the tollway folder]
    #[arg(long, value_name = "DIR", help_heading = heading::STORAGE)]
    pub(crate) data_dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  tollway sandbox
  tollway sandbox --seller-port 0 --buyer-port 0 --data-dir /tmp/second

While it runs, `serve` and `get` use its wallets unless others are named.";
