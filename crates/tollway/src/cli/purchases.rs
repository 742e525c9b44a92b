//! Commands and arguments of `tollway purchases`.

use clap::{Args, Subcommand};
use l402::Msat;

use crate::input::{self, Secret};

#[derive(Debug, Subcommand)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) enum PurchasesCommand {
    /// List purchases that may have been paid, and what to do.
    List(ListPurchasesArgs),
    /// End an open purchase with what you found out about its payment.
    Resolve(ResolveArgs),
}

#[derive(Args, Debug)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct ListPurchasesArgs {
    /// List the ended ones as well.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("outcome").required(true), after_help = RESOLVE_EXAMPLES)]
pub(crate) struct ResolveArgs {
    /// The payment hash in `tollway purchases list`, or its beginning.
    #[arg(value_name = "HASH", value_parser = hash_start)]
    pub(crate) payment_hash: String,
    /// The wallet did not pay it, and will not.
    #[arg(long, group = "outcome")]
    pub(crate) not_paid: bool,
    /// The wallet paid it; makes the token usable.
    #[arg(long, group = "outcome", value_name = "PREIMAGE")]
    pub(crate) paid: Option<Secret>,
    /// The routing fee of the payment.
    #[arg(
        long,
        requires = "paid",
        default_value = "0msat",
        value_name = "AMOUNT",
        value_parser = input::amount
    )]
    pub(crate) fee: Msat,
}

/// Reads a payment hash, or the beginning of one.
fn hash_start(text: &str) -> Result<String, String> {
    let digits = text.trim().to_ascii_lowercase();
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_hex && (1..=HASH_DIGITS).contains(&digits.len()) {
        return Ok(digits);
    }
    let shown = input::shown(text);
    Err(format!(
        "{shown} is not the beginning of a payment hash: write up to {HASH_DIGITS} hexadecimal digits"
    ))
}

const HASH_DIGITS: usize = 64;

const LIST_EXAMPLES: &str = "\
Examples:
  tollway purchases list
  tollway purchases list --all --json";

const RESOLVE_EXAMPLES: &str = "\
Examples:
  tollway purchases resolve HASH --not-paid
  tollway purchases resolve HASH --paid PREIMAGE --fee 1sat

HASH is the payment hash that `tollway purchases list` shows; hash and preimage
are 64 hexadecimal digits.";
