//! Arguments of `tollway serve`.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use l402::Msat;
use tollway_gateway::{ProxyNetwork, Upstream};

use super::heading;
use crate::input::{self, Secret};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The API to sell, like localhost:3000
    #[arg(long, value_name = "URL", value_parser = input::upstream, help_heading = heading::CONNECTION)]
    pub(crate) upstream: Upstream,
    /// Without TLS
    #[arg(long, default_value = "127.0.0.1:8402", value_name = "ADDRESS", value_parser = input::listen, help_heading = heading::CONNECTION)]
    pub(crate) listen: SocketAddr,
    /// With TLS as well [default: nowhere]
    #[arg(long, value_name = "ADDRESS", value_parser = input::listen, requires_all = ["tls_cert", "tls_key"], help_heading = heading::CONNECTION)]
    pub(crate) tls_listen: Option<SocketAddr>,
    /// Certificate chain, PEM [default: none]
    #[arg(long, value_name = "FILE", requires = "tls_listen", help_heading = heading::CONNECTION)]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key, PEM [default: none]
    #[arg(long, value_name = "FILE", requires = "tls_listen", help_heading = heading::CONNECTION)]
    pub(crate) tls_key: Option<PathBuf>,
    /// Whose X-Forwarded-For is read [default: none]
    #[arg(long, value_name = "NETWORK", value_parser = input::network, help_heading = heading::CONNECTION)]
    pub(crate) trusted_proxy: Vec<ProxyNetwork>,
    /// Their connections begin with a PROXY header.
    #[arg(long, help_heading = heading::CONNECTION)]
    pub(crate) proxy_protocol: bool,
    /// /metrics, /healthz, /readyz [default: nowhere]
    #[arg(long, value_name = "ADDRESS", value_parser = input::listen, help_heading = heading::CONNECTION)]
    pub(crate) admin: Option<SocketAddr>,
    /// Most time for response headers [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = input::duration, help_heading = heading::CONNECTION)]
    pub(crate) upstream_timeout: Option<Duration>,
    /// Most time to stop [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = input::duration, help_heading = heading::CONNECTION)]
    pub(crate) drain_timeout: Option<Duration>,
    /// Time to stop from /readyz 503 on [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = input::duration, help_heading = heading::CONNECTION)]
    pub(crate) drain_delay: Option<Duration>,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = input::count::<NonZeroUsize>, help_heading = heading::CONNECTION)]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Price of one token, like 10sat or 2500msat.
    #[arg(long, value_name = "AMOUNT", value_parser = input::amount, required_unless_present = "free", help_heading = heading::PAYMENT)]
    pub(crate) price: Option<Msat>,
    /// Charge nothing: forward every request, without a wallet.
    #[arg(long, conflicts_with_all = ["price", "valid_for", "max_uses"], help_heading = heading::PAYMENT)]
    pub(crate) free: bool,
    /// URI or configured name [default: sandbox:seller]
    #[arg(long, value_name = "URI", help_heading = heading::PAYMENT)]
    pub(crate) wallet: Option<Secret>,
    /// Time a token is good for [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = input::duration, help_heading = heading::TOKENS)]
    pub(crate) valid_for: Option<Duration>,
    /// Requests it is good for [default: any number]
    #[arg(long, value_name = "N", value_parser = input::count::<NonZeroU64>, help_heading = heading::TOKENS)]
    pub(crate) max_uses: Option<NonZeroU64>,
    /// Name in tokens, metrics.
    #[arg(long, default_value = "default", value_name = "NAME", help_heading = heading::TOKENS)]
    pub(crate) service: String,
    /// For one client network [default: 120]
    #[arg(long, value_name = "N", value_parser = input::count::<NonZeroU32>, help_heading = heading::TOKENS)]
    pub(crate) challenges_per_minute: Option<NonZeroU32>,
    /// Count none of clients on this machine.
    #[arg(long, help_heading = heading::TOKENS)]
    pub(crate) exempt_loopback: bool,
    /// Refuse a credential with 401, not 402.
    #[arg(long, help_heading = heading::TOKENS)]
    pub(crate) strict_status: bool,
    /// Leave out the LSAT challenge of older clients.
    #[arg(long, help_heading = heading::TOKENS)]
    pub(crate) no_lsat: bool,
    /// Log each request: path, status, latency, verdict.
    #[arg(long, help_heading = heading::OUTPUT)]
    pub(crate) access_log: bool,
    /// Keys and ledger [default: gateway in the tollway folder]
    #[arg(long, value_name = "DIR", help_heading = heading::OUTPUT)]
    pub(crate) data_dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  tollway serve --upstream localhost:3000 --price 10sat --max-uses 100
  tollway serve --upstream :3000 --price 5sat --valid-for 1h --wallet node";
