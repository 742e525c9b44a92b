//! `tollway serve`: puts a price on the service behind a URL.

use std::future::pending;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use l402::{LegacyLsat, Msat, Network};
use tollway_gateway::{
    Addresses, Gateway, GatewayConfig, GatewayLimits, Price, RoutingConfig, Running, ServiceConfig,
    TlsListener,
};
use tollway_lightning::Invoicer;
use tollway_server::ledger::{Offer, Sale as RecordedSale};
use tollway_server::respond::StatusStyle;
use tollway_server::{
    ChallengeLimit, DataDir, DataDirError, Gate, GateSettings, Loopback, Requirement, Terms,
};

use crate::cli::ServeArgs;
use crate::config::Config;
use crate::exit::{Failure, with_sources};
use crate::output::Output;
use crate::paths::Dirs;
use crate::shutdown::Shutdown;
use crate::wallet::{self, Wallets};

/// Serves until the process is asked to stop, then lets what is in flight finish.
pub(crate) async fn run(
    args: &ServeArgs,
    config: &Config,
    dirs: &Dirs,
    output: Output,
) -> Result<(), Failure> {
    let sale = match args.price {
        Some(price) => Some(Sale::open(args, price, config, dirs).await?),
        None => None,
    };
    let network = sale.as_ref().map(|sale| sale.network);
    let (running, failed) = start(args, sale, dirs).await?;
    let shutdown = Shutdown::catch();
    announce(args, network, running.addresses(), output)?;
    let failed = tokio::select! {
        () = shutdown.requested() => None,
        part = failed => Some(part),
        () = running.failed() => Some("a listener"),
    };
    output.note("stopping: requests under way may finish");
    let stopped = running.stop().await;
    if let Some(part) = failed {
        return Err(Failure::general(format!(
            "{part} has stopped, the log has the reason: start the gateway again"
        )));
    }
    match stopped.connections_cut_off {
        0 => Ok(()),
        cut_off => Err(Failure::general(format!(
            "{cut_off} connections did not finish in time and were cut off"
        ))),
    }
}

/// What is sold, and who is paid.
struct Sale {
    requirement: Requirement,
    terms: Terms,
    invoicer: Arc<dyn Invoicer>,
    network: Network,
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
        let (invoicer, name) = wallets.invoicer(wallet).await?;
        let network = invoicer
            .network()
            .await
            .map_err(|error| wallet::failure(&name, &error))?;
        Ok(Self {
            requirement: Requirement::new(args.service.parse().map_err(Failure::usage)?),
            terms: terms(args, price)?,
            invoicer,
            network,
        })
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
    async fn price(self, args: &ServeArgs, dirs: &Dirs) -> Result<(Price, Failed), Failure> {
        let data_dir = args.data_dir.clone().unwrap_or_else(|| dirs.gateway());
        let DataDir { keys, ledger } =
            DataDir::open_to_sell(&data_dir, Some(&self.recorded(args))).map_err(unusable)?;
        let failed = first_failed(keys.stopped(), ledger.stopped()).boxed();
        let gate = Gate::open(keys, self.invoicer, Arc::new(ledger), settings(args))
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
    sale: Option<Sale>,
    dirs: &Dirs,
) -> Result<(Running, Failed), Failure> {
    let (price, failed) = match sale {
        Some(sale) => sale.price(args, dirs).await?,
        None => (Price::Free, pending().boxed()),
    };
    let config = GatewayConfig {
        http: Some(args.listen),
        https: tls_listener(args)?,
        admin: args.admin,
        workers: args.workers.unwrap_or_else(one_a_core),
        limits: GatewayLimits::default(),
        routing: RoutingConfig::single(service(args), price),
    };
    let running = Gateway::start(config).map_err(|error| {
        Failure::general(format!(
            "{} (--listen, --tls-listen and --admin choose the addresses)",
            with_sources(&error)
        ))
    })?;
    Ok((running, failed))
}

fn announce(
    args: &ServeArgs,
    network: Option<Network>,
    addresses: Addresses,
    output: Output,
) -> Result<(), Failure> {
    let shown = addresses.http.unwrap_or(args.listen);
    let terms = match (args.price, network) {
        (Some(price), Some(network)) => format!("for {price} a token, paid on {network}"),
        _ => "for free".to_owned(),
    };
    output.line(
        &format!("serving {} on http://{shown} {terms}", args.upstream),
        &serde_json::json!({
            "http": addresses.http,
            "https": addresses.https,
            "admin": addresses.admin,
            "network": network.map(Network::name),
            "price_msat": args.price.map_or(0, Msat::as_msat),
        }),
    )
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

fn settings(args: &ServeArgs) -> GateSettings {
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
        ..GateSettings::default()
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

fn service(args: &ServeArgs) -> ServiceConfig {
    let mut service = ServiceConfig::new(&args.service, args.upstream.clone());
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
