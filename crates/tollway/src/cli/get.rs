//! Arguments of `tollway get`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use l402::Msat;

use crate::input;

#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// What to fetch. Without a scheme, http on this machine and https elsewhere.
    pub(crate) url: String,
    /// Write the body to a file instead of standard output; `-` is standard output. Opened
    /// before the request is sent, and replaced once the body has arrived whole; pipes and
    /// devices are written through. Errors, redirects and responses without content replace
    /// no file.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The method; default GET, or POST with -d.
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(crate) method: Option<http::Method>,
    /// A header, `Name: value`. May be repeated.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// The request body; `@FILE` reads it from a file, `@-` from standard input.
    #[arg(short, long, value_name = "DATA")]
    pub(crate) data: Option<String>,
    /// Pay with: sandbox:buyer, lndconnect://… or a name from the configuration.
    /// Default: the buyer of the running sandbox.
    #[arg(long, value_name = "URI")]
    pub(crate) wallet: Option<String>,
    /// The highest price to pay for one response; default 1000sat.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_cost: Option<Msat>,
    /// The highest routing fee to pay on top; default 10sat.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_fee: Option<Msat>,
    /// The most to spend in one UTC day, fees included; default 10000sat.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_per_day: Option<Msat>,
    /// Never pay: show what is asked instead.
    #[arg(long)]
    pub(crate) no_pay: bool,
    /// Buy again where a token that was just paid for was refused.
    #[arg(long)]
    pub(crate) buy_after_refusal: bool,
    /// How long to wait for the payment, like 30s or 2m.
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = input::duration)]
    pub(crate) payment_timeout: Duration,
    /// How long the whole request may take, from its start to the last byte of the body, payment
    /// included; default: no limit but 300s without a byte. A payment that was started is
    /// looked up by the next run.
    #[arg(long, value_name = "DURATION", value_parser = input::duration)]
    pub(crate) max_time: Option<Duration>,
    /// Send credentials and pay over plain HTTP to hosts that are not this machine.
    #[arg(long)]
    pub(crate) allow_insecure: bool,
    /// Trust this certificate authority as well, PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Print nothing but the body, warnings and errors.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
