//! A scripted wallet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use l402::{Msat, Network, PaymentHash, Preimage};
use tokio::sync::{Semaphore, watch};
use tollway_lightning::{
    FeeCap, LookupByHash, Paid, PayError, Payer, PayerPromises, PaymentState, PaymentTerms, Repeat,
    WalletError, WalletIdentity, WalletKey,
};

/// What the wallet does with the next payment. Without orders it pays, for a fee of 1 msat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// Takes more for routing than it was allowed to.
    Overcharge(Msat),
    /// Fails for good.
    Fail,
    /// Reports an unknown outcome, and never begins.
    Forget,
    /// Is not reached by the request.
    Miss,
    /// Pays, and reports an unknown outcome.
    PayAndForget,
    /// Begins, and does not get to an end.
    Stall,
    /// Reports a settled payment, with a preimage of another one.
    Lie,
    /// Breaks down in the middle.
    Panic,
}

/// The payments are real to it: what it settled stays settled, and it counts them.
#[derive(Debug)]
pub(crate) struct FakeWallet {
    preimages: Arc<Mutex<HashMap<PaymentHash, Preimage>>>,
    orders: Mutex<VecDeque<Order>>,
    asked: Mutex<Vec<PaymentHash>>,
    fee_ceilings: Mutex<Vec<Msat>>,
    payments: Mutex<HashMap<PaymentHash, PaymentState>>,
    /// Payments wait for a permit; unlimited unless a test holds them.
    gate: Semaphore,
    begun: watch::Sender<usize>,
    reachable: Mutex<bool>,
    /// What it fails with when it is asked which wallet it is.
    closed: Option<fn() -> WalletError>,
    node: u8,
    promises: PayerPromises,
}

/// The identity of a wallet on a node that does not exist.
pub(crate) const fn identity(node: u8) -> WalletIdentity {
    WalletIdentity::new(WalletKey::Node([node; 33]), Network::Regtest)
}

/// What LND promises.
pub(crate) const PROMISES: PayerPromises = PayerPromises {
    fee_cap: FeeCap::Enforced,
    lookup: LookupByHash::Supported,
    repeat: Repeat::PaysOnce,
};

impl FakeWallet {
    pub(crate) fn new(preimages: Arc<Mutex<HashMap<PaymentHash, Preimage>>>) -> Self {
        Self {
            preimages,
            orders: Mutex::default(),
            asked: Mutex::default(),
            fee_ceilings: Mutex::default(),
            payments: Mutex::default(),
            gate: Semaphore::new(1_000),
            begun: watch::Sender::new(0),
            reachable: Mutex::new(true),
            closed: None,
            node: 2,
            promises: PROMISES,
        }
    }

    /// Another wallet, whatever it is called.
    pub(crate) fn with_node(self, node: u8) -> Self {
        Self { node, ..self }
    }

    pub(crate) fn with_promises(self, promises: PayerPromises) -> Self {
        Self { promises, ..self }
    }

    /// A wallet that cannot be opened.
    pub(crate) fn closed(self, error: fn() -> WalletError) -> Self {
        Self {
            closed: Some(error),
            ..self
        }
    }

    pub(crate) fn order(&self, order: Order) {
        self.orders.lock().unwrap().push_back(order);
    }

    /// Every request to pay it has received.
    pub(crate) fn asked(&self) -> Vec<PaymentHash> {
        self.asked.lock().unwrap().clone()
    }

    /// The fee ceiling of every request to pay.
    pub(crate) fn fee_ceilings(&self) -> Vec<Msat> {
        self.fee_ceilings.lock().unwrap().clone()
    }

    /// The payments for which money moved.
    pub(crate) fn settled(&self) -> Vec<PaymentHash> {
        let payments = self.payments.lock().unwrap();
        let settled = payments
            .iter()
            .filter(|(_, state)| matches!(state, PaymentState::Settled(_)));
        settled.map(|(hash, _)| *hash).collect()
    }

    pub(crate) fn set(&self, hash: PaymentHash, state: PaymentState) {
        self.payments.lock().unwrap().insert(hash, state);
    }

