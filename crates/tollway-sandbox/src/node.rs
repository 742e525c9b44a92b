//! One Lightning node, made of `lightning`'s parts.
//!
//! The chain hands it blocks, its peers are TCP sockets, its state is in memory. That is right
//! for a private network that is new at each start, and wrong for money. A node knows channels
//! and payments in flight; invoices and records of payments belong to the wallet, which
//! receives a [`PaymentEvent`] for each change.

mod events;
mod peers;
mod route;
mod services;

use std::sync::{Arc, Mutex, RwLock};

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};
use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, Network, ScriptBuf};
use l402::{Msat, PaymentHash};
use lightning::chain::chainmonitor::ChainMonitor;
use lightning::chain::{BestBlock, Filter, Listen};
use lightning::ln::channel_state::ChannelDetails;
use lightning::ln::channelmanager::{ChainParameters, ChannelManager};
use lightning::ln::peer_handler::{IgnoringMessageHandler, MessageHandler, PeerManager};
use lightning::onion_message::messenger::DefaultMessageRouter;
use lightning::routing::gossip::NetworkGraph;
use lightning::routing::router::DefaultRouter;
use lightning::routing::scoring::FixedPenaltyScorer;
use lightning::sign::{
    EntropySource, InMemorySigner, KeysManager, NodeSigner, Recipient, SignerProvider,
};
use lightning::types::payment::PaymentHash as LdkHash;
use lightning::util::config::{MaxDustHTLCExposure, UserConfig};
use lightning_invoice::RawBolt11Invoice;
use lightning_net_tokio::SocketDescriptor;
use tokio::sync::watch;

use crate::chain::Chain;
use crate::clock::Clock;
use crate::seed::Seed;
use crate::sync::lock;
pub(crate) use events::{FailureCause, PaymentEvent};
pub(crate) use peers::bind;
pub(crate) use route::{CLTV_DELTA, Destination, DispatchError, PlannedRoute, RouteError};
use services::{Broadcaster, FixedFees, NoPersistence, Tracing};

type Monitor = ChainMonitor<
    InMemorySigner,
    Arc<dyn Filter + Send + Sync>,
    Arc<Broadcaster>,
    Arc<FixedFees>,
    Arc<Tracing>,
    Arc<NoPersistence>,
    Arc<KeysManager>,
>;
type Graph = NetworkGraph<Arc<Tracing>>;
type Router = DefaultRouter<
    Arc<Graph>,
    Arc<Tracing>,
    Arc<KeysManager>,
    Arc<RwLock<FixedPenaltyScorer>>,
    (),
    FixedPenaltyScorer,
>;
type OnionRouter = DefaultMessageRouter<Arc<Graph>, Arc<Tracing>, Arc<KeysManager>>;
type Channels = ChannelManager<
    Arc<Monitor>,
    Arc<Broadcaster>,
    Arc<KeysManager>,
    Arc<KeysManager>,
    Arc<KeysManager>,
    Arc<FixedFees>,
    Arc<Router>,
    Arc<OnionRouter>,
    Arc<Tracing>,
>;
type Peers = PeerManager<
    SocketDescriptor,
    Arc<Channels>,
    Arc<IgnoringMessageHandler>,
    Arc<IgnoringMessageHandler>,
    Arc<Tracing>,
    Arc<IgnoringMessageHandler>,
    Arc<KeysManager>,
    Arc<Monitor>,
>;

/// One Lightning node. It does nothing by itself: its owner must call [`process_events`](Self::process_events)
/// whenever [`event_ready`](Self::event_ready) resolves.
pub(crate) struct Node {
    chain: Chain,
    seed: Seed,
    id: PublicKey,
    keys: Arc<KeysManager>,
    monitor: Arc<Monitor>,
    channels: Arc<Channels>,
    peers: Arc<Peers>,
    router: Arc<Router>,
    /// Height of the last block handed over.
    synced: Mutex<u32>,
    channel_status: watch::Sender<ChannelStatus>,
}

