//! Routing.
//!
//! Channels are unannounced, so every payee is a peer or out of reach, and a wallet that pays
//! itself goes out and back through a peer. [`RouteError`] distinguishes whether waiting helps.

use bitcoin::secp256k1::PublicKey;
use l402::{Msat, PaymentHash};
use lightning::ln::channel_state::{ChannelDetails, CounterpartyForwardingInfo};
use lightning::ln::channelmanager::{PaymentId, RecipientOnionFields, RetryableSendFailure};
use lightning::routing::router::{
    InFlightHtlcs, Path, PaymentParameters, Route, RouteHop, RouteParameters, Router as _,
};
use lightning::types::payment::{PaymentHash as LdkHash, PaymentSecret};
use lightning_invoice::Bolt11Invoice;

use super::Node;

/// A payee, and what routing needs.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) node: PublicKey,
    params: PaymentParameters,
    final_cltv_delta: u32,
}

impl Destination {
    /// Returns the payee of an invoice.
    pub(crate) fn of_invoice(invoice: &Bolt11Invoice) -> Self {
        let delta = invoice.min_final_cltv_expiry_delta();
        Self {
            node: invoice.get_payee_pub_key(),
            params: PaymentParameters::from_bolt11_invoice(invoice),
            final_cltv_delta: u32::try_from(delta).unwrap_or(u32::MAX),
        }
    }

    /// A node, without an invoice.
    pub(crate) fn of_node(node: PublicKey) -> Self {
        let final_cltv_delta = u32::from(CLTV_DELTA);
        Self {
            node,
            // As an invoice would: payable in several parts.
            params: PaymentParameters::for_keysend(node, final_cltv_delta, true),
            final_cltv_delta,
        }
    }
}

/// A route to the payee.
#[derive(Clone, Debug)]
pub(crate) struct PlannedRoute {
    pub(crate) route: Route,
    /// The height its locks are counted from.
    pub(crate) height: u32,
}

/// Why there is no route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RouteError {
    /// Not now: payments in flight hold the channels' slots or their money, or the payee's
    /// connection is down.
    Busy,
    /// Never, with what the channels hold.
    Insufficient,
    /// The payee is no peer, or costs more than the fee limit.
    NoRoute,
}

/// Why a payment did not leave. Nothing of it is in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DispatchError {
    /// Another payment with this hash is in flight.
    Duplicate,
    /// The invoice expired.
    Expired,
    /// Something on the way; another attempt may succeed.
    OnTheWay,
    /// The invoice demands more than fits a message.
    TooLarge,
}

impl Node {
    /// Finds a route for `amount` that costs at most `fee_max` more.
    pub(crate) fn route(
        &self,
        to: &Destination,
        amount: Msat,
        fee_max: Msat,
    ) -> Result<PlannedRoute, RouteError> {
        let channels = self.channels.list_channels();
        let route = if to.node == self.id {
            self.route_to_self(&channels, to, amount, fee_max)?
        } else {
            self.route_to_peer(&channels, to, amount, fee_max)?
        };
        Ok(PlannedRoute {
            route,
            // What the node itself counts a payment's locks from.
            height: self.channels.current_best_block().height.saturating_add(1),
        })
    }

    /// Finds a route to a peer.
    fn route_to_peer(
        &self,
        channels: &[ChannelDetails],
        to: &Destination,
        amount: Msat,
        fee_max: Msat,
    ) -> Result<Route, RouteError> {
        let is_peer = |channel: &&ChannelDetails| channel.counterparty.node_id == to.node;
        let mut towards: Vec<&ChannelDetails> = channels.iter().filter(is_peer).collect();
        if towards.is_empty() {
            return Err(RouteError::NoRoute);
        }
        towards.retain(|channel| channel.is_usable);
        if towards.is_empty() {
            return Err(RouteError::Busy);
        }
        // Whole payments over one channel where possible: one part is quickest.
        let params = to
            .params
            .clone()
            .with_max_channel_saturation_power_of_half(0);
        let request = RouteParameters {
            payment_params: params,
            final_value_msat: amount.as_msat(),
            max_total_routing_fee_msat: Some(fee_max.as_msat()),
        };
        self.router
            .find_route(&self.id, &request, Some(&towards), InFlightHtlcs::new())
            .map_err(|_reason| shortage(&towards, amount))
    }

