//! A private Lightning network: its start, its parts and its end.
//!
//! A chain, a `seller` and a `buyer`, a connection, channels between them with money on
//! both sides. Identities last: seeds are kept in the data directory. Everything else is
//! new at each start; [`Sandbox::history`] is whether the directory had been used before.

use std::fs::{File, TryLockError};
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
use crate::disk::{self, DiskError};
use crate::node::{self, Node, OpenChannelError, SeedError};
use crate::seed::{self, Origin, Seed, SeedFileError};
use crate::wallet::Wallet;

/// Sandbox configuration.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Directory of the wallets' seeds. Created when missing; one sandbox at a time uses it.
    pub data_dir: PathBuf,
    /// The channels between the two wallets.
    pub channels: ChannelPlan,
}

impl SandboxConfig {
    /// Creates a configuration with the default channels, and seeds in `data_dir`.
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
    /// The part of each that is the seller's from the start.
    pub push_amount: Amount,
    /// Payments in flight in each, per direction; at most 483.
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

/// Whether a data directory had been used before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum History {
    /// It had: the wallets keep their identities and keys; chain, channels, invoices and
    /// payments are new.
    Reset,
    /// It had not.
    New,
}

/// Why a sandbox did not start. What had been started is stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A node refused a channel, could not fund it, or closed it.
    #[error("a channel could not be opened: {reason}")]
    Channel {
        /// What the node reported.
        reason: String,
    },
    /// A file or folder cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The first coins cannot be paid out.
    #[error("the wallets cannot be given their first coins")]
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
    #[error("the channels were not ready within {} s: the machine is overloaded, or has no file descriptors left", READY_WITHIN.as_secs())]
    NotReady,
    /// A channel cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenChannelError),
    /// A first transaction was not accepted.
    #[error("the chain refused a first transaction")]
    Refused(#[from] MempoolError),
    /// A seed yields no keys.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// No seed can be generated.
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
    max_accepted_htlcs: u16,
    /// The wallets' tasks end after `stop` is set; joined, so that their last events are handled.
    tasks: JoinSet<()>,
    /// Listening and dialling never end, and are aborted.
    connections: JoinSet<()>,
    /// Held for as long as the data directory is in use.
    _data_dir_lock: File,
}

