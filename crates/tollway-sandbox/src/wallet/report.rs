//! What does a node tell about itself?

use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, BlockHash, OutPoint};
use l402::{Msat, UnixSeconds};

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

/// The newest block of a chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BlockTip {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// Its time.
    pub time: UnixSeconds,
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
    /// In payments under way, in either direction.
    pub unsettled: Msat,
    /// What this node must always keep.
    pub local_reserve: Amount,
    /// What the other node must always keep.
    pub remote_reserve: Amount,
    /// Payments under way, in either direction.
    pub pending_htlcs: u32,
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
    /// In payments under way, in either direction.
    pub unsettled: Msat,
}
