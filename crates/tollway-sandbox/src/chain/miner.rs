//! How is a block made?

use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::hashes::Hash;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Witness,
    WitnessMerkleNode,
};

use super::State;
use super::faucet::Faucet;

/// Mines `count` blocks, a second apart and the last one about now.
pub(super) fn mine(state: &mut State, count: u32) {
    for remaining in (0..count).rev() {
        let block = solve(template(state, now().saturating_sub(remaining)));
        state.connect(block);
    }
}

/// The next block, complete but for its proof of work.
fn template(state: &State, time: u32) -> Block {
    let parent = state.tip.header;
    let waiting = state.waiting.iter().filter_map(|txid| {
        let known = state.transactions.get(txid)?;
        Some(known.transaction.clone())
    });
    // The coinbase commits to the block's witnesses, its own counted as zero.
    let placeholder = coinbase(state, WitnessMerkleNode::all_zeros());
    let mut block = Block {
        header: Header {
            version: BlockVersion::NO_SOFT_FORK_SIGNALLING,
            prev_blockhash: parent.block_hash(),
            merkle_root: TxMerkleNode::all_zeros(),
            time: time.max(parent.time.saturating_add(1)),
            bits: parent.bits,
            nonce: 0,
        },
        txdata: std::iter::once(placeholder).chain(waiting).collect(),
    };
    if let (Some(root), Some(first)) = (block.witness_root(), block.txdata.first_mut()) {
        *first = coinbase(state, root);
    }
    if let Some(root) = block.compute_merkle_root() {
        block.header.merkle_root = root;
    }
    block
}

/// Tries nonces until the header meets its target: two tries on average on regtest.
fn solve(mut block: Block) -> Block {
    let target = block.header.target();
    while !target.is_met_by(block.header.block_hash()) {
        block.header.nonce = block.header.nonce.wrapping_add(1);
    }
    block
}

fn coinbase(state: &State, witness_root: WitnessMerkleNode) -> Transaction {
    let height = state.next_height();
    let reward = TxOut {
        value: subsidy(height)
            .checked_add(fees(state))
            .unwrap_or(Amount::ZERO),
        script_pubkey: Faucet::script(),
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            // BIP 34: the height comes first. The zero keeps it at the two bytes demanded.
            script_sig: Builder::new()
                .push_int(i64::from(height))
                .push_int(0)
                .into_script(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[WITNESS_RESERVED]),
        }],
        output: vec![reward, witness_commitment(&witness_root)],
    }
}

/// BIP 141: a marker and the hash of the witness root and the reserved value.
fn witness_commitment(root: &WitnessMerkleNode) -> TxOut {
    let commitment = Block::compute_witness_commitment(root, &WITNESS_RESERVED);
    let mut payload = PushBytesBuf::from(WITNESS_MARKER);
    // 36 bytes, far below what one push can hold.
    let _fits = payload.extend_from_slice(commitment.as_byte_array());
    TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::new_op_return(payload),
    }
}

/// Regtest halves the reward every 150 blocks.
fn subsidy(height: u32) -> Amount {
    let halvings = height.div_euclid(150);
    let sats = Amount::from_int_btc(50).to_sat().checked_shr(halvings);
    Amount::from_sat(sats.unwrap_or(0))
}

fn fees(state: &State) -> Amount {
    let waiting = state.waiting.iter();
    waiting
        .filter_map(|txid| fee(state, &state.transactions.get(txid)?.transaction))
        .fold(Amount::ZERO, |sum, fee| sum.checked_add(fee).unwrap_or(sum))
}

fn fee(state: &State, transaction: &Transaction) -> Option<Amount> {
    let mut input = Amount::ZERO;
    for spend in &transaction.input {
        input = input.checked_add(state.output(&spend.previous_output)?.value)?;
    }
    let outputs = transaction.output.iter();
    let output = outputs.map(|output| output.value).sum();
    input.checked_sub(output)
}

fn now() -> u32 {
    let system = SystemTime::now().duration_since(UNIX_EPOCH);
    u32::try_from(system.unwrap_or_default().as_secs()).unwrap_or(u32::MAX)
}

const WITNESS_MARKER: [u8; 4] = [0xaa, 0x21, 0xa9, 0xed];
const WITNESS_RESERVED: [u8; 32] = [0; 32];