impl Sandbox {
    /// Starts a network, and returns when its first payment can be made.
    ///
    /// Must be called in a Tokio runtime, on which the network then runs. Dropping the
    /// future stops what was started.
    ///
    /// # Errors
    ///
    /// [`SandboxError`].
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        let data_dir = &config.data_dir;
        let lock = claim(data_dir)?;
        let (seller_seed, seller_origin) = wallet_seed(data_dir, SELLER)?;
        let (buyer_seed, buyer_origin) = wallet_seed(data_dir, BUYER)?;
        let chain = Chain::new();
        chain.mine(FIRST_BLOCKS);
        let slots = config.channels.max_accepted_htlcs;
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
            max_accepted_htlcs: slots,
            _data_dir_lock: lock,
        };
        sandbox.spawn_wallet_tasks();
        within(READY_WITHIN, async {
            sandbox.connect().await?;
            sandbox.open_channels(&config.channels).await
        })
        .await?;
        Ok(sandbox)
    }

    /// Returns whether the data directory had been used before.
    #[must_use]
    pub fn history(&self) -> History {
        self.history
    }

    /// Returns the wallet that is paid.
    #[must_use]
    pub fn seller(&self) -> &Wallet {
        &self.seller
    }

    /// Returns the wallet that pays.
    #[must_use]
    pub fn buyer(&self) -> &Wallet {
        &self.buyer
    }

    /// Returns both wallets.
    #[must_use]
    pub fn wallets(&self) -> [&Wallet; 2] {
        [&self.seller, &self.buyer]
    }

    /// Returns the wallet called `name`: `seller` or `buyer`.
    #[must_use]
    pub fn wallet(&self, name: &str) -> Option<&Wallet> {
        self.wallets()
            .into_iter()
            .find(|wallet| wallet.name() == name)
    }

    /// Returns the network's chain. To mine, use [`mine`](Self::mine), which updates the nodes.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Mines `blocks` and hands them to the nodes.
    ///
    /// A payment in flight is not settled by mining: a channel whose payment reaches its lock
    /// time is closed, as on any network, and a closed channel is not replaced.
    pub fn mine(&self, blocks: u32) {
        self.chain.mine(blocks);
        for wallet in self.wallets() {
            wallet.node().sync();
        }
    }

    /// Opens another channel of `capacity` from the buyer, all of it the buyer's to spend.
    ///
    /// Returns when the channel can be used. For long tests that spend what the buyer has.
    ///
    /// # Errors
    ///
    /// [`SandboxError`]; the other channels are unchanged.
    pub async fn refill(&self, capacity: Amount) -> Result<(), SandboxError> {
        let plan = ChannelPlan {
            count: 1,
            capacity,
            push_amount: Amount::ZERO,
            max_accepted_htlcs: self.max_accepted_htlcs,
        };
        within(READY_WITHIN, self.open_channels(&plan)).await
    }

    /// Stops the network, and returns when none of its tasks runs any more.
    ///
    /// Watches and subscriptions end. A payment in flight keeps its status.
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

    /// Connects the nodes and gives each wallet its first coins.
    async fn connect(&mut self) -> Result<(), SandboxError> {
        let (seller, buyer) = (
            Arc::clone(self.seller.node()),
            Arc::clone(self.buyer.node()),
        );
        let listener = node::bind().await.map_err(|source| SandboxError::Io {
            doing: "listen on the loopback interface".to_owned(),
            source,
        })?;
        let address = listener.local_addr().map_err(|source| SandboxError::Io {
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
        Ok(())
    }

    /// Opens channels from the buyer to the seller, and returns when all can be used.
    ///
    /// A node accepts four channels of a peer that are not confirmed, so more are opened in
    /// groups, with blocks mined between.
    async fn open_channels(&self, plan: &ChannelPlan) -> Result<(), SandboxError> {
        let mut missing = plan.count;
        while missing > 0 {
            let group = missing.min(UNCONFIRMED_CHANNELS_MAX);
            self.open_group(plan, group).await?;
            missing = missing.saturating_sub(group);
        }
        Ok(())
    }

    async fn open_group(&self, plan: &ChannelPlan, count: u16) -> Result<(), SandboxError> {
        let nodes = [self.buyer.node(), self.seller.node()];
        let [buyer, seller] = nodes;
        buyer.clear_channel_failure();
        seller.clear_channel_failure();
        self.chain.mine_rewards(u32::from(count), plan.capacity);
        let pushed = Msat::from_sat(plan.push_amount.to_sat()).unwrap_or(Msat::MAX);
        let waiting = self.chain.progress().borrow().waiting;
        let ready = nodes.map(|node| node.channel_status().borrow().ready);
        for _ in 0..count {
            buyer.open_channel(seller.id(), plan.capacity, pushed)?;
        }
        let funded = waiting.saturating_add(usize::from(count));
        let mut progress = self.chain.progress();
        tokio::select! {
            // The sender outlives the wait. The result holds a lock on the value, and must be
            // dropped before the chain changes.
            reached = progress.wait_for(|now| now.waiting >= funded) => drop(reached),
            reason = buyer.channel_failure() => return Err(SandboxError::Channel { reason }),
            reason = seller.channel_failure() => return Err(SandboxError::Channel { reason }),
        }
        self.mine(CONFIRMATIONS);
        for (node, before) in nodes.into_iter().zip(ready) {
            node.channels_ready(before.saturating_add(count))
                .await
                .map_err(|reason| SandboxError::Channel { reason })?;
        }
        Ok(())
    }

    /// Gives a wallet its first coins on the chain.
    fn give(&self, script: ScriptBuf) -> Result<(), SandboxError> {
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

/// Fails with [`SandboxError::NotReady`] when `work` takes longer than `limit`.
async fn within(
    limit: Duration,
    work: impl Future<Output = Result<(), SandboxError>>,
) -> Result<(), SandboxError> {
    let done = timeout(limit, work).await;
    done.unwrap_or(Err(SandboxError::NotReady))
}

/// Locks the data directory for this sandbox alone, creating it when missing.
fn claim(data_dir: &Path) -> Result<File, SandboxError> {
    let failed = |source| SandboxError::Io {
        doing: format!("use {} as data directory", data_dir.display()),
        source,
    };
    disk::make_folder(data_dir)?;
    let lock = File::create(data_dir.join("sandbox.lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(SandboxError::InUse {
            data_dir: data_dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn wallet_seed(data_dir: &Path, name: &str) -> Result<(Seed, Origin), SandboxError> {
    let dir = data_dir.join(name);
    disk::make_folder(&dir)?;
    Ok(seed::load_or_generate(&dir.join("seed"))?)
}

const SELLER: &str = "seller";
const BUYER: &str = "buyer";
/// Each wallet's first coins on the chain.
const INITIAL_ONCHAIN: Amount = Amount::ONE_BTC;
/// What most regtest set-ups begin with; two rewards are needed for the wallets' first coins.
const FIRST_BLOCKS: u32 = 101;
/// One is enough for the nodes; six is what people look for.
const CONFIRMATIONS: u32 = 6;
/// LDK's `MAX_UNFUNDED_CHANS_PER_PEER`.
const UNCONFIRMED_CHANNELS_MAX: u16 = 4;
/// Far more than it takes.
const READY_WITHIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::{
        InvoiceDescription, NewInvoice, NewPayment, PaymentStatus, SelfPayment, parse_invoice,
    };

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
            invoice: parse_invoice(&asked.unwrap().bolt11).unwrap(),
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
