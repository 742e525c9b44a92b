//! A running `tollway serve`, and buyers with `tollway get`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::process::{self, Service};
use super::upstream;

pub(super) const PRICE_SAT: i64 = 10;

const START: Duration = Duration::from_secs(30);
const PURCHASE: Duration = Duration::from_secs(60);

/// A running gateway in front of [`upstream::GOODS`]. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Gateway {
    url: String,
    _service: Service,
    _dir: TempDir,
}

impl Gateway {
    /// Starts one that is paid into `wallet`, an `lndconnect://` URI.
    ///
    /// # Errors
    ///
    /// When it does not start in time.
    pub(crate) fn start(tollway: &Path, wallet: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        let upstream = format!("http://{}", upstream::serve()?);
        let price = format!("{PRICE_SAT}sat");
        let mut command = at_home(tollway, dir.path());
        command
            .args([
                "--json",
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--upstream",
                &upstream,
            ])
            .args(["--price", &price, "--wallet", wallet]);
        let mut service = Service::start("gateway", &mut command, dir.path())?;
        let url = service.ready(START, announced)?;
        Ok(Self {
            url,
            _service: service,
            _dir: dir,
        })
    }

    /// A page that costs [`PRICE_SAT`].
    pub(crate) fn page(&self) -> String {
        format!("{}/page", self.url)
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

/// Returns the address that the gateway prints once it serves.
pub(crate) fn announced(log: &str) -> Result<String> {
    let address = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|line| line.get("http")?.as_str().map(str::to_owned));
    Ok(format!("http://{}", address.context("no address yet")?))
}
