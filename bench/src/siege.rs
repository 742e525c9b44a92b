//! Siege: an attack on a proxy while paying customers use it.
//!
//! `tollway-bench upstream` is the upstream of both. `tollway-bench siege` runs customers before,
//! during and after one attack and prints their figures as JSON. Attackers and customers have
//! different addresses of this machine, so that limits for one address can tell them apart.
//!
//! Everything goes to 127.0.0.0/8 and ends by itself.
#![expect(clippy::print_stdout, reason = "the results are the output")]

mod attack;
mod customers;
mod floods;
#[path = "../../crates/tollway-gateway/tests/support/frames.rs"]
mod frames;
mod made;
mod silent;
mod slow;
mod socket;
mod tls;
mod unpaid;
mod unread;
mod window;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use attack::Attack;
pub(crate) use customers::ITEM_BYTES;
use customers::{Customers, Phase, PhaseFigures};
use made::Made;
use socket::Side;

/// One attack on one proxy.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// What the attackers do.
    #[arg(long)]
    attack: Attack,
    /// How many: connections, streams or requests, as the attack counts.
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// Seconds of the attack, at most.
    #[arg(long)]
    seconds: f64,
    /// Seconds before the attack, and after it.
    #[arg(long)]
    around: f64,
    /// Whether there are gRPC customers too.
    #[arg(long)]
    grpc: bool,
}

/// The proxy, and what buys its pages.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// Where it serves HTTP/1.1.
    #[arg(long)]
    http1: SocketAddr,
    /// Where it serves HTTP/2 with prior knowledge.
    #[arg(long)]
    http2: SocketAddr,
    /// Where it serves with TLS: HTTP/2 or HTTP/1.1.
    #[arg(long)]
    https: SocketAddr,
    /// The certificate that it has, PEM.
    #[arg(long)]
    certificate: PathBuf,
    /// The value of the customers' `Authorization` line.
    #[arg(long, env = "CUSTOMER", hide_env_values = true)]
    customer: String,
    /// The value of the attackers' `Authorization` line, in the attacks that are paid for.
    #[arg(long, env = "ATTACKER", hide_env_values = true)]
    attacker: String,
    /// How many addresses the attackers have.
    #[arg(long, default_value = "1")]
    addresses: NonZeroU16,
}

impl Target {
    /// Returns the address of the attacker with this number.
    fn attacker_at(&self, number: usize) -> Side {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        Side::Attacker(number % self.addresses)
    }
}

#[derive(Debug, Serialize)]
struct Outcome {
    phases: Vec<PhaseFigures>,
    attack: Made,
}

/// Runs the siege and prints its outcome.
///
/// # Errors
///
/// When a target is not this machine, or the first customers are not served.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Target {
        http1,
        http2,
        https,
        ..
    } = args.target;
    let mut addresses = [http1, http2, https].into_iter();
    ensure!(
        addresses.all(|address| address.ip().is_loopback()),
        "only this machine is attacked"
    );
    socket::raise_descriptor_limit();
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(besiege(args))?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

async fn besiege(args: &Args) -> Result<Outcome> {
    let target = Arc::new(args.target.clone());
    let around = Duration::try_from_secs_f64(args.around)?;
    let length = Duration::try_from_secs_f64(args.seconds)?;
    let customers = Customers::open(&target, args.grpc)?;

    sleep(around).await;
    customers.enter(Phase::During);
    let until = Instant::now().checked_add(length).context("too long")?;
    let attack = args.attack.run(&target, args.count, until).await;
    customers.enter(Phase::After);
    sleep(around).await;

    Ok(Outcome {
        phases: customers.close().await?,
        attack: attack.unwrap_or_else(|error| Made {
            count: 0,
            seen: format!("ended early: {error:#}"),
        }),
    })
}
