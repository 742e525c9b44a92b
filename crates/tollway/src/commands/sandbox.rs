//! `tollway sandbox`: a private Lightning network, until the process is asked to stop.

use std::path::Path;
use std::time::Instant;

use tollway_sandbox::lnd::files::manifest::Manifest;
use tollway_sandbox::lnd::server::LndServerError;
use tollway_sandbox::lnd::{LndSandbox, LndSandboxError, Ports};
use tollway_sandbox::{History, SandboxConfig, SandboxError};

use super::serve::failure::listen;
use crate::cli::SandboxArgs;
use crate::exit::{Failure, with_sources};
use crate::output::Output;
use crate::paths::Dirs;
use crate::shutdown::Shutdown;

/// Starts the network, prints where it is, and stops it when asked.
pub(crate) async fn run(args: &SandboxArgs, dirs: &Dirs, output: Output) -> Result<(), Failure> {
    let mut shutdown = Shutdown::catch();
    let started = Instant::now();
    let dir = args.data_dir.clone().unwrap_or_else(|| dirs.sandbox());
    let ports = Ports {
        seller: args.seller_port,
        buyer: args.buyer_port,
    };
    let network = start(&dir, ports).await?;
    announce(&network, &dir, started, output)?;
    shutdown.requested().await;
    stop(network, &mut shutdown).await
}

/// Stops a sandbox, unless a second signal ends it at once.
pub(crate) async fn stop(network: LndSandbox, shutdown: &mut Shutdown) -> Result<(), Failure> {
    tokio::select! {
        stopped = network.stop() => stopped.map_err(Failure::general),
        () = shutdown.requested() => Err(Failure::general("stopped at once: the sandbox was not shut down")),
    }
}

/// Starts a sandbox whose data is in `dir`.
pub(crate) async fn start(dir: &Path, ports: Ports) -> Result<LndSandbox, Failure> {
    let started = LndSandbox::start(SandboxConfig::new(dir.to_owned()), ports).await;
    started.map_err(|error| match error {
        LndSandboxError::Network(SandboxError::InUse { .. }) => in_use(dir),
        LndSandboxError::Server(LndServerError::Bind { address, source }) => {
            let is_seller = address.port() == ports.seller;
            let flag = if is_seller {
                "--seller-port"
            } else {
                "--buyer-port"
            };
            listen(address, &source, flag)
        }
        error @ (LndSandboxError::Manifest(_)
        | LndSandboxError::Network(_)
        | LndSandboxError::Server(_)) => Failure::general(format!(
            "{} (--seller-port and --buyer-port choose the ports, --data-dir the directory)",
            with_sources(&error)
        )),
    })
}

/// Names the process that uses the directory, and the way to have a second sandbox.
fn in_use(dir: &Path) -> Failure {
    // It writes its file last, so there may be none yet.
    let process = match Manifest::read(dir) {
        Ok(Some(running)) => format!("process {}: `kill {}` stops it", running.pid, running.pid),
        Ok(None) | Err(_) => "it is starting".to_owned(),
    };
    Failure::usage(format!(
        "another sandbox runs in {} ({process}); a second one needs a directory and ports of its own: --data-dir {}-2 --seller-port 0 --buyer-port 0",
        dir.display(),
        dir.display()
    ))
}

fn announce(
    network: &LndSandbox,
    dir: &Path,
    started: Instant,
    output: Output,
) -> Result<(), Failure> {
    let ready_ms = started.elapsed().as_millis();
    let mut lines = vec![(
        "sandbox".to_owned(),
        format!("ready in {ready_ms} ms, a private regtest chain: its coins are worthless"),
    )];
    for server in network.servers() {
        let access = server.access();
        lines.push((
            server.name().to_owned(),
            format!(
                "{} serves LND's gRPC and REST, node {}",
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
    if network.network().history() == History::Reset {
        lines.push((
            "history".to_owned(),
            "reset: the wallets keep their keys; chain, channels, invoices and payments are new"
                .to_owned(),
        ));
    }
    let wallets: serde_json::Map<String, serde_json::Value> = network
        .servers()
        .iter()
        .map(|server| {
            (
                server.name().to_owned(),
                server.access().address.to_string().into(),
            )
        })
        .collect();
    let json = serde_json::json!({
        "ready_ms": u64::try_from(ready_ms).unwrap_or(u64::MAX),
        "wallets": wallets,
        "file": dir.join("sandbox.json"),
        "history_reset": network.network().history() == History::Reset,
    });
    output.report(&lines, &json)
}
