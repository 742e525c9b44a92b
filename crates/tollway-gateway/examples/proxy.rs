//! A gateway in front of one service: `/health` is free, everything else costs 10 sat.
//!
//! ```sh
//! export SELLER_WALLET='lndconnect://…' MASTER_KEY=$(openssl rand -hex 32)
//! cargo run -p tollway-gateway --example proxy -- http://127.0.0.1:3000
//! ```
#![expect(clippy::print_stdout, reason = "prints where it listens")]

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::{env, io, thread};

use l402::{KeyRing, MasterKey};
use tollway_gateway::{
    Gateway, GatewayConfig, GatewayLimits, Price, ProxiesConfig, RouteConfig, RoutingConfig,
    ServiceConfig,
};
use tollway_lightning::lnd::{Lnd, LndConnect};
use tollway_server::ledger::MemoryLedger;
use tollway_server::{Gate, GateSettings, Requirement, Terms};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream = env::args().nth(1).ok_or("usage: proxy UPSTREAM")?;
    let health = RouteConfig {
        path_prefix: "/health".to_owned(),
        ..RouteConfig::new("api", Price::Free)
    };
    let gateway = Gateway::start(GatewayConfig {
        http: Some("127.0.0.1:8402".parse()?),
        https: None,
        admin: None,
        workers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        proxies: ProxiesConfig::default(),
        limits: GatewayLimits::default(),
        routing: RoutingConfig {
            services: vec![ServiceConfig::new("api", upstream.parse()?)],
            routes: vec![health, RouteConfig::new("api", price().await?)],
        },
    })?;
    println!("listening on {:?}, Enter stops", gateway.addresses().http);
    io::stdin().read_line(&mut String::new())?;
    gateway.stop().await;
    Ok(())
}

async fn price() -> Result<Price, Box<dyn Error>> {
    let setting = |name| env::var(name).map_err(|_unset| format!("set {name}"));
    let keys = KeyRing::new(MasterKey::from_hex(&setting("MASTER_KEY")?)?);
    let wallet = Lnd::new(&LndConnect::parse(&setting("SELLER_WALLET")?)?)?;
    // In memory, uses and revocations end with the process; SqliteLedger keeps them.
    let ledger = Arc::new(MemoryLedger::new());
    let settings = GateSettings::default();
    let gate = Gate::open(keys, Arc::new(wallet.invoicer()), ledger, settings).await?;
    Ok(Price::Paid {
        gate: Arc::new(gate),
        requirement: Box::new(Requirement::new("api".parse()?)),
        pricer: Arc::new(Terms::new("10 sat".parse()?)?),
    })
}
