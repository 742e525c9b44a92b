//! A running `tollway sandbox`, found through its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use tempfile::TempDir;

use super::lnd_command::Lncli;
use super::process::Service;

/// It is ready in under a second; this is for a machine that is busy.
const START: Duration = Duration::from_secs(30);

/// A running sandbox with files of its own. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) seller: Wallet,
    pub(crate) buyer: Wallet,
    _service: Service,
    _dir: TempDir,
}

/// One wallet, as `sandbox.json` describes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Wallet {
    /// Where gRPC is answered.
    grpc: String,
    /// Where REST is answered.
    pub(crate) rest: String,
    /// The certificate of both, in a folder laid out as LND's.
    pub(crate) tls_cert: PathBuf,
    /// Files, by what they permit.
    macaroons: BTreeMap<String, PathBuf>,
    /// Returns the URI by which a wallet adapter reaches it.
    pub(crate) lndconnect: String,
}

/// The part of `sandbox.json` read here.
#[derive(Debug, Deserialize)]
struct Description {
    wallets: Wallets,
}

#[derive(Debug, Deserialize)]
struct Wallets {
    seller: Wallet,
    buyer: Wallet,
}

impl Sandbox {
    /// Starts one and waits until its wallets answer.
    ///
    /// # Errors
    ///
    /// When it does not start in time.
    pub(crate) fn start(tollway: &Path) -> Result<Self> {
        let dir = TempDir::new()?;
        let data = dir.path().join("data");
        let mut command = Command::new(tollway);
        command
            .args(["sandbox", "--seller-port", "0", "--buyer-port", "0"])
            .arg("--data-dir")
            .arg(&data);
        let mut service = Service::start("sandbox", &mut command, dir.path())?;
        // Written last, when everything it names is ready.
        let Wallets { seller, buyer } = service.ready(START, |_| describe(&data))?.wallets;
        Ok(Self {
            seller,
            buyer,
            _service: service,
            _dir: dir,
        })
    }
}

impl Wallet {
    /// LND's command line for this wallet.
    pub(super) fn lncli(&self, programs: &Path) -> Lncli {
        let dir = self.tls_cert.parent().unwrap_or(Path::new("."));
        Lncli::new(programs, dir, &self.grpc)
    }

    /// The macaroon that may do everything.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(crate) fn admin_macaroon(&self) -> Result<Vec<u8>> {
        let path = self.macaroons.get("admin").context("no admin macaroon")?;
        fs::read(path).with_context(|| format!("no {}", path.display()))
    }
}

fn describe(data: &Path) -> Result<Description> {
    let path = data.join("sandbox.json");
    let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))
}
