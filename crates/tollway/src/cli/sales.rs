//! Arguments of `tollway sales`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::heading;
use crate::input::{self, Since};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SalesArgs {
    /// Begin the tables here [default: the first sale]
    #[arg(long, value_name = "WHEN", value_parser = input::since, help_heading = heading::OUTPUT)]
    pub(crate) since: Option<Since>,
    /// List the tokens sold, those first used last come first.
    #[arg(long, help_heading = heading::OUTPUT)]
    pub(crate) tokens: bool,
    /// How many tokens to list.
    #[arg(long, value_name = "N", value_parser = input::count::<NonZeroUsize>, default_value = "50", requires = "tokens", help_heading = heading::OUTPUT)]
    pub(crate) last: NonZeroUsize,
    /// The gateway's [default: gateway in the tollway folder]
    #[arg(long, value_name = "DIR", help_heading = heading::STORAGE)]
    pub(crate) data_dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  tollway sales
  tollway sales --since 7d --json
  tollway sales --tokens --last 10

WHEN is a duration before now, like 7d, or a date. Days are UTC days. Gateways
may run meanwhile: what they have counted is shown a tenth of a second later. A
token counts as sold when it is first used: one that was paid for and not used
yet is not in the ledger.";
