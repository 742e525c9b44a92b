//! Invoices over gRPC.

use std::time::Duration;

use futures_util::StreamExt as _;
use l402::Preimage;
use tollway_lightning::lnd::proto::lnrpc;
use tollway_lightning::lnd::proto::lnrpc::invoice::InvoiceState;
use tonic::{Code, Streaming};

use crate::client::Client;
use crate::payments::pay;
use crate::{Network, hex, invoice_over};

#[tokio::test]
async fn an_added_invoice_reads_back_as_lnd_would_tell_it() {
    let network = Network::start().await;
    let seller = network.seller().await;

    let added = invoice_over(&seller, 10).await;
    let found = seller.lookup(&added.r_hash).await.unwrap();
    let decoded = seller.decode(&added.payment_request).await.unwrap();

    assert_eq!(added.add_index, 1);
    assert_eq!(found.state(), InvoiceState::Open);
    assert_eq!((found.value, found.value_msat), (10, 10_000));
    assert_eq!((found.expiry, found.cltv_expiry), (86_400, 80));
    assert_eq!(found.payment_request, added.payment_request);
    assert_eq!(found.payment_addr, added.payment_addr);
    let preimage = Preimage::new(found.r_preimage.try_into().unwrap());
    assert_eq!(preimage.payment_hash().as_bytes(), added.r_hash.as_slice());
    assert_eq!(decoded.destination, network.lnd.seller().access().pubkey);
    assert_eq!(decoded.payment_hash, hex(&added.r_hash));
    assert_eq!((decoded.num_satoshis, decoded.num_msat), (10, 10_000));
    assert_eq!(
        (decoded.description.as_str(), decoded.expiry),
        ("a test", 86_400)
    );
    assert_eq!(
        (decoded.timestamp, decoded.cltv_expiry),
        (found.creation_date, 80)
    );
    assert_eq!(decoded.payment_addr, added.payment_addr);
    assert_eq!(decoded.features, found.features);
    assert!(decoded.features[&14].is_required, "payment-addr");
}

#[tokio::test]
async fn an_invoice_in_capitals_is_the_same_invoice() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let added = invoice_over(&seller, 10).await;
    // As QR codes carry it.
    let capitals = added.payment_request.to_uppercase();

    let decoded = seller.decode(&capitals).await.unwrap();
    let paid = pay(&buyer, &capitals).await;

    assert_eq!(decoded.payment_hash, hex(&added.r_hash));
    assert_eq!(paid.payment_hash, hex(&added.r_hash));
}

#[tokio::test]
async fn what_a_request_names_is_what_the_invoice_says() {
    let network = Network::start().await;
    let seller = network.seller().await;
    let preimage = Preimage::new([9; 32]);

    let added = seller
        .add_invoice(lnrpc::Invoice {
            value_msat: 1_500,
            expiry: 60,
            memo: "a note".to_owned(),
            description_hash: vec![7; 32],
            r_preimage: preimage.expose().to_vec(),
            r_hash: vec![1; 32],
            ..lnrpc::Invoice::default()
        })
        .await
        .unwrap();
    let found = seller.lookup(&added.r_hash).await.unwrap();
    let decoded = seller.decode(&added.payment_request).await.unwrap();

    assert_eq!(added.r_hash, preimage.payment_hash().as_bytes());
    assert_eq!(
        (found.value, found.value_msat, found.expiry),
        (1, 1_500, 60)
    );
    assert_eq!(
        (found.memo.as_str(), found.description_hash),
        ("a note", vec![7; 32])
    );
    assert_eq!((decoded.num_satoshis, decoded.num_msat), (1, 1_500));
    assert_eq!(found.features, decoded.features);
    assert_eq!(
        (decoded.description.as_str(), decoded.description_hash),
        ("", "07".repeat(32))
    );
}

#[tokio::test]
async fn requests_lnd_refuses_are_refused_with_its_code_and_text() {
    let network = Network::start().await;
    let seller = network.seller().await;
    let blank = lnrpc::Invoice::default;
    let preimage = lnrpc::Invoice {
        r_preimage: vec![5; 32],
        ..blank()
    };
    seller.add_invoice(preimage.clone()).await.unwrap();
    for (request, text) in [
        (preimage, "invoice with payment hash already exists"),
        (
            lnrpc::Invoice {
                value: i64::MIN,
                ..blank()
            },
            "amount cannot be negative",
        ),
        (
            lnrpc::Invoice {
                value: i64::MAX,
                ..blank()
            },
            "amount of 9223372036854775807 sat is too large",
        ),
        (
            lnrpc::Invoice {
                value_msat: i64::MAX,
                ..blank()
            },
            "an invoice over 9223372036854775807 msat cannot be written: ask for at most 2100000000000000 sat",
        ),
    ] {
        let refused = seller.add_invoice(request).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::Unknown, text));
    }
    for (hash, code, text) in [
        (vec![1; 32], Code::NotFound, "unable to locate invoice"),
        (vec![], Code::NotFound, "unable to locate invoice"),
        (vec![1; 31], Code::NotFound, "unable to locate invoice"),
    ] {
        let refused = seller.lookup(&hash).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (code, text));
    }
    let refused = seller.decode("garbage").await.unwrap_err();
    assert!(
        refused.message().starts_with("not a BOLT 11 invoice"),
        "{refused}"
    );
}

