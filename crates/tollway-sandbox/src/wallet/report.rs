//! A node's own data: identity, channels, balances.

use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, OutPoint};
use l402::Msat;
use lightning::ln::channel_state::ChannelDetails;

use crate::chain::BlockTip;

/// What a node is and where its chain stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeInfo {
    /// The node's identity.
    pub pubkey: PublicKey,
    /// Its name.
    pub alias: String,
    /// The block it stands on.
    pub tip: BlockTip,
    /// Channels that can be used.
    pub active_channels: u32,
    /// Channels whose peer is away.
    pub inactive_channels: u32,
    /// Channels still being opened.
    pub pending_channels: u32,
    /// Peers connected.
    pub peers: u32,
}

/// One channel, as its node sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channel {
    /// The short channel id, once confirmed: block, transaction and output.
    pub short_id: Option<u64>,
    /// The funding output, once known.
    pub point: Option<OutPoint>,
    /// The node at the other end.
    pub peer: PublicKey,
    /// The funding output's size.
    pub capacity: Amount,
    /// This node's side, its reserve included.
    pub local: Msat,
    /// The other side, its reserve included.
    pub remote: Msat,
    /// In payments in flight, in either direction.
    pub unsettled: Msat,
    /// What this node must always keep.
    pub local_reserve: Amount,
    /// What the other node must always keep.
    pub remote_reserve: Amount,
    /// Who opened it.
    pub initiator: Initiator,
    /// True when it can be used now.
    pub active: bool,
    /// True when it is not announced to other nodes.
    pub private: bool,
    /// Blocks this node would wait for its side after closing alone.
    pub csv_delay: u16,
}

/// Who opened a channel, and so pays for its transactions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Initiator {
    /// This node.
    Local,
    /// The other node.
    Remote,
}

/// The sums of every channel's two sides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChannelBalance {
    /// This node's side.
    pub local: Msat,
    /// The other side.
    pub remote: Msat,
    /// In payments in flight, in either direction.
    pub unsettled: Msat,
}

impl Channel {
    pub(super) fn from_details(details: &ChannelDetails) -> Self {
        let capacity = Amount::from_sat(details.channel_value_satoshis);
        let local_reserve = Amount::from_sat(details.unspendable_punishment_reserve.unwrap_or(0));
        let remote_reserve = Amount::from_sat(details.counterparty.unspendable_punishment_reserve);
        let local = side(details.outbound_capacity_msat, local_reserve);
        let remote = side(details.inbound_capacity_msat, remote_reserve);
        Self {
            short_id: details.short_channel_id,
            point: details.funding_txo.map(|txo| txo.into_bitcoin_outpoint()),
            peer: details.counterparty.node_id,
            capacity,
            local,
            remote,
            unsettled: [local, remote]
                .into_iter()
                .fold(msat(capacity), |rest, side| {
                    rest.checked_sub(side).unwrap_or(Msat::ZERO)
                }),
            local_reserve,
            remote_reserve,
            initiator: if details.is_outbound {
                Initiator::Local
            } else {
                Initiator::Remote
            },
            active: details.is_usable,
            private: !details.is_announced,
            csv_delay: details.force_close_spend_delay.unwrap_or(0),
        }
    }
}

impl ChannelBalance {
    pub(super) fn sum(channels: &[Channel]) -> Self {
        let sum = |side: fn(&Channel) -> Msat| {
            let sides = channels.iter().map(side);
            sides.fold(Msat::ZERO, |sum, one| {
                sum.checked_add(one).unwrap_or(Msat::MAX)
            })
        };
        Self {
            local: sum(|channel| channel.local),
            remote: sum(|channel| channel.remote),
            unsettled: sum(|channel| channel.unsettled),
        }
    }
}

/// The node counts a side without the reserve, because the reserve cannot be sent.
fn side(sendable_msat: u64, reserve: Amount) -> Msat {
    let sendable = Msat::from_msat(sendable_msat);
    sendable.checked_add(msat(reserve)).unwrap_or(Msat::MAX)
}

fn msat(amount: Amount) -> Msat {
    Msat::from_sat(amount.to_sat()).unwrap_or(Msat::MAX)
}
