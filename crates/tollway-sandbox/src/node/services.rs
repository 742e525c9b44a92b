//! The services a node needs, for a private chain: logging, fees, broadcast, persistence.

use bitcoin::Transaction;
use lightning::chain::ChannelMonitorUpdateStatus;
use lightning::chain::chaininterface::{BroadcasterInterface, ConfirmationTarget, FeeEstimator};
use lightning::chain::chainmonitor::Persist;
use lightning::chain::channelmonitor::{ChannelMonitor, ChannelMonitorUpdate};
use lightning::sign::InMemorySigner;
use lightning::util::logger::{Level, Logger, Record};
use lightning::util::persist::MonitorName;

use crate::chain::Chain;

/// Passes on what needs attention. The node's finer levels name preimages and are dropped.
pub(super) struct Tracing;

impl Logger for Tracing {
    fn log(&self, record: Record<'_>) {
        match record.level {
            Level::Error => tracing::warn!(module = record.module_path, "{}", record.args),
            Level::Warn => tracing::debug!(module = record.module_path, "{}", record.args),
            Level::Info | Level::Debug | Level::Trace | Level::Gossip => {}
        }
    }
}

/// The lowest fee that nodes accept: no transactions compete for block space here.
pub(super) struct FixedFees;

impl FeeEstimator for FixedFees {
    fn get_est_sat_per_1000_weight(&self, target: ConfirmationTarget) -> u32 {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "every other target is the floor"
        )]
        match target {
            ConfirmationTarget::MaximumFeeEstimate => CEILING_SAT_PER_1000_WEIGHT,
            _ => FLOOR_SAT_PER_1000_WEIGHT,
        }
    }
}

/// Hands transactions to the chain.
pub(super) struct Broadcaster {
    chain: Chain,
}

impl Broadcaster {
    pub(super) fn new(chain: Chain) -> Self {
        Self { chain }
    }
}

impl BroadcasterInterface for Broadcaster {
    fn broadcast_transactions(&self, transactions: &[&Transaction]) {
        for transaction in transactions {
            if let Err(refusal) = self.chain.broadcast(transaction) {
                let txid = transaction.compute_txid();
                tracing::warn!(%txid, %refusal, "the chain refused a node's transaction");
            }
        }
    }
}

/// Channels live as long as the process, so there is nothing to write down.
pub(super) struct NoPersistence;

impl Persist<InMemorySigner> for NoPersistence {
    fn persist_new_channel(
        &self,
        _name: MonitorName,
        _monitor: &ChannelMonitor<InMemorySigner>,
    ) -> ChannelMonitorUpdateStatus {
        ChannelMonitorUpdateStatus::Completed
    }

    fn update_persisted_channel(
        &self,
        _name: MonitorName,
        _update: Option<&ChannelMonitorUpdate>,
        _monitor: &ChannelMonitor<InMemorySigner>,
    ) -> ChannelMonitorUpdateStatus {
        ChannelMonitorUpdateStatus::Completed
    }

    fn archive_persisted_channel(&self, _name: MonitorName) {}
}

const CEILING_SAT_PER_1000_WEIGHT: u32 = 12_500;
const FLOOR_SAT_PER_1000_WEIGHT: u32 = 253;
