//! Purchases and challenges per second on the sandbox, and memory per unpaid challenge.
//!
//! Nothing is pinned: sandbox, gateway and buyers share the machine as they would on a
//! developer's. LND is measured the same way where an interop run has built it. Each figure is
//! printed with the seconds it was measured for, because the sandbox slows down under sustained
//! load.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tempfile::TempDir;

use super::cores::Cores;
use super::figures::{median, verdict};
use super::gateway::{self, Gateway, Terms};
use super::load::{Exchange, Load, Order, Outcome};
use super::meter;
use super::programs::{PROFILE, Programs, Source};
use crate::interop::gateway::at_home;
use crate::interop::lnd_if_built;
use crate::interop::lnd_network::LndNetwork;
use crate::interop::process;
use crate::interop::sandbox::Sandbox;
use crate::interop::workspace::Workspace;

/// Arguments of `cargo xtask bench sandbox`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Purchases per level of concurrency.
    #[arg(long, default_value_t = 300)]
    purchases: u32,
    /// Seconds of challenges per level of concurrency.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Unpaid challenges between two readings of the gateway's memory.
    #[arg(long, default_value_t = 100_000)]
    unpaid: u32,
    /// Leave LND out even where it is built.
    #[arg(long)]
    without_lnd: bool,
}

