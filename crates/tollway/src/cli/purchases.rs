//! Commands and arguments of `tollway purchases`.

use clap::{Args, Subcommand};
use l402::Msat;

#[derive(Debug, Subcommand)]
pub(crate) enum PurchasesCommand {
    /// List purchases of which it is not known whether money moved, and what to do.
    List(ListPurchasesArgs),
    /// End an open purchase with what you found out about its payment.
    Resolve(ResolveArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ListPurchasesArgs {
    /// List the ended ones as well.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("outcome").required(true))]
pub(crate) struct ResolveArgs {
    /// The payment hash that names the purchase.
    #[arg(value_name = "HASH")]
    pub(crate) payment_hash: l402::PaymentHash,
    /// The wallet did not pay it and will not: nothing is reserved for it any more.
    #[arg(long, group = "outcome")]
    pub(crate) not_paid: bool,
    /// The wallet paid it: the preimage, which makes the token usable.
    #[arg(long, group = "outcome", value_name = "PREIMAGE")]
    pub(crate) paid: Option<String>,
    /// The routing fee of the payment.
    #[arg(
        long,
        requires = "paid",
        default_value = "0msat",
        value_name = "AMOUNT"
    )]
    pub(crate) fee: Msat,
}
