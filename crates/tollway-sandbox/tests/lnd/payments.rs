//! Payments over gRPC, and every way LND refuses or fails one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use l402::Preimage;
use lightning_invoice::{
    Currency, InvoiceBuilder, PaymentSecret, RouteHint, RouteHintHop, RoutingFees,
};
use tollway_lightning::lnd::proto::lnrpc::PaymentFailureReason;
use tollway_lightning::lnd::proto::lnrpc::htlc_attempt::HtlcStatus;
use tollway_lightning::lnd::proto::lnrpc::payment::PaymentStatus;
use tollway_lightning::lnd::proto::{lnrpc, routerrpc};
use tonic::Code;

use crate::client::{Client, Streamed};
use crate::{Network, hex, invoice_over};

/// Pays an invoice that can be paid.
pub(crate) async fn pay(buyer: &Client, payment_request: &str) -> lnrpc::Payment {
    let (mut steps, end) = buyer.pay(request(payment_request)).await;
    end.unwrap();
    let last = steps.pop().unwrap();
    assert_eq!(last.status(), PaymentStatus::Succeeded);
    last
}

fn request(payment_request: &str) -> routerrpc::SendPaymentRequest {
    routerrpc::SendPaymentRequest {
        payment_request: payment_request.to_owned(),
        timeout_seconds: 10,
        fee_limit_sat: 10,
        ..routerrpc::SendPaymentRequest::default()
    }
}

fn sync(payment_request: &str) -> lnrpc::SendRequest {
    lnrpc::SendRequest {
        payment_request: payment_request.to_owned(),
        ..lnrpc::SendRequest::default()
    }
}

fn refusal<T: std::fmt::Debug>((steps, end): Streamed<T>) -> (Code, String) {
    assert_eq!(steps.len(), 0, "{steps:?}");
    let status = end.unwrap_err();
    (status.code(), status.message().to_owned())
}

/// Why a payment failed that was begun: the stream itself ends well.
fn failure((mut steps, end): Streamed<lnrpc::Payment>) -> PaymentFailureReason {
    end.unwrap();
    let last = steps.pop().unwrap();
    assert_eq!(last.status(), PaymentStatus::Failed);
    assert_eq!(last.payment_preimage, "0".repeat(64));
    last.failure_reason()
}

#[tokio::test]
async fn a_payment_is_told_step_by_step_to_its_preimage() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let invoice = invoice_over(&seller, 11).await;

    let (steps, end) = buyer.pay(request(&invoice.payment_request)).await;

    end.unwrap();
    let (last, before) = steps.split_last().unwrap();
    assert!(!before.is_empty());
    assert!(
        before
            .iter()
            .all(|step| step.status() == PaymentStatus::InFlight)
    );
    assert_eq!(last.status(), PaymentStatus::Succeeded);
    assert_eq!(
        last.failure_reason(),
        PaymentFailureReason::FailureReasonNone
    );
    assert_eq!(last.payment_hash, hex(&invoice.r_hash));
    assert_eq!((last.value_sat, last.value_msat), (11, 11_000));
    assert_eq!((last.fee_sat, last.fee_msat, last.payment_index), (0, 0, 1));
    assert_eq!(last.payment_request, invoice.payment_request);
    let preimage = Preimage::from_hex(&last.payment_preimage).unwrap();
    assert_eq!(
        preimage.payment_hash().as_bytes(),
        invoice.r_hash.as_slice()
    );

    let attempt = last.htlcs.last().unwrap();
    assert_eq!(attempt.status(), HtlcStatus::Succeeded);
    assert_eq!(attempt.preimage, preimage.expose());
    let route = attempt.route.as_ref().unwrap();
    let hop = route.hops.last().unwrap();
    assert_eq!(hop.pub_key, network.lnd.seller().access().pubkey);
    assert_eq!(
        (hop.amt_to_forward_msat, route.total_amt_msat),
        (11_000, 11_000)
    );
    assert!(hop.chan_id > 0 && hop.tlv_payload && route.total_time_lock > 0);
}

#[tokio::test]
async fn only_the_outcome_is_told_to_who_asks_for_no_more() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let invoice = invoice_over(&seller, 11).await;
    let quiet = routerrpc::SendPaymentRequest {
        no_inflight_updates: true,
        ..request(&invoice.payment_request)
    };

    let (steps, end) = buyer.pay(quiet).await;

    end.unwrap();
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].status(), PaymentStatus::Succeeded);
}

#[tokio::test]
async fn the_older_call_answers_with_preimage_and_route() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let invoice = invoice_over(&seller, 10).await;

    let paid = buyer
        .pay_sync(sync(&invoice.payment_request))
        .await
        .unwrap();

    assert_eq!(paid.payment_error, "");
    assert_eq!(paid.payment_hash, invoice.r_hash);
    let preimage = Preimage::new(paid.payment_preimage.try_into().unwrap());
    assert_eq!(
        preimage.payment_hash().as_bytes(),
        invoice.r_hash.as_slice()
    );
    assert_eq!(paid.payment_route.unwrap().total_amt, 10);
}

