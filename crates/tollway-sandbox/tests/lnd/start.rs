//! What LND's clients ask before they trust a node, and what is not served.

use futures_util::StreamExt as _;
use http::uri::PathAndQuery;
use tollway_lightning::lnd::proto::lnrpc;
use tonic::Code;
use tonic_prost::ProstCodec;

use crate::Network;
use crate::client::Client;

#[tokio::test]
async fn the_node_says_what_lndclient_insists_on() {
    let network = Network::start().await;
    let client = Client::with(network.lnd.seller(), "readonly").await;

    let version = client.version().await.unwrap();
    let info = client.get_info().await.unwrap();

    assert_eq!((version.app_major, version.app_minor), (0, 20));
    for tag in [
        "signrpc",
        "walletrpc",
        "chainrpc",
        "invoicesrpc",
        "routerrpc",
    ] {
        assert!(version.build_tags.iter().any(|built| built == tag), "{tag}");
    }
    assert!(
        info.version.starts_with("0.20.1-beta commit="),
        "{}",
        info.version
    );
    assert_eq!(info.identity_pubkey, network.lnd.seller().access().pubkey);
    assert_eq!(info.alias, "seller");
    assert!(info.synced_to_chain && info.synced_to_graph && !info.testnet);
    assert_eq!(info.chains[0].chain, "bitcoin");
    assert_eq!(info.chains[0].network, "regtest");
    assert!(info.num_active_channels > 0 && info.num_peers > 0 && info.block_height > 0);
}

#[tokio::test]
async fn a_subscription_to_the_state_stays_open_until_the_node_stops() {
    let network = Network::start().await;
    let client = Client::presenting(network.lnd.seller(), vec![]).await;
    let subscribed = client
        .state()
        .subscribe_state(lnrpc::SubscribeStateRequest {})
        .await;
    let mut states = subscribed.unwrap().into_inner();

    let first = states.next().await.unwrap().unwrap();
    let (after, _dir) = tokio::join!(states.next(), network.stop());

    assert_eq!(first.state(), lnrpc::WalletState::ServerActive);
    assert!(after.is_none(), "{after:?}");
}

#[tokio::test]
async fn a_dropped_sandbox_stops_its_servers() {
    let network = Network::start().await;
    let client = Client::presenting(network.lnd.seller(), vec![]).await;
    let subscribed = client
        .state()
        .subscribe_state(lnrpc::SubscribeStateRequest {})
        .await;
    let mut states = subscribed.unwrap().into_inner();
    assert!(states.next().await.unwrap().is_ok());

    drop(network.lnd);

    assert!(states.next().await.is_none());
}

#[tokio::test]
async fn balances_and_channels_agree() {
    let network = Network::start().await;
    let buyer = network.buyer().await;

    let request = buyer.authorized(lnrpc::ChannelBalanceRequest {});
    let sums = buyer
        .lightning()
        .channel_balance(request)
        .await
        .unwrap()
        .into_inner();
    let request = buyer.authorized(lnrpc::ListChannelsRequest::default());
    let channels = buyer
        .lightning()
        .list_channels(request)
        .await
        .unwrap()
        .into_inner()
        .channels;
    let request = buyer.authorized(lnrpc::WalletBalanceRequest::default());
    let coins = buyer
        .lightning()
        .wallet_balance(request)
        .await
        .unwrap()
        .into_inner();

    let local = sums.local_balance.unwrap();
    assert!(local.sat > 0 && local.msat / 1_000 == local.sat);
    let listed: i64 = channels.iter().map(|channel| channel.local_balance).sum();
    assert_eq!(u64::try_from(listed).unwrap(), local.sat);
    for channel in &channels {
        assert!(channel.active);
        assert_eq!(channel.remote_pubkey, network.lnd.seller().access().pubkey);
        assert!(channel.chan_id > 0 && channel.channel_point.contains(':'));
    }
    let account = coins.account_balance["default"];
    assert_eq!(account.confirmed_balance, coins.total_balance);
}

#[tokio::test]
async fn channels_are_filtered_as_asked() {
    let network = Network::start().await;
    let buyer = network.buyer().await;
    let list = |request: lnrpc::ListChannelsRequest| {
        let request = buyer.authorized(request);
        let mut client = buyer.lightning();
        async move {
            client
                .list_channels(request)
                .await
                .map(|answer| answer.into_inner().channels)
        }
    };
    let blank = lnrpc::ListChannelsRequest::default;

    let active = list(lnrpc::ListChannelsRequest {
        active_only: true,
        ..blank()
    });
    let inactive = list(lnrpc::ListChannelsRequest {
        inactive_only: true,
        ..blank()
    });
    let stranger = list(lnrpc::ListChannelsRequest {
        peer: vec![2; 33],
        ..blank()
    });

    assert!(!active.await.unwrap().is_empty());
    assert!(inactive.await.unwrap().is_empty());
    assert!(stranger.await.unwrap().is_empty());
}

#[tokio::test]
async fn anything_else_is_unimplemented() {
    let network = Network::start().await;
    let client = network.seller().await;
    for (call, text) in [
        (
            "/lnrpc.Lightning/SendCoins",
            "unknown method SendCoins for service lnrpc.Lightning",
        ),
        (
            "/walletrpc.WalletKit/ListUnspent",
            "unknown service walletrpc.WalletKit",
        ),
    ] {
        let mut grpc = tonic::client::Grpc::new(client.channel());
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<lnrpc::GetInfoRequest, lnrpc::GetInfoResponse>::default();
        let request = client.authorized(lnrpc::GetInfoRequest {});
        let refused = grpc
            .unary(request, PathAndQuery::from_static(call), codec)
            .await
            .unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::Unimplemented, text)
        );
    }
}
