//! `tollway serve`: puts a price on the service behind a URL.

mod announce;
pub(crate) mod failure;
pub(crate) mod stop;

use std::future::pending;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use l402::{LegacyLsat, Msat, Network};
use tollway_gateway::{
    Gateway, GatewayConfig, GatewayLimits, Price, ProxiesConfig, ProxyProtocol, RoutingConfig,
    Running, ServiceConfig, TlsListener, TrustedProxies,
};
use tollway_lightning::Invoicer;
use tollway_lightning::registry::Allowance;
use tollway_server::ledger::{Offer, Sale as RecordedSale};
use tollway_server::respond::StatusStyle;
use tollway_server::{
    ChallengeLimit, DataDir, DataDirError, Gate, GateSettings, Loopback, Requirement, Terms,
};

use self::announce::{SaleFacts, Started, announce};
use self::stop::StopTimes;
use crate::cli::ServeArgs;
use crate::config::Config;
use crate::exit::{Failure, with_sources};
use crate::output::Output;
use crate::paths::Dirs;
use crate::shutdown::Shutdown;
use crate::wallet::{self, OpenInvoicer, Wallets};

/// Serves until the process is asked to stop, then lets what is in flight finish.
pub(crate) async fn run(
    args: &ServeArgs,
    config: &Config,
    dirs: &Dirs,
    output: Output,
) -> Result<(), Failure> {
    let data_dir = args.data_dir.clone().unwrap_or_else(|| dirs.gateway());
    let sale = match args.price {
        Some(price) => Some(Sale::open(args, price, config, dirs).await?),
        None => None,
    };
    let facts = sale.as_ref().map(|sale| sale.facts(args, &data_dir));
    let (running, failed) = start(args, config, sale, &data_dir).await?;
    let mut shutdown = Shutdown::catch();
    let started = Started {
        args,
        addresses: running.addresses(),
        upstream: service(args, config).limits,
        limits: limits(args, config),
        proxies: proxies(args, config),
        down: running.check_upstreams().await,
        sale: facts,
    };
    announce(&started, output)?;
    let failed = tokio::select! {
        () = shutdown.requested() => None,
        part = failed => Some(part),
        () = running.failed() => Some("a listener"),
    };
    let times = StopTimes {
        delay: match failed {
            None => args.drain_delay.unwrap_or_default(),
            // There is no use in more requests.
            Some(_) => Duration::ZERO,
        },
        drain: started.limits.drain_timeout,
    };
    let stopped = stop::stop(running, times, &mut shutdown, output).await;
    match failed {
        Some(part) => Err(Failure::general(format!(
            "{part} has stopped, the log has the reason: start the gateway again"
        ))),
        None => stopped,
    }
}

/// What is sold, and who is paid.
struct Sale {
    requirement: Requirement,
    terms: Terms,
    invoicer: Arc<dyn Invoicer>,
    network: Network,
    wallet: String,
    allowance: Option<Allowance>,
}

impl Sale {
    async fn open(
        args: &ServeArgs,
        price: Msat,
        config: &Config,
        dirs: &Dirs,
    ) -> Result<Self, Failure> {
        let sandbox = dirs.sandbox();
        let wallets = Wallets {
            config,
            sandbox: &sandbox,
        };
        let wallet = args
            .wallet
            .as_deref()
            .or(config.serve.wallet.as_deref())
            .unwrap_or(SELLER);
        let OpenInvoicer {
            invoicer,
            name,
            allowance,
        } = wallets.invoicer(wallet).await?;
        let network = invoicer
            .network()
            .await
            .map_err(|error| wallet::failure(&name, &error))?;
        Ok(Self {
            requirement: Requirement::new(args.service.parse().map_err(Failure::usage)?),
            terms: terms(args, price)?,
            invoicer,
            network,
            wallet: name,
            allowance,
        })
    }

    /// Returns what is printed of it.
    fn facts<'a>(&self, args: &ServeArgs, data_dir: &'a Path) -> SaleFacts<'a> {
        SaleFacts {
            price: self.terms.price(),
            network: self.network,
            wallet: self.wallet.clone(),
            allowance: self.allowance.clone(),
            challenges: challenge_limit(args),
            data_dir,
        }
    }

    /// Returns what the ledger records of it.
    fn recorded(&self, args: &ServeArgs) -> RecordedSale {
        let requirement = &self.requirement;
        RecordedSale {
            network: self.network,
            offers: vec![Offer {
                service: requirement.service().clone(),
                tier: requirement.tier(),
                capability: requirement.capability().cloned(),
                price: self.terms.price(),
                upstream: args.upstream.to_string(),
            }],
        }
    }

    /// Opens the books and the gate. Returns what waits until one of them has failed, too.
    async fn price(
        self,
        args: &ServeArgs,
        config: &Config,
        data_dir: &Path,
    ) -> Result<(Price, Failed), Failure> {
        let settings = settings(args, config);
        let DataDir { keys, ledger } =
            DataDir::open_to_sell(data_dir, Some(&self.recorded(args))).map_err(unusable)?;
        let failed = first_failed(keys.stopped(), ledger.stopped()).boxed();
        let gate = Gate::open(keys, self.invoicer, Arc::new(ledger), settings)
            .await
            .map_err(Failure::caused)?;
        let price = Price::Paid {
            gate: Arc::new(gate),
            requirement: Box::new(self.requirement),
            pricer: Arc::new(self.terms),
        };
        Ok((price, failed))
    }
}

