//! The measured gateway: `tollway serve` with its defaults.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::cores::Cores;
use crate::interop::gateway::announced;
use crate::interop::process::{self, Service};

/// What a request costs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Terms<'a> {
    /// Nothing: no token is read.
    Free,
    /// Ten satoshis, paid into this wallet, an lndconnect URI.
    Paid(&'a str),
}

/// A running gateway, stopped when dropped.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) address: SocketAddr,
    service: Service,
}

impl Gateway {
    /// Starts a gateway in front of `upstream`, with its master key and ledger in `home`.
    ///
    /// It has one worker when it has one core. The challenge limit excepts this machine, where
    /// all requests come from.
    ///
    /// # Errors
    ///
    /// When it does not start in time.
    pub(super) fn start(
        tollway: &Path,
        home: &TempDir,
        upstream: SocketAddr,
        terms: Terms<'_>,
        cores: Cores,
    ) -> Result<Self> {
        let mut serve = cores.command(tollway);
        serve
            .env("TOLLWAY_HOME", home.path())
            .args(["--json", "serve", "--listen", "127.0.0.1:0"])
            .arg(format!("--upstream=http://{upstream}"));
        match terms {
            Terms::Free => serve.arg("--free"),
            Terms::Paid(wallet) => serve
                .args(["--price", "10sat", "--exempt-loopback"])
                .args(["--wallet", wallet]),
        };
        if matches!(cores, Cores::Only(_)) {
            serve.args(["--workers", "1"]);
        }
        let mut service = Service::start("gateway", &mut serve, home.path())?;
        let url = service.ready(START, announced)?;
        let address = url.strip_prefix("http://").context("no address")?;
        Ok(Self {
            address: address.parse()?,
            service,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.service.id()
    }

    pub(super) fn into_service(self) -> Service {
        self.service
    }
}

/// Buys from `url` with the client library and returns the `Authorization` line.
///
/// # Errors
///
/// When the purchase fails.
pub(crate) fn buy(bench: &Path, url: &str, wallet: &str) -> Result<String> {
    let mut command = Cores::All.command(bench);
    command.args(["credential", url]).env("WALLET", wallet);
    Ok(process::output(&mut command, START)?.trim().to_owned())
}

const START: Duration = Duration::from_secs(30);
