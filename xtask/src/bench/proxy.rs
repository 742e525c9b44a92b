//! Gateway throughput relative to nginx and haproxy, with every request verified.
//!
//! Each proxy has core 0 to itself while it is measured and gets more load than it can serve;
//! load and upstream have core 1. Every case has processes of its own, so that its peak memory is
//! of this case alone.
//!
//! All requests carry the same token, so that all proxies read the same bytes; nginx and haproxy
//! forward it, the gateway verifies it.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

mod case;
mod config;
mod goals;
mod grpc;
mod peers;
mod table;
mod window;

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use tempfile::TempDir;

use super::cores::{Cores, LOAD_CORE};
use super::load::{Load, Order, Outcome};
use super::programs::{PROFILE, Source};
use super::tools;
use crate::interop::certificate::Certificate;
use crate::interop::process;
use crate::interop::sandbox::Sandbox;
use crate::interop::workspace::Workspace;
use case::{Case, Http1, Part};
use peers::{Peer, Setup};
use window::{Pace, Record};

/// Arguments of `cargo xtask bench proxy`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Measure these parts alone.
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    only: Vec<Part>,
    /// Seconds each proxy is measured in a round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rounds over all proxies.
    #[arg(long, default_value = "3")]
    rounds: NonZeroUsize,
}

/// Measures, and prints a table of each case, one of memory, and the goals.
///
/// # Errors
///
/// When a program does not build or start, or a response is not the expected one. A goal that is
/// missed is no error.
pub(crate) fn run(args: &Args) -> Result<()> {
    tools::install(peers::TOOLS)?;
    let workspace = Workspace::new(PROFILE);
    let programs = args.source.programs(&workspace)?;
    let sandbox = Sandbox::start(&programs.tollway)?;
    let (dir, home, free_home) = (in_memory()?, TempDir::new()?, TempDir::new()?);
    let certificate = Certificate::create(dir.path())?;
    let setup = Setup {
        workspace: &workspace,
        tollway: &programs.tollway,
        dir: dir.path(),
        home: &home,
        free_home: &free_home,
        seller: &sandbox.seller.lndconnect,
        certificate: &certificate,
    };
    let begun = Instant::now();
    let mut load = Load::start(&programs.bench, Cores::Only(LOAD_CORE))?;
    let buyer = &sandbox.buyer.lndconnect;
    let token = setup.buy(load.upstream(), &programs.bench, buyer)?;
    print_conditions(dir.path())?;

    let mut pace = args.pace();
    let mut all = Vec::new();
    for case in args.cases() {
        let records = match case.http1() {
            Some(http1) => {
                let peers = setup.start(case, load.upstream())?;
                let run = |peer: &Peer, seconds| send(&mut load, http1, peer, &token, seconds);
                window::measure(&mut pace, &peers, run)?
            }
            None => measure_grpc(&setup, &mut pace, &token)?,
        };
        let measured = Measured { case, records };
        table::print(&measured);
        all.push(measured);
    }
    table::print_memory(&all);
    goals::print(&all);
    println!("\nduration: {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// All proxies in one case.
#[derive(Debug)]
struct Measured {
    case: Case,
    records: Vec<Record>,
}

impl Args {
    fn cases(&self) -> impl Iterator<Item = Case> {
        Case::ALL
            .into_iter()
            .filter(|case| self.only.is_empty() || self.only.contains(&case.part()))
    }

    const fn pace(&self) -> Pace {
        Pace {
            seconds: self.seconds,
            rounds: self.rounds.get(),
            repeats: REPEATS,
        }
    }
}

fn send(load: &mut Load, http1: Http1, peer: &Peer, token: &str, seconds: f64) -> Result<Outcome> {
    load.run(&Order {
        target: peer.address,
        connections: http1.connections,
        seconds,
        requests_max: None,
        status: 200,
        authorization: Some(token),
        exchange: http1.exchange,
        handshakes: http1.handshakes,
    })
}

fn measure_grpc(setup: &Setup<'_>, pace: &mut Pace, token: &str) -> Result<Vec<Record>> {
    let (_upstream, address) = grpc::upstream(setup.dir)?;
    let peers = setup.start(Case::Grpc, address)?;
    for peer in &peers {
        grpc::check_trailers(peer.address, token, setup.dir)?;
    }
    window::measure(pace, &peers, |peer, seconds| {
        grpc::load(peer.address, seconds, token, setup.dir)
    })
}

/// Creates a folder on a file system in memory, where there is one: the files that nginx buffers
/// bodies in are not to wait for a disk.
fn in_memory() -> Result<TempDir> {
    let memory = Path::new(MEMORY);
    if memory.is_dir() {
        return Ok(TempDir::new_in(memory)?);
    }
    Ok(TempDir::new()?)
}

fn print_conditions(dir: &Path) -> Result<()> {
    for (program, flag) in [("nginx", "-v"), ("haproxy", "-v"), ("h2load", "--version")] {
        let printed = process::finish(Command::new(program).arg(flag), PATIENCE)?;
        let version = [printed.stdout, printed.stderr].concat();
        println!("{}", version.lines().next().unwrap_or(program));
    }
    println!(
        "one worker each; nginx with its defaults, which buffer bodies in memory and then in files, here in {}",
        dir.parent().unwrap_or(dir).display()
    );
    println!("TLS 1.3 with AES-256-GCM, X25519 and one ECDSA P-256 certificate for all");
    Ok(())
}

const MEMORY: &str = "/dev/shm";
const PATIENCE: Duration = Duration::from_secs(5);
/// What disturbed windows may take in addition.
const REPEATS: Duration = Duration::from_secs(60);