/// Returns why keys and ledger cannot be used.
fn unusable(error: DataDirError) -> Failure {
    let message = with_sources(&error);
    if matches!(error, DataDirError::Keys(_)) {
        return Failure::usage(message);
    }
    Failure::general(message)
}

/// Returns the name of what has failed, once something has.
type Failed = BoxFuture<'static, &'static str>;

async fn first_failed(
    keys: impl Future<Output = ()>,
    ledger: impl Future<Output = ()>,
) -> &'static str {
    tokio::select! {
        () = keys => "the thread that follows the key file",
        () = ledger => "the thread of the ledger",
    }
}

/// Starts the gateway in front of the upstream.
async fn start(
    args: &ServeArgs,
    config: &Config,
    sale: Option<Sale>,
    data_dir: &Path,
) -> Result<(Running, Failed), Failure> {
    let (price, failed) = match sale {
        Some(sale) => sale.price(args, config, data_dir).await?,
        None => (Price::Free, pending().boxed()),
    };
    let gateway = GatewayConfig {
        http: Some(args.listen),
        https: tls_listener(args)?,
        admin: args.admin,
        workers: args.workers.unwrap_or_else(one_a_core),
        proxies: proxies(args, config),
        limits: limits(args, config),
        routing: RoutingConfig::single(service(args, config), price),
    };
    let running = Gateway::start(gateway).map_err(|error| failure::of(&error, args))?;
    Ok((running, failed))
}

fn limits(args: &ServeArgs, config: &Config) -> GatewayLimits {
    let mut limits = config.serve.limits();
    if let Some(drain) = args.drain_timeout {
        limits.drain_timeout = drain;
        limits.tunnel_drain_timeout = limits.tunnel_drain_timeout.min(drain);
    }
    limits
}

fn proxies(args: &ServeArgs, config: &Config) -> ProxiesConfig {
    let configured = config.serve.proxies();
    let named: TrustedProxies = args.trusted_proxy.iter().copied().collect();
    ProxiesConfig {
        trusted: match named.is_empty() {
            true => configured.trusted,
            false => named,
        },
        protocol: match args.proxy_protocol {
            true => ProxyProtocol::Required,
            false => configured.protocol,
        },
    }
}

fn terms(args: &ServeArgs, price: Msat) -> Result<Terms, Failure> {
    let mut terms = Terms::new(price).map_err(Failure::usage)?;
    let validity = args.valid_for.map(|validity| validity.as_secs());
    if let Some(secs) = validity.and_then(NonZeroU64::new) {
        terms = terms.with_validity_secs(secs);
    }
    if let Some(uses) = args.max_uses {
        terms = terms.with_uses_max(uses);
    }
    Ok(terms)
}

fn settings(args: &ServeArgs, config: &Config) -> GateSettings {
    GateSettings {
        challenge_limit: challenge_limit(args),
        lsat: if args.no_lsat {
            LegacyLsat::Omit
        } else {
            LegacyLsat::Emit
        },
        status: if args.strict_status {
            StatusStyle::Strict401
        } else {
            StatusStyle::Lenient402
        },
        ..config.serve.gate()
    }
}

fn challenge_limit(args: &ServeArgs) -> ChallengeLimit {
    let usual = ChallengeLimit::default();
    ChallengeLimit {
        per_minute: args.challenges_per_minute.unwrap_or(usual.per_minute),
        // All of a minute's at once, and no more.
        burst: args.challenges_per_minute.unwrap_or(usual.burst),
        loopback: if args.exempt_loopback {
            Loopback::Exempt
        } else {
            Loopback::Limited
        },
    }
}

fn service(args: &ServeArgs, config: &Config) -> ServiceConfig {
    let mut service = ServiceConfig::new(&args.service, args.upstream.clone());
    service.limits = config.serve.upstream_limits();
    service.upstream_host = config.serve.upstream_host();
    if let Some(timeout) = args.upstream_timeout {
        service.limits.response_timeout = timeout;
    }
    service
}

fn tls_listener(args: &ServeArgs) -> Result<Option<TlsListener>, Failure> {
    let given = |file: &Option<PathBuf>, name: &str| {
        file.clone()
            .ok_or_else(|| Failure::usage(format!("--tls-listen needs {name} as well")))
    };
    args.tls_listen
        .map(|address| {
            let certificate = given(&args.tls_cert, "--tls-cert")?;
            let key = given(&args.tls_key, "--tls-key")?;
            Ok(TlsListener {
                address,
                certificate,
                key,
            })
        })
        .transpose()
}

fn one_a_core() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The wallet that is paid when none is named.
const SELLER: &str = "sandbox:seller";
