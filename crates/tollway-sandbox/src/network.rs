//! How does a private Lightning network come to life, and how does it end?
//!
//! A chain, a `seller` and a `buyer`, a connection, channels between them with money on
//! both sides. Identities last: seeds are kept in the data directory. Everything else is
//! new at each start, and [`Sandbox::history`] says which it was.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{Amount, ScriptBuf};
use l402::Msat;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::chain::{Chain, FaucetError, MempoolError};
use crate::node::{self, Node, OpenError, SeedError};
use crate::seed::{self, Origin, Seed, SeedFileError};
use crate::wallet::Wallet;

/// What a sandbox shall be.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Where seeds are kept. Created when missing; one sandbox at a time uses it.
    pub data_dir: PathBuf,
    /// The channels between the two wallets.
    pub channels: ChannelPlan,
}

impl SandboxConfig {
    /// The usual channels, and seeds in `data_dir`.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            channels: ChannelPlan::default(),
        }
    }
}

/// The channels between the two wallets. The buyer opens them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChannelPlan {
    /// How many there are; at least one.
    pub count: u16,
    /// The size of each.
    pub capacity: Amount,
    /// What of each is the seller's from the start.
    pub push_amount: Amount,
    /// Payments that can be under way in each, per direction; at most 483.
    pub max_accepted_htlcs: u16,
}

impl Default for ChannelPlan {
    /// Enough for a hundred million payments of a few satoshis, a thousand of them at once.
    fn default() -> Self {
        Self {
            count: 4,
            capacity: Amount::from_int_btc(5),
            push_amount: Amount::from_int_btc(1),
            max_accepted_htlcs: 400,
        }
    }
}

/// Whether a data directory was used before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum History {
    /// It was: the wallets keep their identities and keys, while chain, channels, invoices
    /// and payments start anew.
    Reset,
    /// It was not.
    New,
}

