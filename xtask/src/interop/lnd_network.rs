//! Two real LND nodes on a private chain, with one channel funded both ways.
//!
//! btcd mines to the buyer's wallet; the buyer opens the channel and pushes part of it to the
//! seller. Ports are any that are free; files are in a folder that is removed with the network.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tempfile::TempDir;

use super::btcd::Chain;
use super::lnd_command::{Answer, Lncli};
use super::ports::Ports;
use super::process::{Service, flag, until};

/// For each step of the start; all of them together take about 15 s on two cores.
const STEP: Duration = Duration::from_secs(120);

/// btcd's regtest chain activates segwit at block 432, and coinbases mature after 100 more.
const FIRST_BLOCKS: &str = "500";
/// LND announces a channel, and both ends call it active, at six confirmations.
const CONFIRMATIONS: &str = "6";
const CHANNEL_SAT: &str = "10000000";
const SELLER_SAT: &str = "3000000";

/// A running network. Dropping it ends it: the nodes first, since LND does not end without
/// its chain.
#[derive(Debug)]
pub(crate) struct LndNetwork {
    pub(crate) seller: Node,
    pub(crate) buyer: Node,
    _chain: Chain,
    _dir: TempDir,
}

impl LndNetwork {
    /// Starts everything and waits until the seller can be paid.
    ///
    /// # Errors
    ///
    /// When a step does not succeed in time; with the end of the log.
    pub(crate) fn start(programs: &Path) -> Result<Self> {
        let dir = TempDir::new()?;
        let [chain_ports, seller_ports, buyer_ports] = Ports::free()?;
        let mut chain = Chain::start(programs, dir.path(), chain_ports)?;
        let start = |name, ports| Node::start(programs, dir.path(), &chain, name, ports);
        let mut seller = start("seller", seller_ports)?;
        let mut buyer = start("buyer", buyer_ports)?;
        seller.ready()?;
        buyer.ready()?;

        chain.mine_to(&buyer.address()?)?;
        chain.mine(FIRST_BLOCKS)?;
        open_channel(&chain, &seller, &buyer)?;
        Ok(Self {
            seller,
            buyer,
            _chain: chain,
            _dir: dir,
        })
    }
}

fn open_channel(chain: &Chain, seller: &Node, buyer: &Node) -> Result<()> {
    until(STEP, || seller.synced().and_then(|()| buyer.synced()))
        .context("the nodes do not follow the chain")?;
    until(STEP, || buyer.funded()).context("the mined coins do not reach the buyer")?;

    let key = seller.info()?.text("identity_pubkey")?;
    let host = format!("{key}@127.0.0.1:{}", seller.ports.p2p);
    until(STEP, || buyer.lncli().json(&["connect", &host])).context("the nodes do not connect")?;
    buyer.lncli().json(&[
        "openchannel",
        &format!("--node_key={key}"),
        &format!("--local_amt={CHANNEL_SAT}"),
        &format!("--push_amt={SELLER_SAT}"),
    ])?;
    until(STEP, || chain.has_unconfirmed()).context("no funding transaction")?;
    chain.mine(CONFIRMATIONS)?;
    until(STEP, || {
        seller.has_channel().and_then(|()| buyer.has_channel())
    })
    .context("the channel does not become active")?;
    until(STEP, || buyer.pay(&seller.invoice()?)).context("the channel carries no payment")
}

/// One LND node.
#[derive(Debug)]
pub(crate) struct Node {
    service: Service,
    lncli: Lncli,
    ports: Ports,
}

impl Node {
    fn start(programs: &Path, dir: &Path, chain: &Chain, name: &str, ports: Ports) -> Result<Self> {
        let files = dir.join(name);
        let address = format!("127.0.0.1:{}", ports.rpc);
        let mut lnd = Command::new(programs.join("lnd"));
        lnd.args([
            "--bitcoin.regtest",
            "--noseedbackup",
            "--norest",
            "--debuglevel=warn",
        ])
        .args(chain.lnd_flags())
        // Gossip is sent in batches this many milliseconds apart.
        .arg("--trickledelay=50")
        .arg(flag("--lnddir", &files))
        .arg(format!("--alias={name}"))
        .arg(format!("--rpclisten={address}"))
        .arg(format!("--listen=127.0.0.1:{}", ports.p2p));
        Ok(Self {
            service: Service::start(name, &mut lnd, dir)?,
            lncli: Lncli::new(programs, &files, &address),
            ports,
        })
    }

    fn ready(&mut self) -> Result<()> {
        let lncli = &self.lncli;
        self.service
            .ready(STEP, |_| lncli.json(&["getinfo"]))
            .map(drop)
    }

    /// Its command line.
    pub(super) fn lncli(&self) -> &Lncli {
        &self.lncli
    }

    /// Returns the URI by which a wallet adapter reaches this node, with one of its macaroons.
    ///
    /// # Errors
    ///
    /// When the certificate cannot be read.
    pub(crate) fn lndconnect(&self, macaroon: &[u8]) -> Result<String> {
        let pem = fs::read_to_string(self.lncli.dir().join("tls.cert"))?;
        let body: String = pem
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let certificate = URL_SAFE_NO_PAD.encode(STANDARD.decode(body)?);
        let macaroon = URL_SAFE_NO_PAD.encode(macaroon);
        let address = self.lncli.address();
        Ok(format!(
            "lndconnect://{address}?cert={certificate}&macaroon={macaroon}"
        ))
    }

    /// The macaroon that may do everything.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(crate) fn admin_macaroon(&self) -> Result<Vec<u8>> {
        self.macaroon("admin")
    }

    /// One of the macaroon files that LND makes, by its name without `.macaroon`.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(crate) fn macaroon(&self, name: &str) -> Result<Vec<u8>> {
        let dir = self.lncli.dir().join("data/chain/bitcoin/regtest");
        Ok(fs::read(dir.join(name).with_extension("macaroon"))?)
    }

    fn info(&self) -> Result<Answer> {
        self.lncli.json(&["getinfo"])
    }

    fn address(&self) -> Result<String> {
        self.lncli.json(&["newaddress", "p2wkh"])?.text("address")
    }

    fn synced(&self) -> Result<()> {
        self.info()?.expect("synced_to_chain", true)
    }

    fn funded(&self) -> Result<()> {
        let balance = self.lncli.json(&["walletbalance"])?;
        ensure!(
            balance.number("confirmed_balance")? > 0,
            "no confirmed coins"
        );
        Ok(())
    }

    /// LND calls a channel active some time before it sends anything over it.
    fn has_channel(&self) -> Result<()> {
        self.info()?.expect("num_active_channels", 1)
    }

    fn invoice(&self) -> Result<String> {
        let invoice = self.lncli.json(&["addinvoice", "--amt=1"])?;
        invoice.text("payment_request")
    }

    fn pay(&self, invoice: &str) -> Result<()> {
        let payment = ["payinvoice", "--force", "--json", invoice];
        self.lncli.json(&payment)?.expect("status", "SUCCEEDED")
    }
}
