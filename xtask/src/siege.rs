//! Siege: attacks on the gateway while paying customers use it, and on nginx next to it.
//!
//! Every scenario starts a gateway, runs `tollway-bench siege` on it, and does the same with nginx.
//! Customers buy before the first attack and are served before, during and after each. The command
//! fails unless every request of every customer of the gateway was served, and every attack on it
//! was made whole.
//!
//! Everything stays on this machine. A scenario takes at most a minute on each proxy, all of them
//! a quarter of an hour.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

pub(crate) mod proxies;
mod scenarios;
mod table;
pub(crate) mod upstream;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::bench::programs::{PROFILE, Programs, Source};
use crate::bench::tools::{self, Tool};
use crate::bench::{gateway, meter};
use crate::interop::certificate::Certificate;
use crate::interop::process;
use crate::interop::sandbox::Sandbox;
use crate::interop::workspace::Workspace;
use proxies::{Proxy, Setup};
use scenarios::{Challenges, SCENARIOS, Scenario};
use table::{Outcome, Row};
use upstream::Reached;

/// Attacks the gateway and checks that every paying customer is served.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Scenarios to run, by the beginning of their names; all when none is named.
    scenarios: Vec<String>,
    #[command(flatten)]
    source: Source,
    /// Leave out nginx.
    #[arg(long)]
    alone: bool,
    /// Print the scenarios and run none.
    #[arg(long)]
    list: bool,
}

impl Args {
    fn chosen(&self) -> impl Iterator<Item = &'static Scenario> {
        SCENARIOS.iter().filter(|scenario| {
            let mut names = self.scenarios.iter();
            self.scenarios.is_empty() || names.any(|name| scenario.name.starts_with(name.as_str()))
        })
    }
}

/// Runs the scenarios and prints a table.
///
/// # Errors
///
/// When a customer of the gateway was not served, or a program does not start.
pub(crate) fn run(args: &Args) -> Result<()> {
    process::end_in_good_order()?;
    if args.list {
        for scenario in SCENARIOS {
            println!("{:18} {}", scenario.name, scenario.what);
        }
        return Ok(());
    }
    if args.chosen().next().is_none() {
        bail!("no scenario of this name: see --list");
    }
    if !args.alone {
        tools::install(NGINX)?;
    }
    let workspace = Workspace::new(PROFILE);
    let programs = args.source.programs(&workspace)?;
    let sandbox = Sandbox::start(&programs.tollway)?;
    let dir = TempDir::new()?;
    let certificate = Certificate::create(dir.path())?;
    let setup = Setup {
        workspace: &workspace,
        programs: &programs,
        dir: dir.path(),
        certificate: &certificate,
        wallet: &sandbox.seller.lndconnect,
    };
    let tokens = Tokens::buy(&setup, &sandbox.buyer.lndconnect)?;

    let (mut missed, mut rows) = (Vec::new(), Vec::new());
    table::print_head();
    for scenario in args.chosen() {
        process::go_on()?;
        let ours = attack(&setup, scenario, &tokens, Kind::Gateway)?;
        table::print(&ours);
        if let Some(what) = ours.outcome.missed(scenario.count) {
            missed.push(format!("{}: {what}", scenario.name));
        }
        rows.push(ours);
        if !args.alone {
            let nginx = attack(&setup, scenario, &tokens, Kind::Nginx)?;
            table::print(&nginx);
            rows.push(nginx);
        }
    }
    println!();
    rows.iter().for_each(table::print_failures);
    ensure!(missed.is_empty(), "{}", missed.join("; "));
    println!("\nevery paying customer of the gateway was served");
    Ok(())
}

/// The proxies.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Gateway,
    Nginx,
}

/// The `Authorization` lines of both sides.
#[derive(Debug)]
struct Tokens {
    customer: String,
    attacker: String,
}

impl Tokens {
    /// Buys one for each from a gateway with the keys of all later ones.
    fn buy(setup: &Setup<'_>, buyer: &str) -> Result<Self> {
        let upstream = setup.upstream(Reached::Plaintext, &[])?;
        let gateway = setup.gateway(&upstream, None, Challenges::Limited)?;
        let page = format!("http://{}/item", gateway.http1);
        let Programs { bench, .. } = setup.programs;
        Ok(Self {
            customer: gateway::buy(bench, &page, buyer)?,
            attacker: gateway::buy(bench, &page, buyer)?,
        })
    }
}

/// Runs one scenario on one proxy.
fn attack(
    setup: &Setup<'_>,
    scenario: &'static Scenario,
    tokens: &Tokens,
    kind: Kind,
) -> Result<Row> {
    let upstream = setup.upstream(scenario.reached, scenario.upstream)?;
    let proxy = match kind {
        Kind::Gateway => setup.gateway(&upstream, scenario.descriptors, scenario.challenges)?,
        Kind::Nginx => setup.nginx(&upstream, scenario.descriptors)?,
    };
    let mut command = besiege(
        &setup.programs.bench,
        &setup.certificate.chain,
        scenario,
        &proxy,
    );
    command
        .env("CUSTOMER", &tokens.customer)
        .env("ATTACKER", &tokens.attacker);
    let patience = GRACE.saturating_add(Duration::from_secs_f64(scenario.seconds));
    let printed = process::output(&mut command, patience)
        .with_context(|| format!("{}: {}", scenario.name, proxy.name))?;
    let outcome: Outcome = serde_json::from_str(&printed)?;
    Ok(Row {
        scenario: scenario.name,
        proxy: proxy.name,
        // It is gone if it crashed.
        peak_kib: meter::peak_memory_kib(proxy.pid()).ok(),
        outcome,
    })
}

fn besiege(bench: &Path, certificate: &Path, scenario: &Scenario, proxy: &Proxy) -> Command {
    let mut command = Command::new(bench);
    command
        .args(["siege", "--attack", scenario.attack])
        .arg(format!("--count={}", scenario.count))
        .arg(format!("--addresses={}", scenario.addresses))
        .arg(format!("--seconds={}", scenario.seconds))
        .arg(format!("--around={AROUND_SECS}"))
        .arg(format!("--http1={}", proxy.http1))
        .arg(format!("--http2={}", proxy.http2))
        .arg(format!("--https={}", proxy.https))
        .arg(process::flag("--certificate", certificate));
    if scenario.reached != Reached::TlsHttp1 {
        command.arg("--grpc");
    }
    command
}

const NGINX: &[Tool] = &[Tool {
    program: "nginx",
    package: "nginx",
}];
/// Seconds before an attack, and after it.
const AROUND_SECS: f64 = 1.5;
/// For what is before and after an attack, and the last responses.
const GRACE: Duration = Duration::from_secs(20);
