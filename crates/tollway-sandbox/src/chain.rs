//! A private chain: blocks on regtest's genesis, in memory, with one writer and no forks.
//!
//! It keeps what its nodes rely on: linked headers, merkle roots, no double spends. Consensus rules that only a validator would check are left out, and scripts are not
//! run, because each node checks what the other signs. Acceptance here does not mean validity
//! elsewhere.

mod faucet;
mod mempool;
mod miner;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bitcoin::{
    Amount, Block, BlockHash, Network, OutPoint, Script, ScriptBuf, Transaction, TxOut, Txid,
};
use l402::UnixSeconds;
use tokio::sync::watch;

use faucet::Faucet;
pub use faucet::FaucetError;
pub use mempool::MempoolError;

/// A regtest chain in memory. Cloning is cheap, and every clone is the same chain.
#[derive(Clone, Debug)]
pub struct Chain {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: RwLock<State>,
    progress: watch::Sender<Progress>,
}

/// How far a chain has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Height of the newest block.
    pub height: u32,
    /// Transactions waiting for the next one.
    pub waiting: usize,
}

/// The newest block of a chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BlockTip {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// Its time.
    pub time: UnixSeconds,
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// A chain of the genesis block only.
    #[must_use]
    pub fn new() -> Self {
        let genesis = bitcoin::constants::genesis_block(Network::Regtest);
        let state = State::from_genesis(genesis);
        let (progress, _no_subscribers) = watch::channel(state.progress());
        let shared = Shared {
            state: RwLock::new(state),
            progress,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The newest block.
    #[must_use]
    pub fn tip(&self) -> BlockTip {
        let state = self.read();
        BlockTip {
            height: state.height,
            hash: state.tip.block_hash(),
            time: UnixSeconds::new(u64::from(state.tip.header.time)),
        }
    }

    /// The block at `height`, if it is mined.
    #[must_use]
    pub fn block(&self, height: u32) -> Option<Arc<Block>> {
        let index = usize::try_from(height).ok()?;
        self.read().blocks.get(index).map(Arc::clone)
    }

    /// Mines `count` blocks, the first of which takes every waiting transaction.
    pub fn mine(&self, count: u32) {
        let mut state = self.write();
        miner::mine(&mut state, count);
        self.shared.progress.send_replace(state.progress());
    }

    /// Accepts a transaction for the next block. One already known is accepted again.
    ///
    /// # Errors
    ///
    /// [`MempoolError`] when it cannot be in the next block; the chain is unchanged.
    pub fn broadcast(&self, transaction: &Transaction) -> Result<Txid, MempoolError> {
        let mut state = self.write();
        let txid = mempool::accept(&mut state, transaction)?;
        self.shared.progress.send_replace(state.progress());
        Ok(txid)
    }

    /// Builds a payment from the faucet and sets its coins aside, without broadcasting it.
    ///
    /// A channel's funding transaction must not be seen before both sides have signed what
    /// spends it.
    ///
    /// # Errors
    ///
    /// [`FaucetError`] when the faucet holds too few coins; mine more blocks.
    pub fn faucet(&self, to: ScriptBuf, amount: Amount) -> Result<Transaction, FaucetError> {
        self.write().faucet.pay(TxOut {
            value: amount,
            script_pubkey: to,
        })
    }

    /// Mines until the faucet can pay `count` times `amount`, each out of coins of its own.
    pub(crate) fn mine_rewards(&self, count: u32, amount: Amount) {
        let each = amount.to_sat().div_euclid(miner::REWARD.to_sat());
        let blocks = u32::try_from(each).unwrap_or(u32::MAX).saturating_add(1);
        self.mine(blocks.saturating_mul(count));
    }

    /// Confirmed, unspent coins that `script` locks.
    pub fn balance(&self, script: &Script) -> Amount {
        let state = self.read();
        state
            .confirmed_outputs()
            .filter(|(point, output)| {
                output.script_pubkey.as_script() == script && !state.spent.contains_key(point)
            })
            .fold(Amount::ZERO, |sum, (_, output)| {
                sum.checked_add(output.value).unwrap_or(Amount::MAX_MONEY)
            })
    }

    /// A view of the chain's progress that can be waited on.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.shared
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.shared
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything the chain knows. Changed only by [`mempool::accept`] and [`State::connect`].
#[derive(Debug)]
struct State {
    height: u32,
    tip: Arc<Block>,
    blocks: Vec<Arc<Block>>,
    transactions: HashMap<Txid, Known>,
    /// Waiting transactions; a child is accepted after its parents, so this order is minable.
    waiting: Vec<Txid>,
    /// Each spent output, and what spends it.
    spent: HashMap<OutPoint, Txid>,
    faucet: Faucet,
}

/// A transaction and the block it is in.
#[derive(Debug)]
struct Known {
    transaction: Transaction,
    height: Option<u32>,
}

impl State {
    fn from_genesis(genesis: Block) -> Self {
        let tip = Arc::new(genesis);
        Self {
            height: 0,
            blocks: vec![Arc::clone(&tip)],
            tip,
            // As in Bitcoin Core, the genesis coinbase is not a coin.
            transactions: HashMap::new(),
            waiting: Vec::new(),
            spent: HashMap::new(),
            faucet: Faucet::default(),
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            height: self.height,
            waiting: self.waiting.len(),
        }
    }

    fn next_height(&self) -> u32 {
        self.height.saturating_add(1)
    }

    fn output(&self, point: &OutPoint) -> Option<&TxOut> {
        let index = usize::try_from(point.vout).ok()?;
        self.transactions
            .get(&point.txid)?
            .transaction
            .output
            .get(index)
    }

    fn confirmed_outputs(&self) -> impl Iterator<Item = (OutPoint, &TxOut)> {
        self.transactions
            .iter()
            .filter(|(_, known)| known.height.is_some())
            .flat_map(|(txid, known)| {
                let outputs = (0..).zip(&known.transaction.output);
                outputs.map(|(vout, output)| (OutPoint { txid: *txid, vout }, output))
            })
    }

    /// Records a transaction that passed [`mempool::accept`] or is a coinbase.
    fn record(&mut self, transaction: &Transaction, height: Option<u32>) -> Txid {
        let txid = transaction.compute_txid();
        for input in &transaction.input {
            self.spent.insert(input.previous_output, txid);
        }
        self.faucet.collect(txid, transaction);
        let known = Known {
            transaction: transaction.clone(),
            height,
        };
        self.transactions.insert(txid, known);
        txid
    }

    /// Appends a block the miner made of this state.
    fn connect(&mut self, block: Block) {
        let height = self.next_height();
        for transaction in &block.txdata {
            match self.transactions.get_mut(&transaction.compute_txid()) {
                Some(known) => known.height = Some(height),
                None => {
                    self.record(transaction, Some(height));
                }
            }
        }
        self.waiting.clear();
        self.height = height;
        self.tip = Arc::new(block);
        self.blocks.push(Arc::clone(&self.tip));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coin_is_promised_once() {
        let chain = Chain::new();
        assert!(chain.faucet(script(1), Amount::ONE_BTC).is_err());
        chain.mine(1);

        assert!(chain.faucet(script(1), Amount::ONE_BTC).is_ok());
        let refused = chain.faucet(script(1), Amount::ONE_BTC).unwrap_err();
        assert_eq!(refused.held, Amount::ZERO);
    }

    #[test]
    fn mined_rewards_pay_for_outputs_larger_than_a_reward() {
        let chain = Chain::new();
        chain.mine_rewards(3, Amount::from_int_btc(120));

        for _ in 0..3 {
            assert!(chain.faucet(script(1), Amount::from_int_btc(120)).is_ok());
        }
    }

    #[test]
    fn every_block_links_to_its_parent_and_commits_to_its_transactions() {
        let chain = Chain::new();
        chain.mine(20);
        let payment = chain.faucet(script(1), Amount::ONE_BTC).unwrap();
        chain.broadcast(&payment).unwrap();
        chain.mine(1);

        let mut ids = std::collections::HashSet::new();
        for height in 1..=21 {
            let block = chain.block(height).unwrap();
            let parent = chain.block(height - 1).unwrap();
            assert_eq!(block.header.prev_blockhash, parent.block_hash());
            assert!(block.header.time > parent.header.time);
            assert!(block.check_merkle_root());
            assert!(ids.insert(block.txdata[0].compute_txid()));
        }
        assert_eq!(chain.block(21).unwrap().txdata.len(), 2);
        assert_eq!(chain.block(22), None);
    }

    #[test]
    fn a_payment_counts_once_it_is_confirmed() {
        let chain = Chain::new();
        chain.mine(1);
        let payment = chain.faucet(script(1), Amount::ONE_BTC).unwrap();

        chain.broadcast(&payment).unwrap();
        assert_eq!(chain.balance(&script(1)), Amount::ZERO);

        chain.mine(1);
        assert_eq!(chain.balance(&script(1)), Amount::ONE_BTC);
    }

    #[test]
    fn progress_is_seen_by_those_who_wait_for_it() {
        let chain = Chain::new();
        let mut progress = chain.progress();

        chain.mine(3);

        assert!(progress.has_changed().unwrap());
        let expected = Progress {
            height: 3,
            waiting: 0,
        };
        assert_eq!(*progress.borrow_and_update(), expected);
    }

    fn script(version: u8) -> ScriptBuf {
        ScriptBuf::from_bytes(vec![version])
    }
}
