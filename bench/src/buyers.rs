//! Buyers: each sends a request, pays the invoice of the 402, and sends the request again.
#![expect(clippy::print_stdout, reason = "the results are the output")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use http::{Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use l402::{Limits, Msat};
use serde::Serialize;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tollway_client::{Body, Client, Policy, WalletName};
use tollway_lightning::Payer;
use tollway_lightning::lnd::{Lnd, LndConnect};

use crate::latency::{Latencies, Percentiles};

/// The page to buy and the wallet to pay with.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Shop {
    /// The page.
    url: Uri,
    /// The wallet, an lndconnect URI.
    #[arg(long, env = "WALLET", hide_env_values = true)]
    wallet: String,
}

/// Number and concurrency of the purchases.
#[derive(Debug, clap::Args)]
pub(crate) struct Purchases {
    #[command(flatten)]
    shop: Shop,
    /// Concurrent purchases.
    #[arg(long)]
    at_once: NonZeroUsize,
    /// Total purchases.
    #[arg(long)]
    count: NonZeroUsize,
}

#[derive(Debug, Serialize)]
struct Outcome {
    requests: usize,
    seconds: f64,
    #[serde(flatten)]
    latency: Percentiles,
}

/// Buys, and prints the latencies.
///
/// # Errors
///
/// When a purchase fails.
pub(crate) fn purchases(args: &Purchases) -> Result<()> {
    let outcome = tokio::runtime::Runtime::new()?.block_on(buy_all(args))?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// Buys once, and prints the credential.
///
/// # Errors
///
/// When the purchase fails.
pub(crate) fn credential(shop: &Shop) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let buyer = Buyer::new(payer(shop)?)?;
        buyer.buy(&shop.url).await?;
        let bought = buyer.client.book().credentials()?;
        let token = bought.first().context("nothing was asked to be paid")?;
        println!("{}", token.authorization().to_str()?);
        Ok(())
    })
}

async fn buy_all(args: &Purchases) -> Result<Outcome> {
    let payer = payer(&args.shop)?;
    // The first purchase connects to the wallet; the next ones reuse the connection.
    Buyer::new(Arc::clone(&payer))?.buy(&args.shop.url).await?;

    let left = Arc::new(AtomicUsize::new(args.count.get()));
    let begun = Instant::now();
    let mut buyers = JoinSet::new();
    for _ in 0..args.at_once.get() {
        let (payer, url, left) = (Arc::clone(&payer), args.shop.url.clone(), Arc::clone(&left));
        buyers.spawn(keep_buying(payer, url, left));
    }
    let mut latencies = Latencies::default();
    while let Some(ended) = buyers.join_next().await {
        latencies.extend(ended??);
    }
    Ok(Outcome {
        requests: latencies.count(),
        seconds: begun.elapsed().as_secs_f64(),
        latency: latencies.percentiles(),
    })
}

async fn keep_buying(payer: Arc<dyn Payer>, url: Uri, left: Arc<AtomicUsize>) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    let take_one = |left: usize| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one)
        .is_ok()
    {
        let buyer = Buyer::new(Arc::clone(&payer))?;
        let begun = Instant::now();
        buyer.buy(&url).await?;
        latencies.add(begun.elapsed());
    }
    Ok(latencies)
}

/// A client that has bought nothing yet: it has its own storage on disk and shares its wallet
/// with the others.
struct Buyer {
    client: Client,
    _home: TempDir,
}

impl Buyer {
    fn new(payer: Arc<dyn Payer>) -> Result<Self> {
        let home = TempDir::new()?;
        let client = Client::builder(home.path(), Policy::new(LIMITS))
            .wallet(payer, WalletName::new("bench"))
            .build();
        Ok(Self {
            client,
            _home: home,
        })
    }

    async fn buy(&self, url: &Uri) -> Result<()> {
        let request = Request::get(url.clone()).body(Body::empty())?;
        let response = self.client.send(request).await?;
        let status = response.status();
        ensure!(
            status == StatusCode::OK,
            "the page was served with {status}"
        );
        response.into_body().collect().await?;
        Ok(())
    }
}

fn payer(shop: &Shop) -> Result<Arc<dyn Payer>> {
    let wallet = LndConnect::parse(&shop.wallet)?;
    Ok(Arc::new(Lnd::new(&wallet)?.payer()))
}

const LIMITS: Limits = Limits {
    price_max: Msat::from_msat(1_000_000),
    fee_max: Msat::from_msat(10_000),
    per_host: None,
    per_day: None,
    total: None,
};
