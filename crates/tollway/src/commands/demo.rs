//! `tollway demo`: one whole paid request, step by step, on a private Lightning network.
//!
//! Everything is real but the worth of the coins: two nodes, a channel, an invoice, a
//! payment, a gateway and a client, each the same code as in earnest.

mod sample_api;
mod steps;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use l402::{KeyRing, MasterKey};
use tollway_client::{Body, Client, Policy, WalletName};
use tollway_gateway::{
    Gateway, GatewayConfig, GatewayLimits, Price, ProxiesConfig, RoutingConfig, Running,
    ServiceConfig, StartError,
};
use tollway_lightning::Invoicer;
use tollway_sandbox::lnd::files::manifest::Manifest;
use tollway_sandbox::lnd::{LndSandbox, Ports};
use tollway_server::ledger::MemoryLedger;
use tollway_server::{Gate, GateSettings, Requirement, Terms};

use self::sample_api::SampleApi;
use self::steps::Steps;
use crate::cli::DemoArgs;
use crate::commands::get;
use crate::commands::sandbox;
use crate::commands::serve::failure::listen;
use crate::commands::serve::stop::{StopTimes, stop};
use crate::config::Config;
use crate::exit::{Failure, with_sources};
use crate::output::Output;
use crate::paths::Dirs;
use crate::shutdown::Shutdown;
use crate::wallet::Wallets;

/// Starts everything, buys once, and keeps serving unless it was asked for once.
pub(crate) async fn run(args: &DemoArgs, dirs: &Dirs, output: Output) -> Result<(), Failure> {
    let steps = Steps::new(output);
    let folder = tempfile::tempdir().map_err(Failure::general)?;
    let sandbox_dir = dirs.sandbox();
    let network = open_network(&sandbox_dir, &steps).await?;
    let config = Config::default();
    let wallets = Wallets {
        config: &config,
        sandbox: &sandbox_dir,
    };

    let api = SampleApi::start().await?;
    steps.done("sample API", &format!("http://{}", api.address()));
    let invoicer = wallets.invoicer("sandbox:seller").await?.invoicer;
    let gateway = open_gateway(args, &api, invoicer).await?;
    let address = gateway.addresses().http.unwrap_or(args.listen);
    steps.done(
        "gateway",
        &format!("http://{address} charges {} a token", args.price),
    );

    let url = format!("http://{address}/joke");
    buy(&url, folder.path(), &wallets, &steps).await?;
    let mut shutdown = Shutdown::catch();
    if !args.once {
        steps.invite(&url);
        shutdown.requested().await;
    }
    let times = StopTimes {
        delay: Duration::ZERO,
        drain: GatewayLimits::default().drain_timeout,
    };
    let stopped = stop(gateway, times, &mut shutdown, output).await;
    api.stop().await;
    match network {
        Some(network) => sandbox::stop(network, &mut shutdown).await.and(stopped),
        None => stopped,
    }
}

/// Starts a sandbox, unless one is running already.
async fn open_network(dir: &Path, steps: &Steps) -> Result<Option<LndSandbox>, Failure> {
    if let Ok(running) = Manifest::find(dir).await {
        steps.done(
            "sandbox",
            &format!(
                "running already (process {}); its coins are worthless",
                running.pid
            ),
        );
        return Ok(None);
    }
    let usual = Ports {
        seller: 10_009,
        buyer: 10_010,
    };
    let network = match sandbox::start(dir, usual).await {
        Ok(network) => network,
        // Another node may have those ports; the demo does not care which it gets.
        Err(_taken) => sandbox::start(dir, Ports::ANY).await?,
    };
    let addresses: Vec<String> = network
        .servers()
        .iter()
        .map(|server| format!("{} {}", server.name(), server.access().address))
        .collect();
    steps.done(
        "sandbox",
        &format!(
            "a private Lightning network, its coins are worthless: {}",
            addresses.join(", ")
        ),
    );
    Ok(Some(network))
}

async fn open_gateway(
    args: &DemoArgs,
    api: &SampleApi,
    invoicer: Arc<dyn Invoicer>,
) -> Result<Running, Failure> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(Failure::general)?;
    let keys = KeyRing::new(MasterKey::new(key));
    let gate = Gate::open(
        keys,
        invoicer,
        Arc::new(MemoryLedger::new()),
        GateSettings::default(),
    )
    .await
    .map_err(Failure::general)?;
    let service = "demo".parse().map_err(Failure::general)?;
    let terms = Terms::new(args.price).map_err(Failure::usage)?;
    let price = Price::Paid {
        gate: Arc::new(gate),
        requirement: Box::new(Requirement::new(service)),
        pricer: Arc::new(terms),
    };
    let upstream = format!("http://{}", api.address());
    let upstream = upstream.parse().map_err(Failure::general)?;
    let config = GatewayConfig {
        http: Some(args.listen),
        https: None,
        admin: None,
        workers: NonZeroUsize::MIN,
        proxies: ProxiesConfig::default(),
        limits: GatewayLimits::default(),
        routing: RoutingConfig::single(ServiceConfig::new("demo", upstream), price),
    };
    Gateway::start(config).map_err(|error| match &error {
        StartError::Listen { address, source } => listen(*address, source, "--listen"),
        error @ (StartError::NothingToListenOn
        | StartError::OwnUpstream { .. }
        | StartError::Routing(_)
        | StartError::Thread(_)
        | StartError::Tls(_)
        | _) => Failure::general(with_sources(error)),
    })
}

/// Buys one response as any client would, with a book of its own.
async fn buy(
    url: &str,
    folder: &Path,
    wallets: &Wallets<'_>,
    steps: &Steps,
) -> Result<(), Failure> {
    let (payer, name) = wallets.payer("sandbox:buyer")?;
    let observer = steps.clone();
    let client = Client::builder(folder, Policy::default())
        .wallet(payer, WalletName::new(&name))
        .observe(move |event| observer.show(event))
        .build();
    let request = Request::get(url)
        .body(Body::empty())
        .map_err(Failure::general)?;
    let response = client.send(request).await.map_err(get::failure::of)?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(Failure::general)?
        .to_bytes();
    if status != StatusCode::OK {
        return Err(Failure::general(format!(
            "the server responded {status} to the paid request"
        )));
    }
    steps.done("response", String::from_utf8_lossy(&body).trim());
    Ok(())
}
