//! Arguments of `tollway serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use l402::Msat;
use tollway_gateway::Upstream;

use crate::input;

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// The service behind the gateway: http://host:port or https://host. Without a scheme, http
    /// on this machine and https elsewhere.
    #[arg(long, value_name = "URL", value_parser = input::upstream)]
    pub(crate) upstream: Upstream,
    /// Price of one token, like 10sat or 2500msat. Unless --valid-for or --max-uses bound it, a
    /// token is good for any number of requests, for ever.
    #[arg(long, value_name = "AMOUNT", required_unless_present = "free")]
    pub(crate) price: Option<Msat>,
    /// Charge nothing: forward every request. Needs no wallet.
    #[arg(long, conflicts_with = "price")]
    pub(crate) free: bool,
    /// Who is paid: sandbox:seller, lndconnect://… or a name from the configuration.
    /// Default: the seller of the running sandbox.
    #[arg(long, value_name = "URI")]
    pub(crate) wallet: Option<String>,
    /// Where to listen for HTTP/1.1 and HTTP/2 without TLS: IP:PORT, or a port of this machine;
    /// 0.0.0.0:PORT is every interface.
    #[arg(long, default_value = "127.0.0.1:8402", value_name = "ADDRESS", value_parser = input::listen)]
    pub(crate) listen: SocketAddr,
    /// Where to listen with TLS as well; needs --tls-cert and --tls-key.
    #[arg(long, value_name = "ADDRESS", value_parser = input::listen, requires_all = ["tls_cert", "tls_key"])]
    pub(crate) tls_listen: Option<SocketAddr>,
    /// Certificate chain, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Log a line for each request: method, path, status, latency, verdict.
    #[arg(long)]
    pub(crate) access_log: bool,
    /// Where /metrics and /healthz are served; off by default.
    #[arg(long, value_name = "ADDRESS", value_parser = input::listen)]
    pub(crate) admin: Option<SocketAddr>,
    /// Name of the service in tokens, metrics and the ledger.
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) service: String,
    /// How long a bought token stays valid, like 1h; default: until revoked.
    #[arg(long, value_name = "DURATION", value_parser = input::duration)]
    pub(crate) valid_for: Option<Duration>,
    /// Requests one payment buys; default: as many as wanted.
    #[arg(long, value_name = "N")]
    pub(crate) max_uses: Option<std::num::NonZeroU64>,
    /// Worker threads, each with its own upstream connections; default: one per core.
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<std::num::NonZeroUsize>,
    /// How long an upstream may take to begin its response; default 60s.
    #[arg(long, value_name = "DURATION", value_parser = input::duration)]
    pub(crate) upstream_timeout: Option<Duration>,
    /// Challenges one client network may ask for in a minute.
    #[arg(long, value_name = "N")]
    pub(crate) challenges_per_minute: Option<std::num::NonZeroU32>,
    /// Do not count challenges to clients on this machine: for a proxy that limits in front.
    #[arg(long)]
    pub(crate) exempt_loopback: bool,
    /// Respond to a failing credential with 401 instead of 402.
    #[arg(long)]
    pub(crate) strict_status: bool,
    /// Leave out the LSAT challenge line that older clients need.
    #[arg(long)]
    pub(crate) no_lsat: bool,
    /// Where master key and ledger are kept; default: gateway in the tollway folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}
