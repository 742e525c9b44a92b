//! The measured gateway: `tollway serve` with its defaults.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::cores::Cores;
use crate::interop::certificate::Certificate;
use crate::interop::gateway::addresses;
use crate::interop::process::{self, Service, flag};

/// What a request costs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Terms<'a> {
    /// Nothing: no token is read.
    Free,
    /// Ten satoshis, paid into this wallet, an lndconnect URI.
    Paid(&'a str),
}

/// What a gateway is started with.
#[derive(Debug)]
pub(super) struct Setup<'a> {
    pub(super) tollway: &'a Path,
    /// Its master key and its ledger.
    pub(super) home: &'a TempDir,
    pub(super) upstream: SocketAddr,
    pub(super) terms: Terms<'a>,
    /// It has one worker when it has one core.
    pub(super) cores: Cores,
    /// Its clients use TLS when there is one.
    pub(super) certificate: Option<&'a Certificate>,
}

/// A running gateway, stopped when dropped.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) address: SocketAddr,
    service: Service,
}

impl Gateway {
    /// Starts a gateway.
    ///
    /// The challenge limit excepts this machine, where all requests come from.
    ///
    /// # Errors
    ///
    /// When it does not start in time.
    pub(super) fn start(setup: &Setup<'_>) -> Result<Self> {
        let mut serve = setup.cores.command(setup.tollway);
        serve
            .env("TOLLWAY_HOME", setup.home.path())
            .args(["--json", "serve", "--listen", "127.0.0.1:0"])
            .arg(format!("--upstream=http://{}", setup.upstream));
        match setup.terms {
            Terms::Free => serve.arg("--free"),
            Terms::Paid(wallet) => serve
                .args(["--price", "10sat", "--exempt-loopback"])
                .args(["--wallet", wallet]),
        };
        if matches!(setup.cores, Cores::Only(_)) {
            serve.args(["--workers", "1"]);
        }
        if let Some(Certificate { chain, key }) = setup.certificate {
            serve
                .arg("--tls-listen=127.0.0.1:0")
                .args([flag("--tls-cert", chain), flag("--tls-key", key)]);
        }
        let mut service = Service::start("gateway", &mut serve, setup.home.path())?;
        let addresses = service.ready(START, addresses)?;
        let address = match setup.certificate {
            None => addresses.http,
            Some(_) => addresses.https.context("no address for TLS")?,
        };
        Ok(Self { address, service })
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
