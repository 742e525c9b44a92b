//! Commands and arguments. Each command's work is in its file in `commands/`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use l402::{Msat, UnixSeconds};
use tollway_gateway::Upstream;
use tollway_server::keys::file::KeyId;

use crate::input::condition;
use crate::{exit, input, moment};

/// Charge for HTTP and gRPC APIs over Lightning, and pay for them.
#[derive(Debug, Parser)]
#[command(name = "tollway", version, propagate_version = true, after_long_help = exit::help())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print results and errors as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log more: -v what happened, -vv each request, -vvv everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The configuration file; default: config.toml in the tollway folder.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Returns what is wrong with a command line, without the usage that follows it.
pub(crate) fn message_of(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let message = text.split("\n\nUsage:").next().unwrap_or(text);
    let message = message.split("\n\nFor more information").next();
    let lines = message.unwrap_or(text).lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a whole paid request on a private Lightning network, then keep serving.
    Demo(DemoArgs),
    /// Fetch a URL, paying for it when asked and allowed.
    #[command(after_help = exit::help())]
    Get(GetArgs),
    /// Show, rotate and remove the master keys of a gateway.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show purchases, and end those that nothing can look up.
    #[command(subcommand)]
    Purchases(PurchasesCommand),
    /// Run a private Lightning network with two funded wallets. Its coins are worthless.
    Sandbox(SandboxArgs),
    /// Put a price on an HTTP or gRPC service.
    Serve(ServeArgs),
    /// List stored tokens; explain, narrow, check or revoke a token.
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Exit after the paid request, with an error if any step failed.
    #[arg(long)]
    pub(crate) once: bool,
    /// Where the gateway listens: IP:PORT, or a port of this machine.
    #[arg(long, default_value = "127.0.0.1:8402", value_name = "ADDRESS", value_parser = input::listen)]
    pub(crate) listen: SocketAddr,
    /// Price of one token.
    #[arg(long, default_value = "10sat", value_name = "AMOUNT")]
    pub(crate) price: Msat,
}

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

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List the ids of the keys, newest first.
    List(KeysArgs),
    /// Remove a retired key: every token it minted becomes invalid.
    Remove(RemoveKeyArgs),
    /// Make a new key mint, and retire the one that does: its tokens stay valid, later ones
    /// under it are forged.
    #[command(visible_alias = "retire")]
    Rotate(KeysArgs),
}

#[derive(Args, Debug)]
pub(crate) struct KeysArgs {
    /// The gateway's directory; default: gateway in the tollway folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveKeyArgs {
    /// The id of the key, as `tollway keys list` shows it.
    pub(crate) id: KeyId,
    #[command(flatten)]
    pub(crate) keys: KeysArgs,
}

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

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Add caveats: the result can do less, never more.
    #[command(after_help = condition::help())]
    Attenuate(AttenuateArgs),
    /// Show what a token, credential or challenge contains.
    Inspect(InspectArgs),
    /// List the stored tokens: what was bought, where, and how long it is good for.
    List,
    /// Remove a stored token, so that it is not presented again. What it cost still counts.
    Remove(StoredTokenArgs),
    /// Make a token invalid, or all minted before a moment; running gateways follow.
    Revoke(RevokeArgs),
    /// Show a stored token with its credential, which can be spent by anyone who sees it.
    Show(ShowTokenArgs),
    /// Check a token or credential against a key.
    Verify(Box<VerifyArgs>),
}

#[derive(Args, Debug)]
pub(crate) struct StoredTokenArgs {
    /// The ID that `tollway token list` shows, or the beginning of it.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Args, Debug)]
pub(crate) struct ShowTokenArgs {
    /// The ID that `tollway token list` shows, or the beginning of it.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Print the `Authorization` line alone, for `curl -H "$(tollway token show ID --header)"`.
    #[arg(long)]
    pub(crate) header: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AttenuateArgs {
    /// The ID of a stored token, a token (base64, hex or JSON), `token:preimage` or an
    /// `Authorization` line; `-` reads standard input.
    pub(crate) token: String,
    /// Conditions to add, like `path=/v1` or `expires=1h`; the list is below.
    #[arg(required = true, value_name = "NAME=VALUE")]
    pub(crate) caveats: Vec<String>,
    /// Add what a tollway gateway does not know or would refuse, for another verifier.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The ID of a stored token, a token (base64, hex or JSON), `token:preimage`, an
    /// `Authorization` or a `WWW-Authenticate` line; `-` reads standard input.
    pub(crate) token: String,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("revoked").required(true))]
pub(crate) struct RevokeArgs {
    /// A token id, the ID of a stored token, a token (base64, hex or JSON), `token:preimage`
    /// or an `Authorization` line; `-` reads standard input.
    #[arg(group = "revoked")]
    pub(crate) token: Option<String>,
    /// Revoke every token minted before this moment, a date or Unix seconds.
    #[arg(long, group = "revoked", value_name = "MOMENT", value_parser = moment::parse)]
    pub(crate) minted_before: Option<UnixSeconds>,
    /// The gateway's directory; default: gateway in the tollway folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The ID of a stored token, a token (base64, hex or JSON), `token:preimage` or an
    /// `Authorization` line; `-` reads standard input.
    pub(crate) token: String,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// The service the request is for.
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) service: String,
    /// The capability the route needs.
    #[arg(long, value_name = "NAME")]
    pub(crate) capability: Option<String>,
    /// The method of the request.
    #[arg(long, default_value = "GET", value_name = "METHOD")]
    pub(crate) method: String,
    /// The path of the request.
    #[arg(long, default_value = "/", value_name = "PATH")]
    pub(crate) path: String,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<IpAddr>,
    /// The request's Origin header.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: Option<String>,
    /// When the request arrives, a date or Unix seconds; default now.
    #[arg(long, value_name = "MOMENT", value_parser = moment::parse)]
    pub(crate) at: Option<UnixSeconds>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct KeyArgs {
    /// The gateway's master key file.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The master key in hexadecimal. Other users of this machine can see it: prefer --key-file.
    #[arg(long, value_name = "HEX")]
    pub(crate) key: Option<String>,
    /// This one token's root key in hexadecimal.
    #[arg(long, value_name = "HEX")]
    pub(crate) root_key: Option<String>,
}
