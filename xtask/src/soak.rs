//! Soak: mixed traffic for an hour, after which the gateway is as it was.
//!
//! HTTP/1.1, HTTP/2, gRPC streams, WebSockets, uploads, events, clients that leave and an upstream
//! that is killed and started again. Three things must hold: memory and descriptors do not grow
//! once the gateway is warm, nothing is in flight when the traffic has ended, and every request
//! that was sent is counted, as responded to or as aborted.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

mod metrics;
mod samples;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
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
        || Sample::take(gateway.pid(), admin),
    )?;
    let counts = traffic.ready(GRACE, |printed| {
        let last = printed.lines().last().context("no counts yet")?;
        Ok(serde_json::from_str::<BTreeMap<String, Counts>>(last)?)
    })?;
    print_counts(&counts);

    let flat = samples.verdict();
    let idle = is_idle(admin);
    let counted = all_counted(&counts, &before, &Metrics::read(admin)?);
    let mut missed = 0_usize;
    for (what, verdict) in [("flat", flat), ("idle", idle), ("counted", counted)] {
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

/// The requests of one kind of client, as `tollway-bench soak` prints them.
#[derive(Debug, Deserialize)]
struct Counts {
    sent: u64,
    complete: u64,
    left: u64,
    broken: u64,
    /// Sent on a connection that the gateway may have closed before it read them.
    lost: u64,
    statuses: BTreeMap<u16, u64>,
}

fn print_counts(counts: &BTreeMap<String, Counts>) {
    println!("\n| client | sent | complete | left | broken | lost | statuses |");
    println!("|---|---:|---:|---:|---:|---:|---|");
    for (name, counts) in counts {
        let statuses: Vec<_> = counts
            .statuses
            .iter()
            .map(|(status, times)| format!("{times} × {status}"))
            .collect();
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            counts.sent,
            counts.complete,
            counts.left,
            counts.broken,
            counts.lost,
            statuses.join(", ")
        );
    }
    println!();
}

/// Waits until nothing is in flight and no client is connected.
fn is_idle(admin: SocketAddr) -> Result<String> {
    process::until(IDLE_WITHIN, || {
        let metrics = Metrics::read(admin)?;
        let in_flight = metrics.sum("tollway_requests_in_flight");
        // This request's own connection goes to another port.
        let connections = metrics.sum("tollway_connections_open");
        ensure!(
            in_flight == 0 && connections == 0,
            "{in_flight} requests in flight, {connections} connections"
        );
        Ok("nothing in flight, no connection open".to_owned())
    })
}

/// Compares the requests that were sent with those that the gateway counted since.
fn all_counted(
    counts: &BTreeMap<String, Counts>,
    before: &Metrics,
    after: &Metrics,
) -> Result<String> {
    let sent: u64 = counts.values().map(|counts| counts.sent).sum();
    let lost: u64 = counts.values().map(|counts| counts.lost).sum();
    let grown = |name| after.sum(name).saturating_sub(before.sum(name));
    let [begun, responded, aborted, ended] = [BEGUN, RESPONDED, ABORTED, ENDED].map(grown);
    let figures = format!(
        "{sent} sent, of which {lost} lost; {begun} begun = {responded} responded to + {aborted} aborted; \
         {ended} responses ended"
    );
    let all = responded.saturating_add(aborted);
    let may_have_begun = sent.saturating_sub(lost)..=sent;
    ensure!(
        may_have_begun.contains(&begun) && begun == all && responded == ended,
        figures
    );
    Ok(figures)
}

const BEGUN: &str = "tollway_requests_begun_total";
const RESPONDED: &str = "tollway_requests_total";
const ABORTED: &str = "tollway_requests_aborted_total";
const ENDED: &str = "tollway_responses_ended_total";
const BETWEEN_SAMPLES: Duration = Duration::from_secs(2);
const BETWEEN_RESTARTS: Duration = Duration::from_secs(20);
/// For the last responses, and for the counts to be printed.
const GRACE: Duration = Duration::from_secs(60);
const IDLE_WITHIN: Duration = Duration::from_secs(90);