    /// Finds a route out through one channel and back through another of the same peer.
    fn route_to_self(
        &self,
        channels: &[ChannelDetails],
        to: &Destination,
        amount: Msat,
        fee_max: Msat,
    ) -> Result<Route, RouteError> {
        let back = channels
            .iter()
            .filter(|channel| {
                channel.is_usable && channel.inbound_capacity_msat >= amount.as_msat()
            })
            .max_by_key(|channel| channel.inbound_capacity_msat)
            .ok_or(RouteError::NoRoute)?;
        let terms = back
            .counterparty
            .forwarding_info
            .as_ref()
            .ok_or(RouteError::NoRoute)?;
        let fee = forwarding_fee(amount, terms)
            .filter(|fee| *fee <= fee_max)
            .ok_or(RouteError::NoRoute)?;
        let total = amount.checked_add(fee).ok_or(RouteError::Insufficient)?;
        let out = channels
            .iter()
            .filter(|channel| {
                channel.is_usable
                    && channel.channel_id != back.channel_id
                    && channel.counterparty.node_id == back.counterparty.node_id
                    && channel.next_outbound_htlc_limit_msat >= total.as_msat()
            })
            .max_by_key(|channel| channel.next_outbound_htlc_limit_msat)
            .ok_or_else(|| shortage(&channels.iter().collect::<Vec<_>>(), total))?;
        let lock = u32::from(terms.cltv_expiry_delta);
        let there = out.get_outbound_payment_scid().ok_or(RouteError::NoRoute)?;
        let home = back.get_inbound_payment_scid().ok_or(RouteError::NoRoute)?;
        let hops = vec![
            self.hop(back.counterparty.node_id, there, fee, lock),
            self.hop(self.id, home, amount, to.final_cltv_delta),
        ];
        Ok(Route {
            paths: vec![Path {
                hops,
                blinded_tail: None,
            }],
            route_params: None,
        })
    }

    /// A hop to a node of this network; all of them have the same features.
    fn hop(&self, node: PublicKey, short_id: u64, fee: Msat, cltv_expiry_delta: u32) -> RouteHop {
        RouteHop {
            pubkey: node,
            node_features: self.channels.node_features(),
            short_channel_id: short_id,
            channel_features: self.channels.channel_features(),
            fee_msat: fee.as_msat(),
            cltv_expiry_delta,
            maybe_announced_channel: false,
        }
    }

    /// Sends a payment along a route, under its hash as id.
    ///
    /// The node refuses a second payment of a hash while the first is in flight.
    pub(crate) fn send(
        &self,
        route: Route,
        hash: &PaymentHash,
        secret: [u8; 32],
        metadata: Option<Vec<u8>>,
    ) -> Result<(), DispatchError> {
        let mut onion = RecipientOnionFields::secret_only(PaymentSecret(secret));
        onion.payment_metadata = metadata;
        let bytes = *hash.as_bytes();
        self.channels
            .send_payment_with_route(route, LdkHash(bytes), onion, PaymentId(bytes))
            .map_err(|failure| match failure {
                RetryableSendFailure::DuplicatePayment => DispatchError::Duplicate,
                RetryableSendFailure::OnionPacketSizeExceeded => DispatchError::TooLarge,
                RetryableSendFailure::PaymentExpired => DispatchError::Expired,
                RetryableSendFailure::RouteNotFound => DispatchError::OnTheWay,
            })
    }
}

/// Whether the money is there but bound by payments in flight, or not there.
fn shortage(channels: &[&ChannelDetails], amount: Msat) -> RouteError {
    let bound: u64 = channels
        .iter()
        .flat_map(|channel| &channel.pending_outbound_htlcs)
        .fold(0, |sum: u64, htlc| sum.saturating_add(htlc.amount_msat));
    let free = channels.iter().fold(0, |sum: u64, channel| {
        sum.saturating_add(channel.outbound_capacity_msat)
    });
    if bound > 0 && amount.as_msat() <= free.saturating_add(bound) {
        RouteError::Busy
    } else {
        RouteError::Insufficient
    }
}

fn forwarding_fee(amount: Msat, terms: &CounterpartyForwardingInfo) -> Option<Msat> {
    let millionths = u64::from(terms.fee_proportional_millionths);
    let share = amount
        .as_msat()
        .checked_mul(millionths)?
        .div_euclid(1_000_000);
    Msat::from_msat(u64::from(terms.fee_base_msat)).checked_add(Msat::from_msat(share))
}

/// Blocks a payment's last hop must leave for claiming it; what LND asks for by default.
pub(crate) const CLTV_DELTA: u16 = 80;
