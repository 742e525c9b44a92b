//! The task of a wallet.
//!
//! It alone processes the node's events and starts its payments, so no two decisions about
//! money are made at once. All other callers read the books or queue an order.

use std::collections::HashMap;
use std::time::Duration;

use bitcoin::secp256k1::PublicKey;
use l402::{Msat, PaymentHash};
use tokio::sync::watch;
use tokio::time::{self, Instant, MissedTickBehavior};

use super::pay::{self, Order};
use super::payment::FailureReason;
use super::{Inner, Wallet};
use crate::node::{DispatchError, FailureCause, PaymentEvent, RouteError};
use crate::sync::lock;

impl Wallet {
    /// Runs until `stop` becomes true or its sender is dropped.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let task = WalletTask(self);
        let wallet = &task.0.inner;
        let mut tick = time::interval(NODE_TICK);
        // After a suspended machine wakes up, one tick is enough; a burst of them would
        // make peers seem silent.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stop.borrow_and_update() {
            tokio::select! {
                () = wallet.node.event_ready() => {}
                () = wallet.ordered.notified() => {}
                () = wallet.retry_timer() => {}
                _ = tick.tick() => wallet.node.tick(),
                stopped = stop.changed() => if stopped.is_err() { break },
            }
            wallet.node.process_events(&|event| wallet.handle(event));
            wallet.send_waiting();
        }
    }

    /// Ends every watch and subscription, and begins nothing more.
    pub(crate) fn close(&self) {
        self.inner.invoices.stop();
        lock(&self.inner.payments).stop();
    }
}

/// Closes all watches and subscriptions when the task stops, for any reason.
struct WalletTask(Wallet);

impl Drop for WalletTask {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The result of trying an order.
enum Tried {
    Failed(FailureReason),
    Sent,
    /// Nothing left the node; try again once something has changed.
    Wait,
}

impl Inner {
    fn handle(&self, event: PaymentEvent) {
        match event {
            PaymentEvent::Claimable { hash, amount } => self.arrived(&hash, amount),
            PaymentEvent::Failed { hash, because } => self.failed(&hash, because),
            PaymentEvent::Received { hash, amount } => {
                let now = self.clock.now();
                self.invoices.change(|book| book.settle(&hash, amount, now));
                tracing::info!(wallet = %self.name, %hash, %amount, "invoice settled");
            }
            PaymentEvent::Sent {
                hash,
                preimage,
                fee,
            } => {
                lock(&self.outbox).sent.remove(&hash);
                tracing::info!(wallet = %self.name, %hash, %fee, "payment settled");
                let now = self.now_nanos();
                lock(&self.payments).succeed(&hash, preimage, fee, now);
            }
        }
    }

    /// A payment to us is complete: it is taken, or sent back.
    fn arrived(&self, hash: &PaymentHash, amount: Msat) {
        let now = self.clock.now();
        match self.invoices.change(|book| book.claim(hash, amount, now)) {
            Ok(preimage) => self.node.claim(&preimage),
            Err(reason) => {
                tracing::debug!(wallet = %self.name, %hash, %reason, "payment sent back");
                self.node.refuse(hash);
            }
        }
    }

    /// A payment of ours failed, and nothing of it is in flight: it ends or is tried again.
    fn failed(&self, hash: &PaymentHash, because: FailureCause) {
        let order = lock(&self.outbox).sent.remove(hash);
        let reason = match (because, order) {
            (FailureCause::OnTheWay, Some(order)) if order.tries < TRIES_MAX => {
                lock(&self.payments).attempts_failed(hash, self.now_nanos());
                lock(&self.outbox).waiting.push_front(order);
                return;
            }
            (FailureCause::OnTheWay, _) => FailureReason::NoRoute,
            (FailureCause::Expired, _) => FailureReason::Timeout,
            (FailureCause::Node, _) => FailureReason::Error,
            (FailureCause::Payee, _) => FailureReason::IncorrectPaymentDetails,
        };
        self.give_up(hash, reason);
    }

    fn give_up(&self, hash: &PaymentHash, reason: FailureReason) {
        tracing::info!(wallet = %self.name, %hash, %reason, "payment failed");
        lock(&self.payments).fail(hash, reason, self.now_nanos());
    }

    /// Sends every waiting order that can be sent, the oldest first.
    fn send_waiting(&self) {
        let orders = std::mem::take(&mut lock(&self.outbox).waiting);
        let mut kept = Vec::new();
        // An order as large as one to the same payee that must wait would have to wait as well.
        let mut too_large: HashMap<PublicKey, Msat> = HashMap::new();
        for mut order in orders {
            let tried = if order.deadline <= Instant::now() {
                Tried::Failed(FailureReason::Timeout)
            } else if too_large
                .get(&order.to.node)
                .is_some_and(|least| order.amount >= *least)
            {
                Tried::Wait
            } else {
                self.try_order(&mut order)
            };
            match tried {
                Tried::Failed(reason) => self.give_up(&order.hash, reason),
                Tried::Sent => {
                    lock(&self.outbox).sent.insert(order.hash, order);
                }
                Tried::Wait => {
                    let least = too_large.entry(order.to.node).or_insert(order.amount);
                    *least = order.amount.min(*least);
                    kept.push(order);
                }
            }
        }
        // In front of what was ordered since.
        let mut outbox = lock(&self.outbox);
        for order in kept.into_iter().rev() {
            outbox.waiting.push_front(order);
        }
    }

    fn try_order(&self, order: &mut Order) -> Tried {
        let way = match self.node.route(&order.to, order.amount, order.fee_max) {
            Ok(way) => way,
            Err(RouteError::Busy) => return Tried::Wait,
            Err(RouteError::Insufficient) => {
                return Tried::Failed(FailureReason::InsufficientBalance);
            }
            Err(RouteError::NoRoute) => return Tried::Failed(FailureReason::NoRoute),
        };
        order.tries = order.tries.saturating_add(1);
        // Written down first: from here on the payment may be in flight.
        let attempts = pay::attempts(&way, self.now_nanos());
        lock(&self.payments).attempt(&order.hash, attempts);
        let metadata = order.metadata.clone();
        let sent = self
            .node
            .send(way.route, &order.hash, order.secret, metadata);
        match sent {
            // The node has it in flight already and will report its end.
            Ok(()) | Err(DispatchError::Duplicate) => Tried::Sent,
            Err(DispatchError::Expired) => Tried::Failed(FailureReason::Timeout),
            Err(DispatchError::TooLarge) => Tried::Failed(FailureReason::Error),
            Err(DispatchError::OnTheWay) if order.tries >= TRIES_MAX => {
                Tried::Failed(FailureReason::NoRoute)
            }
            Err(DispatchError::OnTheWay) => {
                lock(&self.payments).attempts_failed(&order.hash, self.now_nanos());
                Tried::Wait
            }
        }
    }

    /// Resolves when waiting orders should be looked at again although nothing happened.
    async fn retry_timer(&self) {
        if lock(&self.outbox).waiting.is_empty() {
            std::future::pending::<()>().await;
        }
        time::sleep(WAITING_PAUSE).await;
    }
}

/// How often the node keeps time; what its peers expect.
const NODE_TICK: Duration = Duration::from_secs(10);
/// Room for the deadlines of waiting orders to pass unnoticed.
const WAITING_PAUSE: Duration = Duration::from_millis(50);
/// Attempts that may fail on the way before a payment does.
const TRIES_MAX: u32 = 16;