/// What has happened to a node's channels since its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChannelStatus {
    /// How many have become usable.
    pub(crate) ready: u16,
    /// Why the last one that failed did.
    pub(crate) failure: Option<String>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Assembles a node that stands on the tip of `chain`; `max_accepted_htlcs` is how many payments
    /// it lets its peers have in flight in one channel.
    ///
    /// # Errors
    ///
    /// [`SeedError`] when no key can be derived from `seed`.
    pub(crate) fn new(
        chain: Chain,
        seed: Seed,
        max_accepted_htlcs: u16,
    ) -> Result<Self, SeedError> {
        let started = Clock::default().since_epoch();
        let keys = Arc::new(KeysManager::new(
            &seed.0,
            started.as_secs(),
            started.subsec_nanos(),
            true,
        ));
        let id = keys.get_node_id(Recipient::Node).map_err(|()| SeedError)?;
        let (log, fees) = (Arc::new(Tracing), Arc::new(FixedFees));
        let broadcaster = Arc::new(Broadcaster::new(chain.clone()));
        let monitor = Arc::new(Monitor::new(
            None,
            Arc::clone(&broadcaster),
            Arc::clone(&log),
            Arc::clone(&fees),
            Arc::new(NoPersistence),
            Arc::clone(&keys),
            keys.get_peer_storage_key(),
        ));
        let graph = Arc::new(Graph::new(Network::Regtest, Arc::clone(&log)));
        let router = Arc::new(Router::new(
            Arc::clone(&graph),
            Arc::clone(&log),
            Arc::clone(&keys),
            Arc::new(RwLock::new(FixedPenaltyScorer::with_penalty(0))),
            (),
        ));
        let tip = chain.tip();
        let now_secs = u32::try_from(started.as_secs()).unwrap_or(u32::MAX);
        let channels = Arc::new(Channels::new(
            fees,
            Arc::clone(&monitor),
            broadcaster,
            Arc::clone(&router),
            Arc::new(OnionRouter::new(graph, Arc::clone(&keys))),
            Arc::clone(&log),
            Arc::clone(&keys),
            Arc::clone(&keys),
            Arc::clone(&keys),
            channel_policy(max_accepted_htlcs),
            ChainParameters {
                network: Network::Regtest,
                best_block: BestBlock::new(tip.hash, tip.height),
            },
            now_secs,
        ));
        let peers = peer_manager(&channels, &monitor, &keys, log, now_secs);
        Ok(Self {
            synced: Mutex::new(tip.height),
            channel_status: watch::Sender::default(),
            peers: Arc::new(peers),
            chain,
            seed,
            id,
            keys,
            monitor,
            channels,
            router,
        })
    }

    /// Returns the node's public key.
    pub(crate) fn id(&self) -> PublicKey {
        self.id
    }

    /// Returns the chain it follows.
    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Returns the script that locks its on-chain coins.
    ///
    /// # Errors
    ///
    /// [`SeedError`] when the key is not derivable.
    pub(crate) fn script(&self) -> Result<ScriptBuf, SeedError> {
        let script = self
            .keys
            .get_shutdown_scriptpubkey()
            .map_err(|()| SeedError)?;
        Ok(script.into_inner())
    }

    /// Derives a secret for `purpose` only; the same seed gives the same secret.
    pub(crate) fn derive_secret(&self, purpose: &str) -> [u8; 32] {
        let mut engine = HmacEngine::<sha256::Hash>::new(&self.seed.0);
        engine.input(b"tollway sandbox: ");
        engine.input(purpose.as_bytes());
        Hmac::from_engine(engine).to_byte_array()
    }

    /// Returns 32 random bytes.
    pub(crate) fn random_bytes(&self) -> [u8; 32] {
        self.keys.get_secure_random_bytes()
    }

    /// Returns every channel, in no order.
    pub(crate) fn channel_list(&self) -> Vec<ChannelDetails> {
        self.channels.list_channels()
    }

    /// Returns the status of the channels, to be waited on.
    pub(crate) fn channel_status(&self) -> watch::Receiver<ChannelStatus> {
        self.channel_status.subscribe()
    }

    /// Forgets an earlier failure, before another channel is opened.
    pub(crate) fn clear_channel_failure(&self) {
        self.channel_status
            .send_modify(|status| status.failure = None);
    }

    /// Resolves when a channel has failed, with the reason.
    pub(crate) async fn channel_failure(&self) -> String {
        let mut status = self.channel_status.subscribe();
        // The sender is in `self`, so the wait cannot end without a failure.
        let failed = status.wait_for(|status| status.failure.is_some()).await;
        failed
            .ok()
            .and_then(|status| status.failure.clone())
            .unwrap_or_default()
    }

    /// Resolves when `count` channels have become usable, or with why one did not.
    pub(crate) async fn channels_ready(&self, count: u16) -> Result<(), String> {
        let mut status = self.channel_status.subscribe();
        let settled = status
            .wait_for(|status| status.ready >= count || status.failure.is_some())
            .await;
        match settled.ok().and_then(|status| status.failure.clone()) {
            Some(reason) => Err(reason),
            None => Ok(()),
        }
    }

    /// Asks `peer` for a channel of `capacity`, of which `pushed` is the peer's from the start.
    ///
    /// # Errors
    ///
    /// [`OpenChannelError`] when the peer is away or the sizes are not possible.
    pub(crate) fn open_channel(
        &self,
        peer: PublicKey,
        capacity: Amount,
        pushed: Msat,
    ) -> Result<(), OpenChannelError> {
        self.channels
            .create_channel(peer, capacity.to_sat(), pushed.as_msat(), 0, None, None)
            .map(drop)
            .map_err(|error| OpenChannelError {
                reason: format!("{error:?}"),
            })
    }

    /// Registers `hash` for payments of at least `amount_min`, and returns the payment secret
    /// that a payer must present.
    ///
    /// The registration does not expire: the node's time stands still between blocks, so the
    /// wallet decides whether an invoice is expired, before each claim.
    ///
    /// # Errors
    ///
    /// [`TermsError`] when the amount is more than exists.
    pub(crate) fn expect_payment(
        &self,
        hash: &PaymentHash,
        amount_min: Option<Msat>,
    ) -> Result<[u8; 32], TermsError> {
        let hash = LdkHash(*hash.as_bytes());
        self.channels
            .create_inbound_payment_for_hash(hash, amount_min.map(Msat::as_msat), u32::MAX, None)
            .map(|secret| secret.0)
            .map_err(|()| TermsError)
    }

    /// Signs an invoice with this node's key and returns it as text.
    ///
    /// # Errors
    ///
    /// [`SeedError`] when the signer refuses.
    pub(crate) fn sign(&self, invoice: RawBolt11Invoice) -> Result<Box<str>, SeedError> {
        let signature = self
            .keys
            .sign_invoice(&invoice, Recipient::Node)
            .map_err(|()| SeedError)?;
        let signed = invoice.sign(|_| Ok::<_, SeedError>(signature))?;
        Ok(signed.to_string().into_boxed_str())
    }

    /// Hands over every block mined since the last call.
    pub(crate) fn sync(&self) {
        let mut synced = lock(&self.synced);
        let mut height = synced.saturating_add(1);
        while let Some(block) = self.chain.block(height) {
            self.channels.block_connected(&block, height);
            self.monitor.block_connected(&block, height);
            *synced = height;
            height = height.saturating_add(1);
        }
    }
}

