//! Block production.
//!
//! A block takes every waiting transaction and pays the faucet a constant reward. What only
//! other validators would check is left out: proof of work, halvings, fees, the witness
//! commitment. Nodes that are handed blocks directly check none of it.

use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{Amount, Block, OutPoint, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Witness};

use super::State;
use super::faucet::Faucet;

/// Mines `count` blocks, a second apart and the last one about now.
pub(super) fn mine(state: &mut State, count: u32) {
    for remaining in (0..count).rev() {
        let block = next_block(state, now().saturating_sub(remaining));
        state.connect(block);
    }
}

fn next_block(state: &State, time: u32) -> Block {
    let parent = state.tip.header;
    let waiting = state.waiting.iter().filter_map(|txid| {
        let known = state.transactions.get(txid)?;
        Some(known.transaction.clone())
    });
    let mut block = Block {
        header: Header {
            version: BlockVersion::NO_SOFT_FORK_SIGNALLING,
            prev_blockhash: parent.block_hash(),
            merkle_root: TxMerkleNode::all_zeros(),
            time: time.max(parent.time.saturating_add(1)),
            bits: parent.bits,
            nonce: 0,
        },
        txdata: std::iter::once(coinbase(state)).chain(waiting).collect(),
    };
    if let Some(root) = block.compute_merkle_root() {
        block.header.merkle_root = root;
    }
    block
}

/// The height in its input keeps each coinbase's id distinct.
fn coinbase(state: &State) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new()
                .push_int(i64::from(state.next_height()))
                .into_script(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: REWARD,
            script_pubkey: Faucet::script(),
        }],
    }
}

fn now() -> u32 {
    let system = SystemTime::now().duration_since(UNIX_EPOCH);
    u32::try_from(system.unwrap_or_default().as_secs()).unwrap_or(u32::MAX)
}

/// What each block pays to the faucet.
pub(super) const REWARD: Amount = Amount::from_int_btc(50);