#[tokio::test]
async fn an_invoice_is_paid_once() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let invoice = invoice_over(&seller, 10).await;
    pay(&buyer, &invoice.payment_request).await;

    let again = buyer.pay(request(&invoice.payment_request)).await;
    let again_sync = buyer
        .pay_sync(sync(&invoice.payment_request))
        .await
        .unwrap();

    let text = "invoice is already paid";
    assert_eq!(refusal(again), (Code::AlreadyExists, text.to_owned()));
    assert_eq!(again_sync.payment_error, text);
    assert_eq!(again_sync.payment_hash, invoice.r_hash);
    assert!(again_sync.payment_preimage.is_empty() && again_sync.payment_route.is_none());
    let received = seller.lookup(&invoice.r_hash).await.unwrap().amt_paid_sat;
    assert_eq!(received, 10);
}

#[tokio::test]
async fn two_callers_at_once_pay_an_invoice_once() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let invoice = invoice_over(&seller, 10).await;

    let (one, other) = tokio::join!(
        buyer.pay(request(&invoice.payment_request)),
        buyer.pay(request(&invoice.payment_request)),
    );

    let (paid, refused) = if one.1.is_ok() {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!(paid.0.last().unwrap().status(), PaymentStatus::Succeeded);
    let (code, text) = refusal(refused);
    assert_eq!(code, Code::AlreadyExists);
    assert!(
        ["payment is in transition", "invoice is already paid"].contains(&text.as_str()),
        "{text}"
    );
}

#[tokio::test]
async fn an_expired_invoice_is_refused_by_both_calls() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let invoice = invoice_over(&seller, 10).await;
    network
        .sandbox()
        .buyer()
        .clock()
        .advance(Duration::from_secs(86_401));

    let (code, text) = refusal(buyer.pay(request(&invoice.payment_request)).await);
    let by_older_call = buyer
        .pay_sync(sync(&invoice.payment_request))
        .await
        .unwrap_err();

    assert_eq!(code, Code::Unknown);
    assert!(text.starts_with("invoice expired "), "{text}");
    assert_eq!(by_older_call.message(), text);
}

#[tokio::test]
async fn an_invoice_the_payee_no_longer_honours_fails_with_its_refusal() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let (one, other) = (
        invoice_over(&seller, 10).await,
        invoice_over(&seller, 10).await,
    );
    network
        .sandbox()
        .seller()
        .clock()
        .advance(Duration::from_secs(86_401));

    let failed = buyer.pay(request(&one.payment_request)).await;
    let last = failed.0.last().unwrap().clone();
    let by_older_call = buyer.pay_sync(sync(&other.payment_request)).await.unwrap();

    let refused = PaymentFailureReason::FailureReasonIncorrectPaymentDetails;
    assert_eq!(failure(failed), refused);
    let attempt = last.htlcs.last().unwrap();
    assert_eq!(attempt.status(), HtlcStatus::Failed);
    assert_eq!(attempt.failure.as_ref().unwrap().failure_source_index, 1);
    assert_eq!(by_older_call.payment_error, "incorrect_payment_details");
    assert_eq!(by_older_call.payment_hash, other.r_hash);
}

#[tokio::test]
async fn an_open_amount_must_be_named_and_a_named_one_must_not() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let (open, open_too) = (
        invoice_over(&seller, 0).await,
        invoice_over(&seller, 0).await,
    );
    let named = invoice_over(&seller, 10).await;
    let amt = |invoice: &lnrpc::AddInvoiceResponse, amt| routerrpc::SendPaymentRequest {
        amt,
        ..request(&invoice.payment_request)
    };

    let missing = refusal(buyer.pay(amt(&open, 0)).await);
    let missing_sync = buyer
        .pay_sync(sync(&open.payment_request))
        .await
        .unwrap_err();
    let given = refusal(buyer.pay(amt(&named, 10)).await);
    let (steps, _) = buyer.pay(amt(&open, 7)).await;
    let with_amt = |invoice: &lnrpc::AddInvoiceResponse, amt| lnrpc::SendRequest {
        amt,
        ..sync(&invoice.payment_request)
    };
    let ignored = buyer.pay_sync(with_amt(&named, 20)).await.unwrap();
    let named_sync = buyer.pay_sync(with_amt(&open_too, 3)).await.unwrap();

    let text = "amount must be specified when paying a zero amount invoice";
    assert_eq!(missing, (Code::Unknown, text.to_owned()));
    assert_eq!(missing_sync.message(), text);
    let text = "amount must not be specified when paying a non-zero amount invoice";
    assert_eq!(given, (Code::Unknown, text.to_owned()));
    assert_eq!(steps.last().unwrap().value_sat, 7);
    assert_eq!(ignored.payment_route.unwrap().total_amt, 10);
    assert_eq!(named_sync.payment_route.unwrap().total_amt, 3);
}

