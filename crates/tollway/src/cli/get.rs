//! Arguments of `tollway get`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use l402::Msat;

use super::heading;
use crate::input::{self, Secret};

#[derive(Args, Debug)]
// The last of a repeated option wins, so that an alias can set one.
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct GetArgs {
    /// What to fetch; without a scheme http on this machine, https elsewhere.
    pub(crate) url: String,
    /// The method [default: GET, or POST with -d]
    #[arg(short = 'X', long = "request", value_name = "METHOD", value_parser = input::method, help_heading = heading::REQUEST)]
    pub(crate) method: Option<http::Method>,
    /// `Name: value`, may be repeated [default: none]
    #[arg(short = 'H', long = "header", value_name = "HEADER", help_heading = heading::REQUEST)]
    pub(crate) headers: Vec<Secret>,
    /// The body, or @FILE, or @- [default: none]
    #[arg(short, long, value_name = "DATA", help_heading = heading::REQUEST)]
    pub(crate) data: Vec<Secret>,
    /// URI or configured name [default: sandbox:buyer]
    #[arg(long, value_name = "URI", help_heading = heading::PAYMENT)]
    pub(crate) wallet: Option<Secret>,
    /// Most to pay for one response [default: 1000sat]
    #[arg(long, value_name = "AMOUNT", value_parser = input::amount, help_heading = heading::PAYMENT)]
    pub(crate) max_cost: Option<Msat>,
    /// Most routing fee to pay on top [default: 10sat]
    #[arg(long, value_name = "AMOUNT", value_parser = input::amount, help_heading = heading::PAYMENT)]
    pub(crate) max_fee: Option<Msat>,
    /// Most in a UTC day, with fees [default: 10000sat]
    #[arg(long, value_name = "AMOUNT", value_parser = input::amount, help_heading = heading::PAYMENT)]
    pub(crate) max_per_day: Option<Msat>,
    /// How long to wait for the payment.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = input::duration, help_heading = heading::PAYMENT)]
    pub(crate) payment_timeout: Duration,
    /// Never pay: show price and invoice instead.
    #[arg(long, help_heading = heading::PAYMENT)]
    pub(crate) no_pay: bool,
    /// Buy again where a payment brought nothing.
    #[arg(long, help_heading = heading::PAYMENT)]
    pub(crate) buy_after_refusal: bool,
    /// For all of it [default: 300s without a byte]
    #[arg(long, value_name = "TIME", value_parser = input::duration, help_heading = heading::CONNECTION)]
    pub(crate) max_time: Option<Duration>,
    /// PEM to trust as well [default: the system's]
    #[arg(long, value_name = "FILE", help_heading = heading::CONNECTION)]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Pay and show credentials over http:// to other machines.
    #[arg(long, help_heading = heading::CONNECTION)]
    pub(crate) allow_insecure: bool,
    /// Write the body to a file, once it is whole [default: -]
    #[arg(short, long, value_name = "FILE", help_heading = heading::OUTPUT)]
    pub(crate) output: Option<PathBuf>,
    /// Print the head of the response before the body.
    #[arg(short, long, help_heading = heading::OUTPUT)]
    pub(crate) include: bool,
    /// Print nothing but the body, warnings and errors.
    #[arg(short, long, help_heading = heading::OUTPUT)]
    pub(crate) quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  tollway get localhost:8402/joke --max-cost 20sat
  tollway get https://api.example/v1 -X POST -d @order.json -o reply.json
  tollway get localhost:8402/joke --no-pay --json

To stop all paying: touch ~/.local/share/tollway/stop, or $TOLLWAY_HOME/stop.
Wallet and limits can be set in [get] of the configuration.
The exit code shows whether money moved: tollway exit-codes";
