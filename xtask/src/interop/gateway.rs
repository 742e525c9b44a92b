//! A running `tollway serve`, and buyers with `tollway get`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use tempfile::TempDir;

use super::process::{self, Service};
use super::upstream;

pub(super) const PRICE_SAT: i64 = 10;

const START: Duration = Duration::from_secs(30);
const PURCHASE: Duration = Duration::from_secs(60);

/// A running gateway. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) addresses: Addresses,
    service: Service,
    _dir: Option<TempDir>,
}

/// Where a gateway serves, as it prints it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
}

impl Gateway {
    /// Starts one in front of [`upstream::GOODS`] that is paid into `wallet`, an
    /// `lndconnect://` URI.
    ///
    /// # Errors
    ///
    /// When it does not start in time.
    pub(crate) fn start(tollway: &Path, wallet: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        let upstream = format!("--upstream=http://{}", upstream::serve()?);
        let price = format!("--price={PRICE_SAT}sat");
        let gateway = Self::serve(
            tollway,
            dir.path(),
            &[&upstream, &price, "--wallet", wallet],
        )?;
        Ok(Self {
            _dir: Some(dir),
            ..gateway
        })
    }

    /// Starts one with these flags and its files in `home`, on a port of its own.
    ///
    /// # Errors
    ///
    /// When it does not start in time.
    pub(crate) fn serve(tollway: &Path, home: &Path, flags: &[&str]) -> Result<Self> {
        Self::start_with(at_home(tollway, home), home, flags)
    }

    /// The same with a command of the caller's own for `tollway`.
    ///
    /// # Errors
    ///
    /// When it does not start in time.
    pub(crate) fn start_with(mut command: Command, log_dir: &Path, flags: &[&str]) -> Result<Self> {
        command
            .args(["--json", "serve", "--listen=127.0.0.1:0"])
            .args(flags);
        let mut service = Service::start("gateway", &mut command, log_dir)?;
        Ok(Self {
            addresses: service.ready(START, addresses)?,
            service,
            _dir: None,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.service.id()
    }

    /// A page that costs [`PRICE_SAT`].
    pub(crate) fn page(&self) -> String {
        format!("http://{}/page", self.addresses.http)
    }
}

/// A buyer with a wallet and the files of `tollway get`.
#[derive(Debug)]
pub(crate) struct Buyer<'a> {
    tollway: &'a Path,
    wallet: &'a str,
    home: TempDir,
}

impl<'a> Buyer<'a> {
    /// Creates a buyer that has bought nothing yet.
    ///
    /// # Errors
    ///
    /// When no folder can be made for them.
    pub(crate) fn new(tollway: &'a Path, wallet: &'a str) -> Result<Self> {
        Ok(Self {
            tollway,
            wallet,
            home: TempDir::new()?,
        })
    }

    /// The folder of its files.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Fetches a page, paying when asked; the page.
    ///
    /// # Errors
    ///
    /// When it is not bought.
    pub(crate) fn get(&self, url: &str) -> Result<String> {
        let mut command = at_home(self.tollway, self.home.path());
        command.args(["get", "--wallet", self.wallet, "--max-cost", "1000sat", url]);
        process::output(&mut command, PURCHASE)
    }
}

/// Returns `tollway` with all its files in a folder of its own.
pub(crate) fn at_home(tollway: &Path, home: &Path) -> Command {
    let mut command = Command::new(tollway);
    command.env("TOLLWAY_HOME", home);
    command
}

/// Returns the addresses that the gateway prints once it serves.
pub(crate) fn addresses(log: &str) -> Result<Addresses> {
    log.lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .context("no address yet")
}