/// Measures, and prints tables and the targets that are reached.
///
/// # Errors
///
/// When a program does not build or start, or a response has an unexpected status.
pub(crate) fn run(args: &Args) -> Result<()> {
    let programs = args.source.programs(&Workspace::new(PROFILE))?;
    let begun = Instant::now();
    let ready_ms = start_times(&programs.tollway)?;
    let sandbox = Sandbox::start(&programs.tollway)?;
    let (seller, buyer) = (&sandbox.seller.lndconnect, &sandbox.buyer.lndconnect);
    let mut shop = Shop::open(&programs, seller, buyer)?;

    print_heads();
    let purchases = shop.measure_purchases("sandbox", args)?;
    shop.measure_challenges("sandbox", args)?;
    measure_lnd(&programs, args)?;
    println!();
    let again_ms = shop.get_again()?;
    print_target("sandbox ready, ms", median(ready_ms), READY_MS);
    print_target(
        "whole purchase p50, ms",
        purchases.p50_us / 1e3,
        PURCHASE_MS,
    );
    print_target(
        "tollway get with a kept credential p50, ms",
        median(again_ms),
        AGAIN_MS,
    );
    shop.measure_memory(args)?;
    println!("duration: {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn measure_lnd(programs: &Programs, args: &Args) -> Result<()> {
    if args.without_lnd {
        return Ok(());
    }
    let Some(folder) = lnd_if_built()? else {
        println!("\nLND is not built here: `cargo xtask interop lnd` builds it");
        return Ok(());
    };
    let network = LndNetwork::start(&folder)?;
    let seller = network
        .seller
        .lndconnect(&network.seller.admin_macaroon()?)?;
    let buyer = network.buyer.lndconnect(&network.buyer.admin_macaroon()?)?;
    let mut shop = Shop::open(programs, &seller, &buyer)?;
    shop.measure_purchases("LND", args)?;
    shop.measure_challenges("LND", args).map(drop)
}

/// Measures the milliseconds from the start of a sandbox to its `sandbox.json`.
fn start_times(tollway: &Path) -> Result<Vec<f64>> {
    (0..STARTS).map(|_| start_time(tollway)).collect()
}

fn start_time(tollway: &Path) -> Result<f64> {
    let dir = TempDir::new()?;
    let data = dir.path().join("data");
    let mut command = Command::new(tollway);
    command
        .args(["sandbox", "--seller-port", "0", "--buyer-port", "0"])
        .arg("--data-dir")
        .arg(&data);
    let begun = Instant::now();
    let _sandbox = process::Service::start("sandbox", &mut command, dir.path())?;
    while !data.join("sandbox.json").exists() {
        if begun.elapsed() > PATIENCE {
            bail!("the sandbox does not start");
        }
        thread::sleep(LOOK);
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// A gateway and a wallet to buy with.
#[derive(Debug)]
struct Shop<'a> {
    programs: &'a Programs,
    buyer: &'a str,
    load: Load,
    gateway: Gateway,
    _home: TempDir,
}

impl<'a> Shop<'a> {
    fn open(programs: &'a Programs, seller: &str, buyer: &'a str) -> Result<Self> {
        let home = TempDir::new()?;
        let load = Load::start(&programs.bench, Cores::All)?;
        let gateway = Gateway::start(&gateway::Setup {
            tollway: &programs.tollway,
            home: &home,
            upstream: load.upstream(),
            terms: Terms::Paid(seller),
            cores: Cores::All,
            certificate: None,
        })?;
        Ok(Self {
            programs,
            buyer,
            load,
            gateway,
            _home: home,
        })
    }

    fn page(&self) -> String {
        format!("http://{}/item", self.gateway.address)
    }

    /// Figures of purchases made one at a time.
    fn measure_purchases(&self, wallets: &str, args: &Args) -> Result<Outcome> {
        let measure = |at_once| -> Result<Outcome> {
            let mut command = Command::new(&self.programs.bench);
            command
                .args(["purchases", &self.page()])
                .arg(format!("--at-once={at_once}"))
                .arg(format!("--count={}", args.purchases))
                .env("WALLET", self.buyer);
            let outcome = serde_json::from_str(&process::output(&mut command, PATIENCE)?)?;
            print_row(wallets, "purchases", at_once, &outcome);
            Ok(outcome)
        };
        let [one, ..] = AT_ONCE.map(measure);
        one
    }

    fn measure_challenges(&mut self, wallets: &str, args: &Args) -> Result<()> {
        for at_once in AT_ONCE {
            let outcome = self.challenges(at_once, args.seconds, None)?;
            print_row(wallets, "challenges", at_once, &outcome);
        }
        Ok(())
    }

    fn challenges(&mut self, at_once: usize, seconds: f64, max: Option<u32>) -> Result<Outcome> {
        self.load.run(&Order {
            target: self.gateway.address,
            connections: at_once,
            seconds,
            requests_max: max.map(u64::from),
            status: 402,
            authorization: None,
            exchange: Exchange::Item,
            handshakes: None,
        })
    }

    /// Measures the milliseconds of each `tollway get` after the first.
    fn get_again(&self) -> Result<Vec<f64>> {
        let home = TempDir::new()?;
        let log = home.path().join("get.log");
        let get = || -> Result<f64> {
            let mut command = at_home(&self.programs.tollway, home.path());
            command
                .args(["get", "--quiet", "--wallet", self.buyer, &self.page()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(&log)?);
            let begun = Instant::now();
            let status = command.status()?;
            let taken = begun.elapsed();
            ensure!(status.success(), "tollway get: {status}");
            Ok(taken.as_secs_f64() * 1e3)
        };
        get()?;
        (0..GETS).map(|_| get()).collect()
    }

    fn measure_memory(&mut self, args: &Args) -> Result<()> {
        // One-time allocations happen during the first few.
        self.challenges(CHALLENGERS, PATIENCE.as_secs_f64(), Some(WARM_UP))?;
        let before = meter::memory_kib(self.gateway.pid())?;
        let asked = self.challenges(CHALLENGERS, PATIENCE.as_secs_f64(), Some(args.unpaid))?;
        let after = meter::memory_kib(self.gateway.pid())?;
        let flat = after.saturating_sub(before) <= GROWTH_MAX_KIB;
        println!(
            "gateway memory over {} unpaid challenges in {:.1} s: {before} KiB before, {after} KiB after; target: flat, {}",
            asked.requests,
            asked.seconds,
            verdict(flat)
        );
        Ok(())
    }
}

fn print_heads() {
    println!("| wallets | what | at once | per second | p50 ms | p99 ms | seconds |");
    println!("|---|---|---:|---:|---:|---:|---:|");
}

fn print_row(wallets: &str, what: &str, at_once: usize, outcome: &Outcome) {
    println!(
        "| {wallets} | {what} | {at_once} | {:.0} | {:.2} | {:.2} | {:.1} |",
        outcome.per_second(),
        outcome.p50_us / 1e3,
        outcome.p99_us / 1e3,
        outcome.seconds,
    );
}

fn print_target(what: &str, value: f64, below: f64) {
    println!(
        "{what}: {value:.1}; target below {below:.0}, {}",
        verdict(value < below)
    );
}

const AT_ONCE: [usize; 3] = [1, 8, 32];
const STARTS: usize = 5;
const GETS: usize = 50;
const READY_MS: f64 = 1_000.0;
const PURCHASE_MS: f64 = 15.0;
const AGAIN_MS: f64 = 10.0;
const CHALLENGERS: usize = 32;
const WARM_UP: u32 = 2_000;
/// Less than three bytes per challenge: nothing is stored, and allocator noise is allowed for.
const GROWTH_MAX_KIB: u64 = 256;
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_micros(500);
