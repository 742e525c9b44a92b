//! Arguments of `tollway sandbox`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct SandboxArgs {
    /// Port of the seller's LND API; 0 takes any free one.
    #[arg(long, default_value_t = 10_009, value_name = "PORT")]
    pub(crate) seller_port: u16,
    /// Port of the buyer's LND API; 0 takes any free one.
    #[arg(long, default_value_t = 10_010, value_name = "PORT")]
    pub(crate) buyer_port: u16,
    /// Where wallets and sandbox.json are kept; default: sandbox in the tollway folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}
