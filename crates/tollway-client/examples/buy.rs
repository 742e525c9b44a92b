//! Fetches a page, and pays up to 100 sat for it when asked to.
//!
//! ```sh
//! export BUYER_WALLET='lndconnect://…'
//! cargo run -p tollway-client --example buy -- https://api.example/report
//! ```
#![expect(clippy::print_stdout, reason = "prints what was bought")]

use std::env;
use std::error::Error;
use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt as _;
use l402::Limits;
use tollway_client::{Body, Client, DEFAULT_LIMITS, Policy, WalletName};
use tollway_lightning::lnd::{Lnd, LndConnect};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: buy URL")?;
    let wallet = env::var("BUYER_WALLET").map_err(|_unset| "set BUYER_WALLET")?;
    let payer = Lnd::new(&LndConnect::parse(&wallet)?)?.payer();
    let policy = Policy::new(Limits {
        price_max: "100 sat".parse()?,
        ..DEFAULT_LIMITS
    });
    // Purchases and credentials are kept here, so that the next run pays nothing.
    let client = Client::builder("purchases", policy)
        .wallet(Arc::new(payer), WalletName::new("example"))
        .observe(|event| println!("{event:?}"))
        .build();
    let response = client.send(Request::get(url).body(Body::empty())?).await?;
    println!("{}", response.status());
    let page = response.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&page));
    client.finish().await;
    Ok(())
}
