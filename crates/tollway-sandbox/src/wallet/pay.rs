//! Orders to pay: the checks before one is accepted, and the record of its attempts.

use std::collections::{HashMap, VecDeque};

use bitcoin::secp256k1::PublicKey;
use l402::{Msat, PaymentHash, UnixSeconds};
use lightning::routing::router::Path;
use lightning_invoice::Bolt11Invoice;
use tokio::time::Instant;

use super::payment::{
    Attempt, AttemptStatus, Hop, NewPayment, PaymentRecord, PaymentStatus, SelfPayment, SendError,
    check_network,
};
use crate::node::{Destination, PlannedRoute};

/// A payment that may be begun: everything that can be refused by reading has been.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) hash: PaymentHash,
    pub(super) to: Destination,
    pub(super) amount: Msat,
    pub(super) fee_max: Msat,
    pub(super) secret: [u8; 32],
    pub(super) metadata: Option<Vec<u8>>,
    /// When attempts are no longer started.
    pub(super) deadline: Instant,
    /// Attempts started.
    pub(super) tries: u32,
}

impl Order {
    /// Checks a payment, in LND's order.
    pub(super) fn check(
        new: &NewPayment,
        payer: &PublicKey,
        now: UnixSeconds,
    ) -> Result<Self, SendError> {
        let invoice = &new.invoice;
        check_network(invoice).map_err(SendError::WrongNetwork)?;
        check_expiry(invoice, now)?;
        let amount = match (invoice.amount_milli_satoshis(), new.amount) {
            (Some(_), Some(_)) => return Err(SendError::AmountGiven),
            (Some(asked), None) => Msat::from_msat(asked),
            (None, Some(given)) if !given.is_zero() => given,
            (None, _) => return Err(SendError::AmountMissing),
        };
        let to = Destination::of_invoice(invoice);
        if to.node == *payer && new.self_payment == SelfPayment::Refuse {
            return Err(SendError::SelfPayment);
        }
        let start = Instant::now();
        Ok(Self {
            hash: PaymentHash::new(*invoice.payment_hash().as_ref()),
            to,
            amount,
            fee_max: new.fee_max,
            secret: invoice.payment_secret().0,
            metadata: invoice.payment_metadata().cloned(),
            deadline: start
                .checked_add(new.timeout)
                .unwrap_or_else(|| far_from(start)),
            tries: 0,
        })
    }

    /// The record of this payment as it begins.
    pub(super) fn record(&self, invoice: &Bolt11Invoice, now_nanos: u64) -> PaymentRecord {
        PaymentRecord {
            payment_index: 0,
            hash: self.hash,
            bolt11: invoice.to_string().into(),
            destination: self.to.node,
            amount: self.amount,
            created_at_nanos: now_nanos,
            status: PaymentStatus::InFlight,
            attempts: Vec::new(),
        }
    }
}

/// Orders on their way through the node. Only the wallet's own task takes them out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// To be sent, the oldest first.
    pub(super) waiting: VecDeque<Order>,
    /// Sent, and not ended.
    pub(super) sent: HashMap<PaymentHash, Order>,
}

/// Returns the attempts of a planned route, as the payment's record has them.
pub(super) fn attempts(way: &PlannedRoute, now_nanos: u64) -> Vec<Attempt> {
    let paths = way.route.paths.iter();
    paths.map(|path| attempt(way, path, now_nanos)).collect()
}

fn attempt(way: &PlannedRoute, path: &Path, now_nanos: u64) -> Attempt {
    // From the payee backwards: what a hop forwards is what all later hops take.
    let mut forwards = Msat::ZERO;
    let mut height = way.height;
    let mut hops: Vec<Hop> = Vec::with_capacity(path.hops.len());
    for (place, hop) in path.hops.iter().rev().enumerate() {
        let takes = Msat::from_msat(hop.fee_msat);
        let arriving = forwards.checked_add(takes).unwrap_or(Msat::MAX);
        let lock_arriving = height.saturating_add(hop.cltv_expiry_delta);
        let is_payee = place == 0;
        hops.push(Hop {
            node: hop.pubkey,
            channel_id: hop.short_channel_id,
            forwards: if is_payee { arriving } else { forwards },
            fee: if is_payee { Msat::ZERO } else { takes },
            expiry_height: if is_payee { lock_arriving } else { height },
        });
        forwards = arriving;
        height = lock_arriving;
    }
    hops.reverse();
    Attempt {
        id: 0,
        sent_at_nanos: now_nanos,
        total: forwards,
        fee: Msat::from_msat(path.fee_msat()),
        total_time_lock: height,
        hops,
        status: AttemptStatus::InFlight,
    }
}

fn check_expiry(invoice: &Bolt11Invoice, now: UnixSeconds) -> Result<(), SendError> {
    let created = UnixSeconds::new(invoice.duration_since_epoch().as_secs());
    let expired_at = created.plus_secs(invoice.expiry_time().as_secs());
    if now < expired_at {
        return Ok(());
    }
    Err(SendError::Expired {
        expired_at,
        seconds_ago: now.secs_since(expired_at),
    })
}

/// A deadline for timeouts that no clock can hold.
fn far_from(start: Instant) -> Instant {
    const THIRTY_YEARS: std::time::Duration = std::time::Duration::from_secs(946_080_000);
    start.checked_add(THIRTY_YEARS).unwrap_or(start)
}
