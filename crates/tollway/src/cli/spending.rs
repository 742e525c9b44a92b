//! Arguments of `tollway spending`.

use clap::{Args, ValueEnum};

use super::heading;
use crate::input::{self, Since};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SpendingArgs {
    /// Begin the table here [default: the first purchase]
    #[arg(long, value_name = "WHEN", value_parser = input::since, help_heading = heading::OUTPUT)]
    pub(crate) since: Option<Since>,
    /// A row of the table: origin or day.
    #[arg(
        long,
        value_name = "ROW",
        default_value = "origin",
        hide_possible_values = true,
        help_heading = heading::OUTPUT
    )]
    pub(crate) by: SpendingRow,
}

/// What the purchases are grouped by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum SpendingRow {
    Day,
    Origin,
}

const EXAMPLES: &str = "\
Examples:
  tollway spending
  tollway spending --since 7d --by day
  tollway spending --since 2026-11-01 --json

WHEN is a duration before now, like 7d, or a date. Days are UTC days, and a
purchase counts on the day on which it was begun. Reserved is what purchases
may cost whose payment is not known to have ended.";