#[tokio::test]
async fn a_wallet_does_not_pay_itself() {
    let network = Network::start().await;
    let buyer = network.buyer().await;
    let own = invoice_over(&buyer, 10).await;

    let refused = refusal(buyer.pay(request(&own.payment_request)).await);
    let refused_sync = buyer
        .pay_sync(sync(&own.payment_request))
        .await
        .unwrap_err();

    let text = "self-payments not allowed";
    assert_eq!(refused, (Code::Unknown, text.to_owned()));
    assert_eq!(
        (refused_sync.code(), refused_sync.message()),
        (Code::Unknown, text)
    );
}

#[tokio::test]
async fn more_than_the_wallet_has_fails_for_lack_of_balance() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let info = buyer.authorized(lnrpc::ChannelBalanceRequest {});
    let sums = buyer
        .lightning()
        .channel_balance(info)
        .await
        .unwrap()
        .into_inner();
    let too_much = sums.balance.saturating_add(1);
    let (one, other) = (
        invoice_over(&seller, too_much).await,
        invoice_over(&seller, too_much).await,
    );

    let failed = buyer.pay(request(&one.payment_request)).await;
    let failed_sync = buyer.pay_sync(sync(&other.payment_request)).await.unwrap();

    let reason = PaymentFailureReason::FailureReasonInsufficientBalance;
    assert_eq!(failure(failed), reason);
    assert_eq!(failed_sync.payment_error, "insufficient_balance");
}

#[tokio::test]
async fn a_payee_out_of_reach_or_over_the_fee_limit_is_no_route() {
    let network = Network::start().await;
    let buyer = network.buyer().await;

    let stranger = failure(buyer.pay(request(&strangers_invoice(1, None))).await);
    let stranger_sync = buyer
        .pay_sync(sync(&strangers_invoice(2, None)))
        .await
        .unwrap();
    let seller = network.lnd.seller().access().pubkey.parse().unwrap();
    let behind_seller = strangers_invoice(3, Some(seller));
    let dear = routerrpc::SendPaymentRequest {
        fee_limit_sat: 1,
        ..request(&behind_seller)
    };
    let dear = failure(buyer.pay(dear).await);

    let no_route = PaymentFailureReason::FailureReasonNoRoute;
    assert_eq!((stranger, dear), (no_route, no_route));
    assert_eq!(stranger_sync.payment_error, "no_route");
}

#[tokio::test]
async fn texts_that_are_no_invoices_are_refused() {
    let network = Network::start().await;
    let buyer = network.buyer().await;
    for (text, reason) in [
        ("garbage", "not a BOLT 11 invoice: "),
        ("lnbcrt1qqqqqqbqqqqqq", "not a BOLT 11 invoice: "),
        (MAINNET, "invoice not for current active network 'regtest'"),
    ] {
        let (code, message) = refusal(buyer.pay(request(text)).await);
        assert_eq!(code, Code::Unknown);
        assert!(message.starts_with(reason), "{message}");
        let refused = buyer.pay_sync(sync(text)).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message()),
            (code, message.as_str())
        );
    }
}

#[tokio::test]
async fn a_payment_is_tracked_by_its_hash() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let invoice = invoice_over(&seller, 10).await;
    let paid = pay(&buyer, &invoice.payment_request).await;

    let (steps, end) = buyer.track(&invoice.r_hash).await;

    end.unwrap();
    assert_eq!(steps, [paid]);
    let unknown = refusal(buyer.track(&[1; 32]).await);
    assert_eq!(
        unknown,
        (Code::NotFound, "payment isn't initiated".to_owned())
    );
    let short = refusal(buyer.track(&[1; 31]).await);
    assert_eq!(
        short,
        (
            Code::Unknown,
            "invalid hash length of 31, want 32".to_owned()
        )
    );
}