fn peer_manager(
    channels: &Arc<Channels>,
    monitor: &Arc<Monitor>,
    keys: &Arc<KeysManager>,
    log: Arc<Tracing>,
    now_secs: u32,
) -> Peers {
    // Each its own: a clone of one `Arc` does not name the type its traits need.
    let handlers = MessageHandler {
        chan_handler: Arc::clone(channels),
        route_handler: Arc::new(IgnoringMessageHandler {}),
        onion_message_handler: Arc::new(IgnoringMessageHandler {}),
        custom_message_handler: Arc::new(IgnoringMessageHandler {}),
        send_only_message_handler: Arc::clone(monitor),
    };
    let entropy = keys.get_secure_random_bytes();
    Peers::new(handlers, now_secs, &entropy, log, Arc::clone(keys))
}

fn channel_policy(max_accepted_htlcs: u16) -> UserConfig {
    let mut policy = UserConfig {
        // Lets a wallet pay itself over its peer.
        accept_forwards_to_priv_channels: true,
        ..UserConfig::default()
    };
    let ours = &mut policy.channel_handshake_config;
    ours.minimum_depth = 1;
    ours.our_max_accepted_htlcs = max_accepted_htlcs;
    ours.max_inbound_htlc_value_in_flight_percent_of_channel = 100;
    // LDK's floor of 1000 sat: nearly all of a balance can be sent.
    ours.their_channel_reserve_proportional_millionths = 0;
    ours.announce_for_forwarding = false;
    // Anchors would need an on-chain reserve on both sides, for closes that never come.
    ours.negotiate_anchors_zero_fee_htlc_tx = false;
    let theirs = &mut policy.channel_handshake_limits;
    theirs.max_funding_satoshis = Amount::MAX_MONEY.to_sat();
    theirs.force_announced_channel_preference = false;
    // Room for every slot to be filled with payments below the dust limit.
    policy.channel_config.max_dust_htlc_exposure =
        MaxDustHTLCExposure::FixedLimitMsat(5_000_000_000);
    policy
}

/// No key can be derived from the seed; expected of one seed in 2^127.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the node's seed yields no valid key: delete it and start again")]
pub struct SeedError;

/// A channel was not opened: nothing was sent to the peer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the node refused to open the channel: {reason}")]
pub struct OpenChannelError {
    /// What the node reported.
    pub reason: String,
}

/// An invoice for more than exists.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the amount is more than exists")]
pub(crate) struct TermsError;