#[tokio::test]
async fn listings_are_paged_as_lnds() {
    let network = Network::start().await;
    let seller = network.seller().await;
    for sat in 1..=5 {
        invoice_over(&seller, sat).await;
    }
    let blank = lnrpc::ListInvoiceRequest::default;
    let page = async |request| {
        let page = seller.invoices(request).await.unwrap();
        let indexes: Vec<u64> = page
            .invoices
            .iter()
            .map(|invoice| invoice.add_index)
            .collect();
        (indexes, page.first_index_offset, page.last_index_offset)
    };

    assert_eq!(page(blank()).await, (vec![1, 2, 3, 4, 5], 1, 5));
    let two = lnrpc::ListInvoiceRequest {
        num_max_invoices: 2,
        ..blank()
    };
    assert_eq!(page(two).await, (vec![1, 2], 1, 2));
    let next = lnrpc::ListInvoiceRequest {
        index_offset: 2,
        ..two
    };
    assert_eq!(page(next).await, (vec![3, 4], 3, 4));
    let newest = lnrpc::ListInvoiceRequest {
        reversed: true,
        ..two
    };
    assert_eq!(page(newest).await, (vec![4, 5], 4, 5));
    let before = lnrpc::ListInvoiceRequest {
        index_offset: 4,
        ..newest
    };
    assert_eq!(page(before).await, (vec![2, 3], 2, 3));
    let beyond = lnrpc::ListInvoiceRequest {
        index_offset: 99,
        ..two
    };
    assert_eq!(page(beyond).await, (vec![], 0, 0));
    let long_ago = lnrpc::ListInvoiceRequest {
        creation_date_start: 8,
        creation_date_end: 9,
        ..blank()
    };
    assert_eq!(page(long_ago).await, (vec![], 0, 0));
}

#[tokio::test]
async fn an_expired_invoice_is_canceled_and_no_longer_pending() {
    let network = Network::start().await;
    let seller = network.seller().await;
    let expiring = lnrpc::Invoice {
        value: 1,
        expiry: 60,
        ..lnrpc::Invoice::default()
    };
    let expired = seller.add_invoice(expiring).await.unwrap();
    invoice_over(&seller, 2).await;

    network
        .sandbox()
        .seller()
        .clock()
        .advance(Duration::from_secs(61));

    let found = seller.lookup(&expired.r_hash).await.unwrap();
    assert_eq!(found.state(), InvoiceState::Canceled);
    let pending = lnrpc::ListInvoiceRequest {
        pending_only: true,
        ..lnrpc::ListInvoiceRequest::default()
    };
    let listed = seller.invoices(pending).await.unwrap().invoices;
    assert_eq!(
        listed
            .iter()
            .map(|invoice| invoice.value)
            .collect::<Vec<_>>(),
        [2]
    );
    // Nor is it in a subscription's backlog.
    let mut backlog = subscribe(&seller, 0, 0).await;
    let fresh = invoice_over(&seller, 3).await;
    assert_eq!(next(&mut backlog).await.r_hash, fresh.r_hash);
}

#[tokio::test]
async fn a_subscription_begins_where_it_is_asked_to() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let mut added = vec![];
    for sat in 1..=4 {
        added.push(invoice_over(&seller, sat).await);
    }
    for paid in [&added[1], &added[2]] {
        pay(&buyer, &paid.payment_request).await;
    }

    let mut from_second = subscribe(&seller, 2, 0).await;
    let mut settled_after_first = subscribe(&seller, 0, 1).await;
    let mut from_now = subscribe(&seller, 0, 0).await;
    let live = invoice_over(&seller, 5).await;

    // Invoices added earlier are sent as they stand.
    let third = next(&mut from_second).await;
    assert_eq!((third.add_index, third.state()), (3, InvoiceState::Settled));
    let fourth = next(&mut from_second).await;
    assert_eq!((fourth.add_index, fourth.state()), (4, InvoiceState::Open));
    assert_eq!(next(&mut from_second).await.r_hash, live.r_hash);
    let second_settled = next(&mut settled_after_first).await;
    assert_eq!(
        (second_settled.add_index, second_settled.settle_index),
        (3, 2)
    );
    assert_eq!(next(&mut from_now).await.r_hash, live.r_hash);
}

#[tokio::test]
async fn a_subscriber_sees_an_invoice_added_and_then_settled() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let mut updates = subscribe(&seller, 0, 0).await;

    let added = invoice_over(&seller, 9).await;
    pay(&buyer, &added.payment_request).await;

    let open = next(&mut updates).await;
    assert_eq!(
        (open.r_hash.as_slice(), open.state()),
        (added.r_hash.as_slice(), InvoiceState::Open)
    );
    let settled = next(&mut updates).await;
    assert_eq!(settled.r_hash, added.r_hash);
    assert_eq!(settled.state(), InvoiceState::Settled);
    assert_eq!(
        (
            settled.settle_index,
            settled.amt_paid_sat,
            settled.amt_paid_msat
        ),
        (1, 9, 9_000)
    );
    assert!(settled.settle_date >= settled.creation_date);
}

#[tokio::test]
async fn a_subscription_ends_without_an_error_when_the_node_stops() {
    let network = Network::start().await;
    let seller = network.seller().await;
    let mut updates = subscribe(&seller, 0, 0).await;

    let (end, _dir) = tokio::join!(updates.next(), network.stop());

    assert!(end.is_none(), "{end:?}");
}

async fn subscribe(
    client: &Client,
    add_index: u64,
    settle_index: u64,
) -> Streaming<lnrpc::Invoice> {
    let request = client.authorized(lnrpc::InvoiceSubscription {
        add_index,
        settle_index,
    });
    client
        .lightning()
        .subscribe_invoices(request)
        .await
        .unwrap()
        .into_inner()
}

async fn next(updates: &mut Streaming<lnrpc::Invoice>) -> lnrpc::Invoice {
    updates.next().await.unwrap().unwrap()
}