#[tokio::test]
async fn payments_are_listed_as_lnds() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    for sat in 1..=3 {
        let invoice = invoice_over(&seller, sat).await;
        pay(&buyer, &invoice.payment_request).await;
    }
    failure(buyer.pay(request(&strangers_invoice(1, None))).await);
    let blank = lnrpc::ListPaymentsRequest::default;
    let page = async |request| {
        let page = buyer.payments(request).await.unwrap();
        let indexes: Vec<u64> = page
            .payments
            .iter()
            .map(|paid| paid.payment_index)
            .collect();
        (
            indexes,
            page.first_index_offset,
            page.last_index_offset,
            page.total_num_payments,
        )
    };

    assert_eq!(page(blank()).await, (vec![1, 2, 3], 1, 3, 0));
    let all = lnrpc::ListPaymentsRequest {
        include_incomplete: true,
        ..blank()
    };
    assert_eq!(page(all).await, (vec![1, 2, 3, 4], 1, 4, 0));
    let newest = lnrpc::ListPaymentsRequest {
        max_payments: 1,
        reversed: true,
        ..blank()
    };
    assert_eq!(page(newest).await, (vec![3], 3, 3, 0));
    let before = lnrpc::ListPaymentsRequest {
        index_offset: 3,
        max_payments: 1,
        ..newest
    };
    assert_eq!(page(before).await, (vec![2], 2, 2, 0));
    let counted = lnrpc::ListPaymentsRequest {
        count_total_payments: true,
        max_payments: 1,
        ..blank()
    };
    assert_eq!(page(counted).await, (vec![1], 1, 1, 4));
}

#[tokio::test]
async fn a_fee_is_estimated_for_a_node_or_an_invoice_but_not_both() {
    let network = Network::start().await;
    let (seller, buyer) = (network.seller().await, network.buyer().await);
    let invoice = invoice_over(&seller, 10).await.payment_request;
    let open = invoice_over(&seller, 0).await.payment_request;
    let seller_key: PublicKey = network.lnd.seller().access().pubkey.parse().unwrap();
    let blank = routerrpc::RouteFeeRequest::default;
    let to = |dest: Vec<u8>, amt_sat| routerrpc::RouteFeeRequest {
        dest,
        amt_sat,
        ..blank()
    };
    let of = |invoice: &str| routerrpc::RouteFeeRequest {
        payment_request: invoice.to_owned(),
        ..blank()
    };
    let key = seller_key.serialize().to_vec();

    for request in [of(&invoice), to(key.clone(), 10)] {
        let estimate = buyer.estimate(request).await.unwrap();
        assert_eq!(estimate.routing_fee_msat, 0);
        assert!(estimate.time_lock_delay > 80, "{estimate:?}");
        assert_eq!(
            estimate.failure_reason(),
            PaymentFailureReason::FailureReasonNone
        );
    }
    let unroutable = buyer
        .estimate(of(&strangers_invoice(1, None)))
        .await
        .unwrap();
    assert_eq!(
        unroutable.failure_reason(),
        PaymentFailureReason::FailureReasonNoRoute
    );
    for (request, text) in [
        (blank(), "specify either a destination or an invoice"),
        (
            routerrpc::RouteFeeRequest {
                payment_request: invoice.clone(),
                ..to(key.clone(), 1)
            },
            "specify either a destination or an invoice",
        ),
        (to(key.clone(), 0), "amount must be greater than 0"),
        (to(key, -1), "amount must be greater than 0"),
        (
            to(vec![2; 32], 1),
            "invalid destination key: malformed public key",
        ),
        (
            to(stranger().serialize().to_vec(), 1),
            "unable to find a path to destination",
        ),
        (of(&open), "payment request amount must be greater than 0"),
    ] {
        let refused = buyer.estimate(request).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::Unknown, text));
    }
}

fn stranger_key() -> SecretKey {
    SecretKey::from_slice(&[7; 32]).unwrap()
}

fn stranger() -> PublicKey {
    PublicKey::from_secret_key(&Secp256k1::new(), &stranger_key())
}

/// A valid regtest invoice of an unknown node, over 10 sat; `via` charges 5 sat to reach it.
fn strangers_invoice(number: u8, via: Option<PublicKey>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let builder = InvoiceBuilder::new(Currency::Regtest)
        .description("unreachable".to_owned())
        .amount_milli_satoshis(10_000)
        .payment_hash(sha256::Hash::from_byte_array([number; 32]))
        .payment_secret(PaymentSecret([number; 32]))
        .duration_since_epoch(now)
        .basic_mpp()
        .min_final_cltv_expiry_delta(80);
    let builder = match via {
        None => builder,
        Some(src_node_id) => builder.private_route(RouteHint(vec![RouteHintHop {
            src_node_id,
            short_channel_id: 1_099_511_693_313,
            fees: RoutingFees {
                base_msat: 5_000,
                proportional_millionths: 0,
            },
            cltv_expiry_delta: 40,
            htlc_minimum_msat: None,
            htlc_maximum_msat: None,
        }])),
    };
    let signed =
        builder.build_signed(|hash| Secp256k1::new().sign_ecdsa_recoverable(hash, &stranger_key()));
    signed.unwrap().to_string()
}

// BOLT 11, "Examples": a donation of any amount, on the main network.
pub(crate) const MAINNET: &str = "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql";
