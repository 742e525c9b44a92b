//! `tollway sandbox`: a private Lightning network, until the process is told to stop.

use std::path::Path;
use std::time::Instant;

use tollway_sandbox::lnd::files::manifest::Manifest;
use tollway_sandbox::lnd::server::LndServer;
use tollway_sandbox::{History, Sandbox, SandboxConfig};

use crate::cli::SandboxArgs;
use crate::exit::Failure;
use crate::output::Output;
use crate::paths::Dirs;
use crate::shutdown::Shutdown;

/// Starts the network, says where it is, and stops it when asked.
pub(crate) async fn run(args: &SandboxArgs, dirs: &Dirs, output: Output) -> Result<(), Failure> {
    let shutdown = Shutdown::catch();
    let started = Instant::now();
    let dir = args.data_dir.clone().unwrap_or_else(|| dirs.sandbox());
    let network = Network::start(
        &dir,
        Ports {
            seller: args.seller_port,
            buyer: args.buyer_port,
        },
    )
    .await?;
    announce(&network, &dir, started, output);
    shutdown.requested().await;
    network.stop().await
}

/// The ports of the two wallets; 0 is any free one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) seller: u16,
    pub(crate) buyer: u16,
}

/// A running sandbox, its two APIs, and the file that says where they are.
#[derive(Debug)]
pub(crate) struct Network {
    sandbox: Sandbox,
    fronts: Vec<LndServer>,
    dir: std::path::PathBuf,
}

impl Network {
    pub(crate) async fn start(dir: &Path, ports: Ports) -> Result<Self, Failure> {
        let sandbox = Sandbox::start(SandboxConfig::new(dir.to_owned()))
            .await
            .map_err(with_source)?;
        let mut fronts = Vec::new();
        for (wallet, port) in [
            (sandbox.seller(), ports.seller),
            (sandbox.buyer(), ports.buyer),
        ] {
            fronts.push(
                LndServer::start(wallet, dir, port)
                    .await
                    .map_err(Failure::general)?,
            );
        }
        Manifest::new(&fronts)
            .write(dir)
            .map_err(Failure::general)?;
        Ok(Self {
            sandbox,
            fronts,
            dir: dir.to_owned(),
        })
    }

    pub(crate) fn fronts(&self) -> &[LndServer] {
        &self.fronts
    }

    pub(crate) fn history(&self) -> History {
        self.sandbox.history()
    }

    pub(crate) async fn stop(self) -> Result<(), Failure> {
        Manifest::remove(&self.dir).map_err(Failure::general)?;
        for front in self.fronts {
            front.stop().await;
        }
        self.sandbox.stop().await;
        Ok(())
    }
}

fn announce(network: &Network, dir: &Path, started: Instant, output: Output) {
    let ready_ms = started.elapsed().as_millis();
    let mut lines = vec![(
        "sandbox".to_owned(),
        format!("ready in {ready_ms} ms, a private regtest chain: its coins are worthless"),
    )];
    for front in network.fronts() {
        let access = front.access();
        lines.push((
            front.name().to_owned(),
            format!(
                "{} answers LND's gRPC and REST, node {}",
                access.address, access.pubkey
            ),
        ));
    }
    lines.push((
        "files".to_owned(),
        format!(
            "{} names certificates, macaroons and lndconnect URIs",
            dir.join("sandbox.json").display()
        ),
    ));
    if network.history() == History::Reset {
        lines.push((
            "history".to_owned(),
            "reset: the wallets keep their keys; chain, channels, invoices and payments are new"
                .to_owned(),
        ));
    }
    let wallets: serde_json::Map<String, serde_json::Value> = network
        .fronts()
        .iter()
        .map(|front| {
            (
                front.name().to_owned(),
                front.access().address.to_string().into(),
            )
        })
        .collect();
    let json = serde_json::json!({
        "ready_ms": u64::try_from(ready_ms).unwrap_or(u64::MAX),
        "wallets": wallets,
        "file": dir.join("sandbox.json"),
        "history_reset": network.history() == History::Reset,
    });
    output.report(&lines, &json);
}

/// The error and what caused it, on one line.
fn with_source(error: impl std::error::Error) -> Failure {
    match error.source() {
        Some(source) => Failure::general(format!("{error}: {source}")),
        None => Failure::general(error),
    }
}
