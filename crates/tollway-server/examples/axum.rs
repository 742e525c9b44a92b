//! A service with one priced route. Paste `paywall` and its line in `main` into your own.
//!
//! ```sh
//! export SELLER_WALLET='lndconnect://…' MASTER_KEY=$(openssl rand -hex 32)
//! cargo run -p tollway-server --example axum
//! ```
#![expect(clippy::print_stdout, reason = "prints where it listens")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::{env, sync::Arc};

use axum::extract::ConnectInfo;
use axum::{Extension, Router, routing::get};
use l402::{Grant, KeyRing, MasterKey};
use tokio::net::TcpListener;
use tollway_lightning::lnd::{Lnd, LndConnect};
use tollway_server::ledger::SqliteLedger;
use tollway_server::paywall::PaywallLayer;
use tollway_server::{Gate, GateSettings, Peer, Requirement, Terms};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = Router::new()
        .route("/weather", get(weather).layer(paywall().await?))
        .route("/", get(|| async { "/weather costs 10 sat\n" }));

    let listen = env::var("LISTEN").unwrap_or("127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).await?)
}

async fn paywall() -> Result<PaywallLayer, Box<dyn Error>> {
    let setting = |name| env::var(name).map_err(|_unset| format!("set {name}"));
    // With this key anyone can mint tokens; without it, none that were sold are honoured.
    let keys = KeyRing::new(MasterKey::from_hex(&setting("MASTER_KEY")?)?);
    let wallet = Lnd::new(&LndConnect::parse(&setting("SELLER_WALLET")?)?)?;
    let wallet = Arc::new(wallet.invoicer());
    let ledger = Arc::new(SqliteLedger::open(Path::new("ledger.db"))?);
    let gate = Gate::open(keys, wallet, ledger, GateSettings::default()).await?;
    let requirement = Requirement::new("weather".parse()?);
    let terms = Terms::new("10 sat".parse()?)?;
    let paywall = PaywallLayer::new(Arc::new(gate), requirement, terms);
    Ok(paywall.with_peer_of(|request| {
        let peer = request.get::<ConnectInfo<SocketAddr>>();
        peer.map_or_else(Peer::default, |peer| Peer::at(peer.0.ip()))
    }))
}

async fn weather(Extension(grant): Extension<Grant>) -> String {
    format!("sunny, for the holder of {}\n", grant.identifier().token_id)
}
