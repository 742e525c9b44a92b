//! The node's data as LND reports it: identity, coins, channels.

use std::collections::HashMap;

use l402::Msat;
use tollway_lightning::lnd::proto::{lnrpc, verrpc};
use tonic::Status;

use super::amount::whole_sat;
use super::{LndService, int64, refused};
use crate::wallet::{Channel, Initiator};

impl LndService {
    pub(super) fn describe(&self) -> lnrpc::GetInfoResponse {
        let info = self.wallet.info();
        lnrpc::GetInfoResponse {
            identity_pubkey: info.pubkey.to_string(),
            alias: info.alias,
            num_pending_channels: info.pending_channels,
            num_active_channels: info.active_channels,
            num_inactive_channels: info.inactive_channels,
            num_peers: info.peers,
            block_height: info.tip.height,
            block_hash: info.tip.hash.to_string(),
            best_header_timestamp: int64(info.tip.time.as_secs()),
            synced_to_chain: true,
            synced_to_graph: true,
            chains: vec![lnrpc::Chain {
                chain: "bitcoin".to_owned(),
                network: "regtest".to_owned(),
            }],
            color: "#3399ff".to_owned(),
            version: format!("{VERSION} commit={COMMIT}"),
            ..lnrpc::GetInfoResponse::default()
        }
    }

    pub(super) fn coins(
        &self,
        request: &lnrpc::WalletBalanceRequest,
    ) -> Result<lnrpc::WalletBalanceResponse, Status> {
        if !matches!(request.account.as_str(), "" | DEFAULT_ACCOUNT) {
            let account = &request.account;
            return Err(refused(format!("account name '{account}' not found")));
        }
        let confirmed_balance = int64(self.wallet.onchain_balance().to_sat());
        let account = lnrpc::WalletAccountBalance {
            confirmed_balance,
            unconfirmed_balance: 0,
        };
        Ok(lnrpc::WalletBalanceResponse {
            total_balance: confirmed_balance,
            confirmed_balance,
            account_balance: HashMap::from([(DEFAULT_ACCOUNT.to_owned(), account)]),
            ..lnrpc::WalletBalanceResponse::default()
        })
    }

    pub(super) fn channel_sums(&self) -> lnrpc::ChannelBalanceResponse {
        let balance = self.wallet.channel_balance();
        lnrpc::ChannelBalanceResponse {
            balance: int64(whole_sat(balance.local)),
            pending_open_balance: 0,
            local_balance: Some(both_units(balance.local)),
            remote_balance: Some(both_units(balance.remote)),
            // The wallet does not count the two directions apart; the sum is in one field.
            unsettled_local_balance: Some(both_units(balance.unsettled)),
            unsettled_remote_balance: Some(both_units(Msat::ZERO)),
            pending_open_local_balance: Some(both_units(Msat::ZERO)),
            pending_open_remote_balance: Some(both_units(Msat::ZERO)),
            custom_channel_data: vec![],
        }
    }

    pub(super) fn open_channels(
        &self,
        request: &lnrpc::ListChannelsRequest,
    ) -> lnrpc::ListChannelsResponse {
        let channels = self.wallet.channels();
        let shown = channels
            .iter()
            .filter(|channel| is_asked_for(request, channel));
        lnrpc::ListChannelsResponse {
            channels: shown.map(describe).collect(),
        }
    }
}

/// The version LND clients look for, and the sub-servers they insist on.
pub(super) fn version() -> verrpc::Version {
    verrpc::Version {
        commit: COMMIT.to_owned(),
        commit_hash: String::new(),
        version: VERSION.to_owned(),
        app_major: 0,
        app_minor: 20,
        app_patch: 1,
        app_pre_release: "beta".to_owned(),
        build_tags: BUILD_TAGS.iter().map(|&tag| tag.to_owned()).collect(),
        go_version: String::new(),
    }
}

fn is_asked_for(request: &lnrpc::ListChannelsRequest, channel: &Channel) -> bool {
    let of_peer = request.peer.is_empty() || request.peer == channel.peer.serialize();
    of_peer
        && (!request.active_only || channel.active)
        && (!request.inactive_only || !channel.active)
        && (!request.public_only || !channel.private)
        && (!request.private_only || channel.private)
}

fn describe(channel: &Channel) -> lnrpc::Channel {
    let reserves = (
        channel.local_reserve.to_sat(),
        channel.remote_reserve.to_sat(),
    );
    // What the sandbox's nodes negotiate: no anchors.
    let commitment = lnrpc::CommitmentType::StaticRemoteKey;
    lnrpc::Channel {
        active: channel.active,
        remote_pubkey: channel.peer.to_string(),
        channel_point: channel
            .point
            .map(|point| point.to_string())
            .unwrap_or_default(),
        chan_id: channel.short_id.unwrap_or_default(),
        capacity: int64(channel.capacity.to_sat()),
        local_balance: int64(whole_sat(channel.local)),
        remote_balance: int64(whole_sat(channel.remote)),
        unsettled_balance: int64(whole_sat(channel.unsettled)),
        csv_delay: u32::from(channel.csv_delay),
        private: channel.private,
        initiator: channel.initiator == Initiator::Local,
        commitment_type: commitment.into(),
        local_chan_reserve_sat: int64(reserves.0),
        remote_chan_reserve_sat: int64(reserves.1),
        local_constraints: Some(constraints(channel, reserves.0)),
        remote_constraints: Some(constraints(channel, reserves.1)),
        ..lnrpc::Channel::default()
    }
}

fn constraints(channel: &Channel, chan_reserve_sat: u64) -> lnrpc::ChannelConstraints {
    lnrpc::ChannelConstraints {
        csv_delay: u32::from(channel.csv_delay),
        chan_reserve_sat,
        ..lnrpc::ChannelConstraints::default()
    }
}

fn both_units(amount: Msat) -> lnrpc::Amount {
    lnrpc::Amount {
        sat: whole_sat(amount),
        msat: amount.as_msat(),
    }
}

const BUILD_TAGS: &[&str] = &[
    "chainrpc",
    "invoicesrpc",
    "routerrpc",
    "signrpc",
    "walletrpc",
];
/// Names the implementation to a person; programs read the numbers.
const COMMIT: &str = concat!("tollway-sandbox-", env!("CARGO_PKG_VERSION"));
const DEFAULT_ACCOUNT: &str = "default";
/// The LND whose behaviour is followed.
const VERSION: &str = "0.20.1-beta";