/// Why a sandbox did not start. What had been started is stopped.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The channels asked for cannot be funded.
    #[error("the channels cannot be paid for: make them fewer or smaller")]
    Funds(#[from] FaucetError),
    /// Another sandbox uses the data directory.
    #[error("{data_dir} is in use by another sandbox: stop it, or choose another directory")]
    InUse {
        /// The directory.
        data_dir: PathBuf,
    },
    /// A file or port of this machine cannot be used.
    #[error("cannot {doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The nodes did not agree on the channels in time.
    #[error("the channels were not ready within {} s: the machine is overloaded, or their sizes are not possible", READY_WITHIN.as_secs())]
    NotReady,
    /// A channel cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A first transaction was not accepted.
    #[error("the chain refused a first transaction")]
    Refused(#[from] MempoolError),
    /// A seed yields no keys.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// A seed cannot be read or written.
    #[error(transparent)]
    SeedFile(#[from] SeedFileError),
}

/// A running private Lightning network. Dropping it stops it without waiting for its tasks.
#[derive(Debug)]
pub struct Sandbox {
    chain: Chain,
    seller: Wallet,
    buyer: Wallet,
    history: History,
    stop: watch::Sender<bool>,
    /// The wallets' tasks end by themselves when told to stop; joined for their last turns.
    tasks: JoinSet<()>,
    /// Listening and dialling never end, and are cut off.
    connections: JoinSet<()>,
    /// Held for as long as the data directory is in use.
    _data_dir_lock: File,
}

impl Sandbox {
    /// Starts a network and answers when its first payment can be made.
    ///
    /// Must be called in a Tokio runtime, on which the network then runs. Dropping the
    /// future stops what was started.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start(config: SandboxConfig) -> Result<Self, StartError> {
        let data_dir = &config.data_dir;
        let lock = claim(data_dir)?;
        let (seller_seed, seller_origin) = wallet_seed(data_dir, SELLER)?;
        let (buyer_seed, buyer_origin) = wallet_seed(data_dir, BUYER)?;
        let chain = Chain::new();
        let slots = config.channels.max_accepted_htlcs;
        // One mature block reward for each channel and each wallet.
        chain.mine(u32::from(config.channels.count).saturating_add(FIRST_BLOCKS));
        let seller = Arc::new(Node::new(chain.clone(), seller_seed, slots)?);
        let buyer = Arc::new(Node::new(chain.clone(), buyer_seed, slots)?);
        let mut sandbox = Self {
            seller: Wallet::new(SELLER, seller)?,
            buyer: Wallet::new(BUYER, buyer)?,
            chain,
            history: match (seller_origin, buyer_origin) {
                (Origin::Generated, Origin::Generated) => History::New,
                (Origin::Loaded, _) | (_, Origin::Loaded) => History::Reset,
            },
            stop: watch::channel(false).0,
            tasks: JoinSet::new(),
            connections: JoinSet::new(),
            _data_dir_lock: lock,
        };
        sandbox.spawn_wallet_tasks();
        timeout(READY_WITHIN, sandbox.connect(&config.channels))
            .await
            .map_err(|_elapsed| StartError::NotReady)??;
        Ok(sandbox)
    }

    /// Whether the data directory was used before.
    #[must_use]
    pub fn history(&self) -> History {
        self.history
    }

    /// The wallet that is paid.
    #[must_use]
    pub fn seller(&self) -> &Wallet {
        &self.seller
    }

    /// The wallet that pays.
    #[must_use]
    pub fn buyer(&self) -> &Wallet {
        &self.buyer
    }

    /// Both wallets.
    #[must_use]
    pub fn wallets(&self) -> [&Wallet; 2] {
        [&self.seller, &self.buyer]
    }

    /// The wallet called `name`: `seller` or `buyer`.
    #[must_use]
    pub fn wallet(&self, name: &str) -> Option<&Wallet> {
        self.wallets()
            .into_iter()
            .find(|wallet| wallet.name() == name)
    }

    /// The chain under the network. To mine, use [`mine`](Self::mine), which tells the nodes.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Mines `blocks` and hands them to the nodes.
    pub fn mine(&self, blocks: u32) {
        self.chain.mine(blocks);
        for wallet in self.wallets() {
            wallet.node().sync();
        }
    }

    /// Stops the network, and answers when none of its tasks runs any more.
    ///
    /// Watches and subscriptions end. A payment under way stays as it stands.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.disconnect();
        while self.connections.join_next().await.is_some() {}
    }

    fn spawn_wallet_tasks(&mut self) {
        for wallet in [&self.seller, &self.buyer] {
            self.tasks.spawn(wallet.clone().run(self.stop.subscribe()));
        }
    }

    /// Connects the nodes and opens the channels between them.
    async fn connect(&mut self, plan: &ChannelPlan) -> Result<(), StartError> {
        let (seller, buyer) = (
            Arc::clone(self.seller.node()),
            Arc::clone(self.buyer.node()),
        );
        let listener = node::bind().await.map_err(|source| StartError::Io {
            doing: "listen on the loopback interface".to_owned(),
            source,
        })?;
        let address = listener.local_addr().map_err(|source| StartError::Io {
            doing: "listen on the loopback interface".to_owned(),
            source,
        })?;
        self.connections.spawn(Arc::clone(&seller).accept(listener));
        self.connections
            .spawn(Arc::clone(&buyer).keep_connected(seller.id(), address));
        buyer.connected(seller.id()).await;
        seller.connected(buyer.id()).await;

        for wallet in self.wallets() {
            self.give(wallet.script().clone())?;
        }
        let pushed = Msat::from_sat(plan.push_amount.to_sat()).unwrap_or(Msat::MAX);
        for _ in 0..plan.count {
            buyer.open_channel(seller.id(), plan.capacity, pushed)?;
        }
        let transactions = usize::from(plan.count).saturating_add(self.wallets().len());
        let mut progress = self.chain.progress();
        // What is waited on outlives the wait, so it does not end; what is answered is a lock
        // on it, and must go before anything changes.
        drop(progress.wait_for(|now| now.waiting >= transactions).await);
        self.mine(CONFIRMATIONS);
        for node in [seller, buyer] {
            let mut ready = node.ready_channels();
            drop(ready.wait_for(|count| *count >= plan.count).await);
        }
        Ok(())
    }

    /// Gives a wallet its first coins on the chain.
    fn give(&self, script: ScriptBuf) -> Result<(), StartError> {
        let gift = self.chain.faucet(script, INITIAL_ONCHAIN)?;
        self.chain.broadcast(&gift)?;
        Ok(())
    }

    fn disconnect(&mut self) {
        self.connections.abort_all();
        for wallet in self.wallets() {
            wallet.node().disconnect();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.disconnect();
        // The tasks that would do this are cut off with their set.
        for wallet in self.wallets() {
            wallet.close();
        }
    }
}

/// Takes the data directory for this sandbox alone, creating it when missing.
fn claim(data_dir: &Path) -> Result<File, StartError> {
    let failed = |source| StartError::Io {
        doing: format!("use {} as data directory", data_dir.display()),
        source,
    };
    fs::create_dir_all(data_dir).map_err(failed)?;
    let lock = File::create(data_dir.join("sandbox.lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse {
            data_dir: data_dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn wallet_seed(data_dir: &Path, name: &str) -> Result<(Seed, Origin), StartError> {
    let dir = data_dir.join(name);
    fs::create_dir_all(&dir).map_err(|source| StartError::Io {
        doing: format!("create {}", dir.display()),
        source,
    })?;
    Ok(seed::load_or_generate(&dir.join("seed"))?)
}

const SELLER: &str = "seller";
const BUYER: &str = "buyer";
/// Each wallet's first coins on the chain.
const INITIAL_ONCHAIN: Amount = Amount::ONE_BTC;
/// Until the first block rewards mature, and one reward for each of the two gifts.
const FIRST_BLOCKS: u32 = 102;
/// One would do for the nodes; six is what people look for.
const CONFIRMATIONS: u32 = 6;
/// Far more than it takes; a machine slower than this cannot run the network.
const READY_WITHIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::{InvoiceDescription, NewInvoice, NewPayment, PaymentStatus, SelfPayment};

    #[tokio::test]
    async fn a_payment_waits_for_a_connection_that_broke() {
        let dir = tempfile::tempdir().unwrap();
        let config = SandboxConfig::new(dir.path().to_owned());
        let sandbox = Sandbox::start(config).await.unwrap();
        let asked = sandbox.seller().add_invoice(NewInvoice {
            description: InvoiceDescription::Memo("a test".into()),
            amount: Msat::from_sat(1),
            expiry_secs: None,
            preimage: None,
        });

        sandbox.buyer().node().disconnect();
        let watch = sandbox.buyer().pay(&NewPayment {
            bolt11: asked.unwrap().bolt11.into(),
            amount: None,
            fee_max: Msat::ZERO,
            timeout: READY_WITHIN,
            self_payment: SelfPayment::Refuse,
        });

        let paid = watch.unwrap().ended().await;
        assert!(
            matches!(paid.status, PaymentStatus::Succeeded { .. }),
            "{paid:?}"
        );
    }
}
