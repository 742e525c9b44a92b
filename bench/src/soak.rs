//! Mixed traffic of paying customers, for as long as it is wanted, with every request counted.
//!
//! HTTP/1.1 and HTTP/2, gRPC streams, WebSockets, uploads, events, clients that leave early and
//! clients that do not pay. Responses may fail while the upstream restarts: what is wanted of
//! each request is that the proxy counts it once.
#![expect(clippy::print_stdout, reason = "the counts are the output")]

mod clients;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};

use clients::{Client, Ended};

/// The proxy and its customers.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where it serves without TLS.
    #[arg(long)]
    proxy: SocketAddr,
    /// The value of the customers' `Authorization` line.
    #[arg(long, env = "CUSTOMER", hide_env_values = true)]
    customer: String,
    /// How long.
    #[arg(long)]
    seconds: f64,
}

/// The requests of one kind of client.
#[derive(Clone, Debug, Default, Serialize)]
struct Counts {
    /// Heads that were sent whole.
    sent: u64,
    /// Complete responses, whatever their status.
    complete: u64,
    /// Responses that the client left.
    left: u64,
    /// Responses that were cut short, or that never began.
    broken: u64,
    /// Those that the proxy may not have read.
    lost: u64,
    /// Complete responses by status.
    statuses: BTreeMap<u16, u64>,
}

impl Counts {
    fn add(&mut self, ended: &Ended) {
        let counter = match ended {
            Ended::Unsent => return,
            Ended::Complete(status) => {
                let times = self.statuses.entry(*status).or_default();
                *times = times.saturating_add(1);
                &mut self.complete
            }
            Ended::Left => &mut self.left,
            Ended::Broken => &mut self.broken,
            Ended::Lost => &mut self.lost,
        };
        *counter = counter.saturating_add(1);
        self.sent = self.sent.saturating_add(1);
    }
}

/// Sends traffic, and prints the counts.
///
/// # Errors
///
/// When the proxy is not this machine.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.proxy.ip().is_loopback(), "only for this machine");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let counts = runtime.block_on(traffic(args))?;
    println!("{}", serde_json::to_string(&counts)?);
    Ok(())
}

async fn traffic(args: &Args) -> Result<BTreeMap<&'static str, Counts>> {
    let args = Arc::new(args.clone());
    let length = Duration::try_from_secs_f64(args.seconds)?;
    let until = Instant::now().checked_add(length).context("too long")?;
    let mut clients = JoinSet::new();
    for client in Client::ALL {
        let args = Arc::clone(&args);
        clients.spawn(async move { (client.name(), keep_on(client, &args, until).await) });
    }
    let mut counts = BTreeMap::new();
    while let Some(ended) = clients.join_next().await {
        let (name, counted) = ended?;
        counts.insert(name, counted);
    }
    Ok(counts)
}

async fn keep_on(client: Client, args: &Args, until: Instant) -> Counts {
    let mut counts = Counts::default();
    let mut kept = None;
    while Instant::now() < until {
        counts.add(&client.ask(args, &mut kept).await);
        sleep(PAUSE).await;
    }
    counts
}

const PAUSE: Duration = Duration::from_millis(10);
