//! Who may call what: the table captured from LND, file by file.

use tollway_lightning::lnd::proto::{lnrpc, routerrpc};
use tonic::{Code, Status};

use crate::client::Client;
use crate::{Network, hex, read};

/// Every call, and the macaroon files LND lets through.
const TABLE: [(&str, &[&str]); 14] = [
    ("GetInfo", &["admin", "readonly"]),
    (
        "WalletBalance",
        &["admin", "chainnotifier", "invoice", "readonly", "walletkit"],
    ),
    ("ChannelBalance", &["admin", "readonly", "router"]),
    ("ListChannels", &["admin", "readonly", "router"]),
    ("AddInvoice", &["admin", "invoice", "invoices"]),
    (
        "LookupInvoice",
        &["admin", "invoice", "invoices", "readonly"],
    ),
    (
        "ListInvoices",
        &["admin", "invoice", "invoices", "readonly"],
    ),
    ("DecodePayReq", &["admin", "readonly", "router"]),
    ("SendPaymentSync", &["admin", "router"]),
    ("ListPayments", &["admin", "readonly", "router"]),
    ("EstimateRouteFee", &["admin", "readonly", "router"]),
    ("GetVersion", &["admin", "readonly"]),
    ("SendPaymentV2", &["admin", "router"]),
    ("TrackPaymentV2", &["admin", "readonly", "router"]),
];

/// Makes a call with an empty request, which most refuse after looking at the macaroon.
async fn call(client: &Client, name: &str) -> Result<(), Status> {
    let mut lightning = client.lightning();
    match name {
        "GetInfo" => client.get_info().await.map(drop),
        "WalletBalance" => {
            let request = client.authorized(lnrpc::WalletBalanceRequest::default());
            lightning.wallet_balance(request).await.map(drop)
        }
        "ChannelBalance" => {
            let request = client.authorized(lnrpc::ChannelBalanceRequest {});
            lightning.channel_balance(request).await.map(drop)
        }
        "ListChannels" => {
            let request = client.authorized(lnrpc::ListChannelsRequest::default());
            lightning.list_channels(request).await.map(drop)
        }
        "AddInvoice" => client
            .add_invoice(lnrpc::Invoice::default())
            .await
            .map(drop),
        "LookupInvoice" => client.lookup(&[]).await.map(drop),
        "ListInvoices" => client
            .invoices(lnrpc::ListInvoiceRequest::default())
            .await
            .map(drop),
        "DecodePayReq" => client.decode("").await.map(drop),
        "SendPaymentSync" => client
            .pay_sync(lnrpc::SendRequest::default())
            .await
            .map(drop),
        "ListPayments" => client
            .payments(lnrpc::ListPaymentsRequest::default())
            .await
            .map(drop),
        "EstimateRouteFee" => client
            .estimate(routerrpc::RouteFeeRequest::default())
            .await
            .map(drop),
        "GetVersion" => client.version().await.map(drop),
        "SendPaymentV2" => client.pay(routerrpc::SendPaymentRequest::default()).await.1,
        "TrackPaymentV2" => client.track(&[]).await.1,
        other => panic!("no such call: {other}"),
    }
}

fn is_denied(answer: &Result<(), Status>) -> bool {
    matches!(answer, Err(status) if status.message() == "permission denied")
}

#[tokio::test]
async fn every_macaroon_file_opens_exactly_what_lnds_does() {
    let network = Network::start().await;
    for file in network.lnd.seller().access().macaroons.keys() {
        let client = Client::with(network.lnd.seller(), file).await;
        for (name, allowed) in TABLE {
            let answer = call(&client, name).await;
            let expected = !allowed.contains(&file.as_str());
            assert_eq!(
                is_denied(&answer),
                expected,
                "{file} calls {name}: {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn no_call_but_the_state_works_without_a_macaroon() {
    let network = Network::start().await;
    let client = Client::presenting(network.lnd.seller(), vec![]).await;
    for (name, _) in TABLE {
        let refused = call(&client, name).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unknown);
        assert_eq!(refused.message(), "expected 1 macaroon, got 0", "{name}");
    }
    let state = client.state().get_state(lnrpc::GetStateRequest {}).await;
    assert_eq!(
        state.unwrap().get_ref().state(),
        lnrpc::WalletState::ServerActive
    );
}

#[tokio::test]
async fn macaroons_that_do_not_hold_are_refused() {
    let network = Network::start().await;
    let admin = read(&network.lnd.seller().access().macaroons["admin"]);
    let mut forged = admin.clone();
    *forged.last_mut().unwrap() ^= 1;
    let narrowed = |condition: &str| {
        let macaroon = l402::Macaroon::parse_v2(admin.clone()).unwrap();
        vec![macaroon.with_caveat(condition.as_bytes()).unwrap().to_hex()]
    };
    for (presented, text) in [
        (vec![hex(&admin), hex(&admin)], "expected 1 macaroon, got 2"),
        (
            vec!["zz".to_owned()],
            "the macaroon is not hexadecimal: Invalid character 'z' at position 0",
        ),
        (
            vec![hex(&forged)],
            "verification failed: signature mismatch after caveat verification",
        ),
        (
            narrowed("time-before 2020-01-01T00:00:00Z"),
            "caveat \"time-before 2020-01-01T00:00:00Z\" not satisfied: macaroon has expired",
        ),
        (
            narrowed("ipaddr 10.0.0.1"),
            "caveat \"ipaddr 10.0.0.1\" not satisfied: macaroon locked to different IP address",
        ),
        (
            narrowed("anything else"),
            "caveat \"anything else\" not satisfied: caveat not recognized",
        ),
    ] {
        let client = Client::presenting(network.lnd.seller(), presented).await;
        let refused = client.get_info().await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::Unknown, text));
    }
    for condition in ["time-before 2100-01-01T00:00:00Z", "ipaddr 127.0.0.1"] {
        let client = Client::presenting(network.lnd.seller(), narrowed(condition)).await;
        assert!(client.get_info().await.is_ok(), "{condition}");
    }
}
