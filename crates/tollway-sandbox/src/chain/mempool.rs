//! Transaction acceptance.
//!
//! Refuses what would corrupt the chain for its nodes: double spends, unknown coins, and
//! transactions before their lock time, which a force-close relies on. Amounts, scripts and
//! the maturity of block rewards are not checked.

use bitcoin::absolute::LockTime;
use bitcoin::{OutPoint, Transaction, TxIn, Txid, relative};

use super::State;

/// Why a transaction cannot be in the next block.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MempoolError {
    /// Its lock time or the age of an input is not reached.
    #[error("transaction is locked until after height {next_height}")]
    NotFinal {
        /// The height it was meant for.
        next_height: u32,
    },
    /// An input is spent by another transaction.
    #[error("{point} is already spent by {by}")]
    Spent {
        /// The input.
        point: OutPoint,
        /// What spends it.
        by: Txid,
    },
    /// An input does not exist.
    #[error("{point} is not an output of this chain")]
    Unknown {
        /// The input.
        point: OutPoint,
    },
}

/// Accepts a transaction for the next block.
pub(super) fn accept(state: &mut State, transaction: &Transaction) -> Result<Txid, MempoolError> {
    let txid = transaction.compute_txid();
    if state.transactions.contains_key(&txid) {
        return Ok(txid);
    }
    check_lock_time(state, transaction)?;
    for input in &transaction.input {
        check_input(state, transaction, input)?;
    }
    state.waiting.push(txid);
    Ok(state.record(transaction, None))
}

/// Lock times are compared with the next block, as consensus does; times with the last one.
fn check_lock_time(state: &State, transaction: &Transaction) -> Result<(), MempoolError> {
    if !transaction.is_lock_time_enabled() {
        return Ok(());
    }
    let next_height = state.next_height();
    let open = match transaction.lock_time {
        LockTime::Blocks(height) => height.to_consensus_u32() < next_height,
        LockTime::Seconds(time) => time.to_consensus_u32() < state.tip.header.time,
    };
    if open {
        Ok(())
    } else {
        Err(MempoolError::NotFinal { next_height })
    }
}

fn check_input(state: &State, transaction: &Transaction, input: &TxIn) -> Result<(), MempoolError> {
    let point = input.previous_output;
    state
        .output(&point)
        .ok_or(MempoolError::Unknown { point })?;
    if let Some(by) = state.spent.get(&point) {
        return Err(MempoolError::Spent { point, by: *by });
    }
    let next_height = state.next_height();
    let parent = state.transactions.get(&point.txid);
    let mined_at = parent.and_then(|known| known.height);
    let age = mined_at.map_or(0, |height| next_height.saturating_sub(height));
    if transaction.version.0 >= 2 && age < blocks_demanded(input) {
        return Err(MempoolError::NotFinal { next_height });
    }
    Ok(())
}

/// The age in blocks that BIP 68 demands of an input. Ages in time are not simulated.
fn blocks_demanded(input: &TxIn) -> u32 {
    match input.sequence.to_relative_lock_time() {
        Some(relative::LockTime::Blocks(blocks)) => u32::from(blocks.value()),
        Some(relative::LockTime::Time(_)) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::{Amount, ScriptBuf, Sequence};

    use super::*;
    use crate::chain::Chain;

    #[test]
    fn an_output_is_spent_once() {
        let (chain, payment) = chain_with_payment();
        let mut second = payment.clone();
        second.output.truncate(1);
        chain.broadcast(&payment).unwrap();

        let refused = chain.broadcast(&second).unwrap_err();

        assert!(matches!(refused, MempoolError::Spent { .. }), "{refused}");
        assert!(chain.broadcast(&payment).is_ok(), "known ones are accepted");
        assert_eq!(chain.progress().borrow().waiting, 1);
    }

    #[test]
    fn locked_transactions_wait() {
        let (chain, payment) = chain_with_payment();
        let mut absolute = payment.clone();
        absolute.lock_time = LockTime::from_height(110).unwrap();
        let mut relative = payment.clone();
        relative.input[0].sequence = Sequence::from_height(101);

        for locked in [&absolute, &relative] {
            let refused = chain.broadcast(locked).unwrap_err();
            assert!(
                matches!(refused, MempoolError::NotFinal { .. }),
                "{refused}"
            );
        }
        chain.mine(10);
        assert!(chain.broadcast(&absolute).is_ok());
    }

    #[test]
    fn what_does_not_exist_cannot_be_spent() {
        let (chain, payment) = chain_with_payment();
        let mut unknown = payment;
        unknown.input[0].previous_output.vout = 7;

        let refused = chain.broadcast(&unknown).unwrap_err();
        assert!(matches!(refused, MempoolError::Unknown { .. }), "{refused}");
    }

    fn chain_with_payment() -> (Chain, Transaction) {
        let chain = Chain::new();
        chain.mine(100);
        let payment = chain.faucet(ScriptBuf::new(), Amount::ONE_BTC).unwrap();
        (chain, payment)
    }
}
