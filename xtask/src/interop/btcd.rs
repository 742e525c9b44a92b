//! A private Bitcoin chain: one btcd, which mines on request.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::ports::Ports;
use super::process::{self, Service, flag};

/// Starting, or mining a few hundred blocks.
const STEP: Duration = Duration::from_secs(120);

/// A running btcd. Dropping it ends it; its files stay.
#[derive(Debug)]
pub(super) struct Chain {
    // An option only while it is restarted: the old one must end before the new one starts.
    service: Option<Service>,
    programs: PathBuf,
    dir: PathBuf,
    ports: Ports,
}

impl Chain {
    /// Starts it at its genesis block, with its files in `dir/btcd`.
    ///
    /// # Errors
    ///
    /// When it does not answer in time.
    pub(super) fn start(programs: &Path, dir: &Path, ports: Ports) -> Result<Self> {
        let mut chain = Self {
            service: None,
            programs: programs.to_owned(),
            dir: dir.to_owned(),
            ports,
        };
        fs::create_dir(chain.files())?;
        chain.serve(&[])?;
        Ok(chain)
    }

    /// Restarts it so that new coins belong to `address`, which only exists once a wallet
    /// has started on the chain.
    ///
    /// # Errors
    ///
    /// When it does not answer in time.
    pub(super) fn mine_to(&mut self, address: &str) -> Result<()> {
        self.service = None;
        self.serve(&[&format!("--miningaddr={address}")])
    }

    /// Mines.
    ///
    /// # Errors
    ///
    /// When btcd refuses.
    pub(super) fn mine(&self, blocks: &str) -> Result<()> {
        self.call(&["generate", blocks]).map(drop)
    }

    /// Fails unless a transaction waits to be mined.
    ///
    /// # Errors
    ///
    /// When none does.
    pub(super) fn has_unconfirmed(&self) -> Result<()> {
        let waiting = self.call(&["getrawmempool"])?;
        ensure!(
            waiting.trim() != "[]" && waiting.trim() != "null",
            "no transaction waits"
        );
        Ok(())
    }

    /// The flags by which an LND node follows this chain.
    pub(super) fn lnd_flags(&self) -> [String; 5] {
        [
            "--bitcoin.node=btcd".to_owned(),
            "--btcd.rpcuser=u".to_owned(),
            "--btcd.rpcpass=p".to_owned(),
            flag("--btcd.rpccert", &self.certificate()),
            format!("--btcd.rpchost=127.0.0.1:{}", self.ports.rpc),
        ]
    }

    fn serve(&mut self, further: &[&str]) -> Result<()> {
        let mut btcd = Command::new(self.programs.join("btcd"));
        btcd.args(self.account())
            .arg("--txindex")
            .arg(flag("--datadir", &self.files().join("data")))
            .arg(flag("--logdir", &self.files().join("logs")))
            .arg(flag("--rpckey", &self.files().join("rpc.key")))
            .arg(format!("--rpclisten=127.0.0.1:{}", self.ports.rpc))
            .arg(format!("--listen=127.0.0.1:{}", self.ports.p2p))
            .args(further);
        let mut service = Service::start("btcd", &mut btcd, &self.dir)?;
        service.ready(STEP, |_| self.call(&["getblockcount"]))?;
        self.service = Some(service);
        Ok(())
    }

    fn call(&self, request: &[&str]) -> Result<String> {
        let mut btcctl = Command::new(self.programs.join("btcctl"));
        btcctl
            .args(self.account())
            .arg(format!("--rpcserver=127.0.0.1:{}", self.ports.rpc))
            .args(request);
        process::output(&mut btcctl, STEP)
    }

    /// What btcd and btcctl must agree on. No configuration file of the user's is read.
    fn account(&self) -> [String; 5] {
        [
            "--regtest".to_owned(),
            "--rpcuser=u".to_owned(),
            "--rpcpass=p".to_owned(),
            flag("--rpccert", &self.certificate()),
            flag("--configfile", &self.files().join("none.conf")),
        ]
    }

    fn files(&self) -> PathBuf {
        self.dir.join("btcd")
    }

    fn certificate(&self) -> PathBuf {
        self.files().join("rpc.cert")
    }
}