    /// Deletes its payments, as `lncli deletepayments --all` and a restored node do.
    pub(crate) fn forget_payments(&self) {
        self.payments.lock().unwrap().clear();
    }

    /// Settles a payment as if it had been on its way.
    pub(crate) fn settle(&self, hash: PaymentHash) {
        let preimage = self.preimages.lock().unwrap()[&hash].clone();
        self.set(hash, PaymentState::Settled(Paid { preimage, fee: FEE }));
    }

    pub(crate) fn set_reachable(&self, reachable: Reachable) {
        *self.reachable.lock().unwrap() = reachable == Reachable::Yes;
    }

    /// Lets payments begin and not proceed.
    pub(crate) fn hold(&self) {
        self.gate.forget_permits(1_000);
    }

    pub(crate) fn release(&self) {
        self.gate.add_permits(1_000);
    }

    /// Waits until this many payments have begun.
    pub(crate) async fn until_begun(&self, count: usize) {
        let mut begun = self.begun.subscribe();
        begun.wait_for(|begun| *begun >= count).await.unwrap();
    }

    async fn pay_now(&self, payment: PaymentTerms) -> Result<Paid, PayError> {
        let hash = payment.invoice.payment_hash();
        self.asked.lock().unwrap().push(hash);
        self.fee_ceilings.lock().unwrap().push(payment.fee_max);
        self.begun.send_modify(|begun| *begun += 1);
        self.gate.acquire().await.unwrap().forget();
        self.gate.add_permits(1);
        let order = self.orders.lock().unwrap().pop_front();
        let reason = || "as ordered".to_owned();
        match order {
            Some(Order::Fail) => {
                self.set(hash, PaymentState::Failed { reason: reason() });
                return Err(PayError::Failed { reason: reason() });
            }
            Some(Order::Forget) => return Err(PayError::Unknown { reason: reason() }),
            Some(Order::Miss) => return Err(PayError::NotSent { reason: reason() }),
            Some(Order::Stall) => {
                self.set(hash, PaymentState::InFlight);
                return Err(PayError::Unknown { reason: reason() });
            }
            Some(Order::Panic) => panic!("as ordered"),
            Some(Order::Lie | Order::Overcharge(_) | Order::PayAndForget) | None => {}
        }
        let preimage = self.preimages.lock().unwrap()[&hash].clone();
        let fee = match order {
            Some(Order::Overcharge(fee)) => fee,
            _ => FEE,
        };
        let paid = Paid { preimage, fee };
        self.set(hash, PaymentState::Settled(paid.clone()));
        match order {
            Some(Order::PayAndForget) => {
                self.set_reachable(Reachable::No);
                Err(PayError::Unknown { reason: reason() })
            }
            Some(Order::Lie) => {
                let preimage = Preimage::new([0xee; 32]);
                Ok(Paid { preimage, fee })
            }
            _ => Ok(paid),
        }
    }
}

impl Payer for FakeWallet {
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>> {
        async { Ok(Network::Regtest) }.boxed()
    }

    fn identity(&self) -> BoxFuture<'_, Result<WalletIdentity, WalletError>> {
        async {
            match self.closed {
                Some(error) => Err(error()),
                None => Ok(identity(self.node)),
            }
        }
        .boxed()
    }

    fn promises(&self) -> BoxFuture<'_, Result<PayerPromises, WalletError>> {
        async { Ok(self.promises) }.boxed()
    }

    fn pay(&self, payment: PaymentTerms) -> BoxFuture<'_, Result<Paid, PayError>> {
        self.pay_now(payment).boxed()
    }

    fn lookup(
        &self,
        hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<PaymentState>, WalletError>> {
        async move {
            if !*self.reachable.lock().unwrap() {
                let reason = "the wallet is away".to_owned();
                return Err(WalletError::Unreachable { reason });
            }
            Ok(self.payments.lock().unwrap().get(&hash).cloned())
        }
        .boxed()
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reachable {
    No,
    Yes,
}

pub(crate) const FEE: Msat = Msat::from_msat(1);
