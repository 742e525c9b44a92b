//! Source of coins.
//!
//! Every block's reward goes to a script that anyone can spend. The coins are worthless,
//! so the convenience costs nothing.

use bitcoin::absolute::LockTime;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};

/// The faucet holds too few coins.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the faucet holds {held}, less than {wanted}: mine more blocks")]
pub struct FaucetError {
    /// What was asked for, with the transaction's fee.
    pub wanted: Amount,
    /// What is there.
    pub held: Amount,
}

/// Coins that pay to the faucet's script and are not promised to anyone.
#[derive(Debug, Default)]
pub(super) struct Faucet {
    coins: Vec<Coin>,
}

#[derive(Clone, Copy, Debug)]
struct Coin {
    point: OutPoint,
    value: Amount,
}

impl Faucet {
    /// What a coin must pay to for the faucet to own it.
    pub(super) fn script() -> ScriptBuf {
        anyone().to_p2wsh()
    }

    /// Adds whatever `transaction` pays to the faucet.
    pub(super) fn collect(&mut self, txid: Txid, transaction: &Transaction) {
        let ours = Self::script();
        for (vout, output) in (0..).zip(&transaction.output) {
            if output.script_pubkey == ours {
                self.coins.push(Coin {
                    point: OutPoint { txid, vout },
                    value: output.value,
                });
            }
        }
    }

    /// Builds a payment, whose coins are promised to it, whether or not it is ever broadcast.
    pub(super) fn pay(&mut self, output: TxOut) -> Result<Transaction, FaucetError> {
        let wanted = output.value.checked_add(FEE).unwrap_or(Amount::MAX_MONEY);
        let mut gathered = Amount::ZERO;
        let (chosen, kept): (Vec<Coin>, Vec<Coin>) = self.coins.iter().partition(|coin| {
            let take = gathered < wanted;
            if take {
                gathered = gathered.checked_add(coin.value).unwrap_or(gathered);
            }
            take
        });
        let Some(change) = gathered.checked_sub(wanted) else {
            return Err(FaucetError {
                wanted,
                held: gathered,
            });
        };
        self.coins = kept;
        Ok(payment(&chosen, output, change))
    }
}

fn payment(coins: &[Coin], output: TxOut, change: Amount) -> Transaction {
    let mut outputs = vec![output];
    if change > DUST {
        outputs.push(TxOut {
            value: change,
            script_pubkey: Faucet::script(),
        });
    }
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: coins.iter().map(spend).collect(),
        output: outputs,
    }
}

fn spend(coin: &Coin) -> TxIn {
    TxIn {
        previous_output: coin.point,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::from_slice(&[anyone().as_bytes()]),
    }
}

fn anyone() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

const FEE: Amount = Amount::from_sat(1_000);
/// Change below this is left to the miner.
const DUST: Amount = Amount::from_sat(1_000);
