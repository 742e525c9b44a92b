//! Transaction acceptance.
//!
//! Refuses what would corrupt the chain for its nodes: double spends and unknown coins. Nodes
//! broadcast no transaction before its lock time. Amounts, scripts and the maturity of block
//! rewards are not checked either.

use bitcoin::{OutPoint, Transaction, TxIn, Txid};

use super::State;

/// Why a transaction cannot be in the next block.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MempoolError {
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
    for input in &transaction.input {
        check_input(state, input)?;
    }
    state.waiting.push(txid);
    Ok(state.record(transaction, None))
}

fn check_input(state: &State, input: &TxIn) -> Result<(), MempoolError> {
    let point = input.previous_output;
    state
        .output(&point)
        .ok_or(MempoolError::Unknown { point })?;
    match state.spent.get(&point) {
        Some(by) => Err(MempoolError::Spent { point, by: *by }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::{Amount, ScriptBuf};

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
