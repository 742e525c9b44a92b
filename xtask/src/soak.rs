//! Soak: mixed traffic for an hour, after which the gateway is as it was.
//!
//! HTTP/1.1, HTTP/2, gRPC streams, WebSockets, uploads, events, clients that leave and an upstream
//! that is killed and started again. Three things must hold: memory and descriptors do not grow
//! once the gateway is warm, nothing is left when the traffic has ended, and every request that
//! was sent is accounted for: the clients' book, the access log and the counters agree.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

mod books;
mod metrics;
mod samples;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::bench::gateway;
use crate::bench::programs::{PROFILE, Source};
use crate::interop::certificate::Certificate;
use crate::interop::gateway::{Gateway, at_home};
use crate::interop::ports::Ports;
use crate::interop::process::{self, Service};
use crate::interop::sandbox::Sandbox;
use crate::interop::workspace::Workspace;
use crate::siege::proxies::Setup;
use crate::siege::upstream::Reached;
use books::Books;
use metrics::Metrics;
use samples::{Sample, Samples};

/// Sends mixed traffic for an hour, and checks that nothing grows and every request is counted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    #[command(flatten)]
    source: Source,
}

/// Runs the soak and prints samples and verdicts.
///
/// # Errors
///
/// When something grew, stayed in flight or was not counted, or a program does not start.
pub(crate) fn run(args: &Args) -> Result<()> {
    process::end_in_good_order()?;
    let length = Duration::try_from_secs_f64(args.minutes * 60.0)?;
    let workspace = Workspace::new(PROFILE);
    let programs = args.source.programs(&workspace)?;
    let sandbox = Sandbox::start(&programs.tollway)?;
    let dir = TempDir::new()?;
    let setup = Setup {
        workspace: &workspace,
        programs: &programs,
        dir: dir.path(),
        certificate: &Certificate::create(dir.path())?,
        wallet: &sandbox.seller.lndconnect,
    };
    let [ports] = Ports::free::<1>()?;
    let port = format!("--port={}", ports.rpc);
    let mut upstream = Some(setup.upstream(Reached::Plaintext, &[&port])?);
    let gateway = start(&setup, ports.rpc)?;
    let admin = gateway.addresses.admin.context("no admin address")?;
    let page = format!("http://{}/item", gateway.addresses.http);
    let customer = gateway::buy(&programs.bench, &page, &sandbox.buyer.lndconnect)?;

    let before = Metrics::read(admin)?;
    let look = || Sample::take(gateway.pid(), admin);
    let begin = look()?;
    let mut traffic = send(
        &programs.bench,
        gateway.addresses.http,
        &customer,
        length,
        dir.path(),
    )?;
    let samples = watch(
        &mut traffic,
        length,
        || {
            // The port is free again once the old one is gone.
            drop(upstream.take());
            upstream = Some(setup.upstream(Reached::Plaintext, &[&port])?);
            Ok(())
        },
        look,
    )?;
    let idle = until_idle(&begin, look);
    let metrics = Metrics::read(admin)?;
    let books = read_books(dir.path(), &metrics)?;
    books.print();
    let counted = books.balance(&before, &metrics);
    let mut missed = 0_usize;
    for (what, verdict) in [
        ("flat", samples.verdict()),
        ("idle", idle),
        ("counted", counted),
    ] {
        match verdict {
            Ok(figures) => println!("{what}: {figures}"),
            Err(error) => {
                missed = missed.saturating_add(1);
                println!("{what}: MISSED: {error:#}");
            }
        }
    }
    ensure!(missed == 0, "{missed} of 3 were missed");
    Ok(())
}

fn start(setup: &Setup<'_>, upstream: u16) -> Result<Gateway> {
    Gateway::start_with(
        at_home(&setup.programs.tollway, setup.dir),
        setup.dir,
        &[
            "--price=10sat",
            "--wallet",
            setup.wallet,
            "--admin=127.0.0.1:0",
            "--access-log",
            &format!("--upstream=http://127.0.0.1:{upstream}"),
        ],
    )
}

fn send(
    bench: &Path,
    proxy: SocketAddr,
    customer: &str,
    length: Duration,
    dir: &Path,
) -> Result<Service> {
    let mut command = Command::new(bench);
    command
        .arg("soak")
        .arg(format!("--proxy={proxy}"))
        .arg(format!("--seconds={}", length.as_secs_f64()))
        .arg(process::flag("--book", &dir.join(BOOK)))
        .env("CUSTOMER", customer);
    Service::start("traffic", &mut command, dir)
}

/// Takes samples and restarts the upstream until the traffic has ended.
fn watch(
    traffic: &mut Service,
    length: Duration,
    mut restart: impl FnMut() -> Result<()>,
    mut sample: impl FnMut() -> Result<Sample>,
) -> Result<Samples> {
    let begun = Instant::now();
    let mut samples = Samples::new(length);
    let mut restarted = begun;
    while !traffic.has_ended()? {
        process::go_on()?;
        ensure!(
            begun.elapsed() < length.saturating_add(GRACE),
            "the traffic does not end"
        );
        thread::sleep(BETWEEN_SAMPLES);
        if restarted.elapsed() > BETWEEN_RESTARTS {
            restart()?;
            restarted = Instant::now();
        }
        samples.add(begun.elapsed(), sample()?);
    }
    Ok(samples)
}

/// Waits until nothing is in flight, no client is connected and no descriptor is open that was not
/// before.
fn until_idle(begin: &Sample, look: impl Fn() -> Result<Sample>) -> Result<String> {
    process::until(IDLE_WITHIN, || {
        let left = look()?;
        ensure!(left.is_idle(begin), "left: {left}");
        Ok(format!("left: {left}; at the beginning: {begin}"))
    })
}

/// Reads both books, once the log has all requests that are counted.
fn read_books(dir: &Path, metrics: &Metrics) -> Result<Books> {
    process::until(LOGGED_WITHIN, || {
        let books = Books::read(&dir.join(BOOK), &dir.join(LOG))?;
        let (lines, begun) = (books.logged(), metrics.sum(books::BEGUN));
        ensure!(lines == begun, "{lines} lines of {begun} requests");
        Ok(books)
    })
}

/// The clients' book.
const BOOK: &str = "book";
/// What the gateway writes.
const LOG: &str = "gateway.log";
const BETWEEN_SAMPLES: Duration = Duration::from_secs(2);
const BETWEEN_RESTARTS: Duration = Duration::from_secs(20);
/// For the last responses, and for the counts to be printed.
const GRACE: Duration = Duration::from_secs(60);
const IDLE_WITHIN: Duration = Duration::from_secs(90);
const LOGGED_WITHIN: Duration = Duration::from_secs(10);
