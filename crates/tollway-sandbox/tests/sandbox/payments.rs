//! Paying: what succeeds, how each failure is reported, and that nothing is paid twice.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use bitcoin::Amount;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use l402::{Msat, Network, Preimage};
use lightning::types::payment::PaymentSecret;
use lightning_invoice::{Bolt11Invoice, Currency, InvoiceBuilder};
use tollway_sandbox::ChannelPlan;
use tollway_sandbox::wallet::{
    AttemptStatus, Clock, EstimateError, FailureReason, InvoiceStatus, ParseInvoiceError,
    PaymentStatus, SelfPayment, SendError, parse_invoice,
};

use crate::{btc, failure, invoice, network, network_with, pay, payment, preimage, sat};

#[tokio::test]
async fn a_payment_buys_the_preimage_and_moves_its_amount() {
    let (sandbox, _dir) = network().await;
    let (seller, buyer) = (sandbox.seller(), sandbox.buyer());
    let before = (buyer.channel_balance(), seller.channel_balance());
    let asked = invoice(seller, Some(sat(21)));

    let paid = pay(buyer, &asked).await;

    assert!(preimage(&paid).matches(&asked.hash));
    assert_eq!(paid.amount, sat(21));
    assert_eq!((paid.payment_index, paid.hash), (1, asked.hash));
    let [attempt] = paid.attempts.as_slice() else {
        panic!("{:?}", paid.attempts);
    };
    assert!(matches!(attempt.status, AttemptStatus::Succeeded { .. }));
    assert_eq!((attempt.total, attempt.fee), (sat(21), Msat::ZERO));
    let [hop] = attempt.hops.as_slice() else {
        panic!("{:?}", attempt.hops);
    };
    assert_eq!((hop.node, hop.forwards), (seller.info().pubkey, sat(21)));
    assert_eq!(hop.expiry_height, attempt.total_time_lock);
    assert!(
        buyer
            .channels()
            .iter()
            .any(|c| c.short_id == Some(hop.channel_id))
    );

    let settled = seller.invoice(&asked.hash).unwrap();
    assert!(
        matches!(settled.status, InvoiceStatus::Settled { received, .. } if received == sat(21))
    );
    let after = (settled_balance(buyer).await, settled_balance(seller).await);
    assert_eq!(before.0.local.checked_sub(after.0), Some(sat(21)));
    assert_eq!(after.1.checked_sub(before.1.local), Some(sat(21)));
}

#[tokio::test]
async fn money_flows_both_ways() {
    let (sandbox, _dir) = network().await;

    for (payer, payee) in [
        (sandbox.buyer(), sandbox.seller()),
        (sandbox.seller(), sandbox.buyer()),
    ] {
        let paid = pay(payer, &invoice(payee, Some(btc(1)))).await;
        assert!(
            matches!(paid.status, PaymentStatus::Succeeded { .. }),
            "{paid:?}"
        );
    }
}

#[tokio::test]
async fn a_payment_larger_than_any_channel_goes_over_several() {
    let (sandbox, _dir) = network().await;

    let paid = pay(sandbox.buyer(), &invoice(sandbox.seller(), Some(btc(9)))).await;

    preimage(&paid);
    assert!(paid.attempts.len() > 1, "{:?}", paid.attempts);
    let total: u64 = paid.attempts.iter().map(|part| part.total.as_msat()).sum();
    assert_eq!(total, btc(9).as_msat());
}

#[tokio::test]
async fn an_invoice_for_any_amount_needs_one_and_any_other_refuses_one() {
    let (sandbox, _dir) = network().await;
    let (seller, buyer) = (sandbox.seller(), sandbox.buyer());
    let any = invoice(seller, None);
    let fixed = invoice(seller, Some(sat(5)));

    let mut pay_any = payment(&any.bolt11);
    assert_eq!(buyer.pay(&pay_any).unwrap_err(), SendError::AmountMissing);
    pay_any.amount = Some(Msat::ZERO);
    assert_eq!(buyer.pay(&pay_any).unwrap_err(), SendError::AmountMissing);
    let mut pay_fixed = payment(&fixed.bolt11);
    pay_fixed.amount = Some(sat(5));
    assert_eq!(buyer.pay(&pay_fixed).unwrap_err(), SendError::AmountGiven);

    pay_any.amount = Some(Msat::from_msat(1_234));
    let paid = buyer.pay(&pay_any).unwrap().ended().await;
    assert!(preimage(&paid).matches(&any.hash));
    let settled = seller.invoice(&any.hash).unwrap();
    assert!(matches!(
        settled.status,
        InvoiceStatus::Settled { received, .. } if received == Msat::from_msat(1_234)
    ));
}

#[tokio::test]
async fn a_paid_hash_is_refused_as_already_paid() {
    let (sandbox, _dir) = network().await;
    let asked = invoice(sandbox.seller(), Some(sat(1)));
    let first = pay(sandbox.buyer(), &asked).await;

    let refused = sandbox.buyer().pay(&payment(&asked.bolt11)).unwrap_err();

    assert_eq!(refused, SendError::AlreadyPaid { hash: asked.hash });
    assert_eq!(sandbox.buyer().payment(&asked.hash), Some(first));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hash_is_paid_once_however_many_try_at_the_same_time() {
    let (sandbox, _dir) = network().await;
    let (seller, buyer) = (sandbox.seller(), sandbox.buyer());
    let before = buyer.channel_balance().local;
    let mut begun = 0;

    for _ in 0..8 {
        let asked = invoice(seller, Some(sat(10)));
        let tries: Vec<_> = (0..8)
            .map(|_| {
                let (buyer, terms) = (buyer.clone(), payment(&asked.bolt11));
                tokio::spawn(async move { buyer.pay(&terms) })
            })
            .collect();
        for one_try in tries {
            match one_try.await.unwrap() {
                Ok(watch) => {
                    begun += 1;
                    preimage(&watch.ended().await);
                }
                Err(SendError::InFlight { hash } | SendError::AlreadyPaid { hash }) => {
                    assert_eq!(hash, asked.hash);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    assert_eq!(begun, 8);
    assert_eq!(
        before.checked_sub(settled_balance(buyer).await),
        Some(sat(80))
    );
    assert_eq!(seller.invoice_cursor().settle_index, 8);
    assert_eq!(buyer.payments(0, 99).len(), 8);
}

#[tokio::test]
async fn an_expired_invoice_is_refused_by_its_payer() {
    let (sandbox, _dir) = network().await;
    let asked = invoice(sandbox.seller(), Some(sat(1)));
    sandbox.buyer().clock().advance(Duration::from_secs(3_700));

    let refused = sandbox.buyer().pay(&payment(&asked.bolt11)).unwrap_err();

    let SendError::Expired {
        expired_at,
        seconds_ago,
    } = refused
    else {
        panic!("{refused}");
    };
    assert_eq!(expired_at, asked.expires_at());
    assert!(seconds_ago >= 100);
    assert_eq!(sandbox.buyer().payment(&asked.hash), None);
}

#[tokio::test]
async fn an_invoice_that_expired_at_its_payee_fails_as_wrong_details_and_can_be_seen_canceled() {
    let (sandbox, _dir) = network().await;
    let asked = invoice(sandbox.seller(), Some(sat(1)));
    let before = sandbox.buyer().channel_balance().local;
    sandbox.seller().clock().advance(Duration::from_secs(3_600));

    let paid = pay(sandbox.buyer(), &asked).await;

    assert_eq!(failure(&paid), FailureReason::IncorrectPaymentDetails);
    assert!(matches!(
        paid.attempts[0].status,
        AttemptStatus::Failed { .. }
    ));
    let seen = sandbox.seller().invoice(&asked.hash).unwrap();
    assert_eq!(seen.status, InvoiceStatus::Canceled);
    assert_eq!(settled_balance(sandbox.buyer()).await, before);
}

#[tokio::test]
async fn a_failed_payment_can_be_made_again() {
    let (sandbox, _dir) = network().await;
    let asked = invoice(sandbox.seller(), Some(sat(1)));
    let mut hurried = payment(&asked.bolt11);
    hurried.timeout = Duration::ZERO;
    let failed = sandbox.buyer().pay(&hurried).unwrap().ended().await;
    assert_eq!(failure(&failed), FailureReason::Timeout);
    assert_eq!(failed.attempts, []);

    let paid = pay(sandbox.buyer(), &asked).await;

    preimage(&paid);
    assert_eq!((failed.payment_index, paid.payment_index), (1, 2));
    assert_eq!(sandbox.buyer().payments(0, 9), [paid]);
}

#[tokio::test]
async fn more_than_the_balance_fails_as_such() {
    let (sandbox, _dir) = network().await;
    let asked = invoice(sandbox.seller(), Some(btc(17)));

    let paid = pay(sandbox.buyer(), &asked).await;

    assert_eq!(failure(&paid), FailureReason::InsufficientBalance);
    let seller = sandbox.seller().info().pubkey;
    let estimate = sandbox.buyer().estimate_fee(seller, btc(17));
    assert_eq!(estimate, Err(EstimateError::InsufficientBalance));
}

#[tokio::test]
async fn a_stranger_cannot_be_reached() {
    let (sandbox, _dir) = network().await;
    let stranger = strangers_invoice(Currency::Regtest);

    let watch = sandbox.buyer().pay(&payment(&stranger)).unwrap();

    assert_eq!(failure(&watch.ended().await), FailureReason::NoRoute);
    let node = Bolt11Invoice::from_str(&stranger)
        .unwrap()
        .get_payee_pub_key();
    let estimate = sandbox.buyer().estimate_fee(node, sat(1));
    assert_eq!(estimate, Err(EstimateError::NoRoute));
}

#[tokio::test]
async fn what_is_not_an_invoice_of_this_network_is_refused() {
    let (sandbox, _dir) = network().await;

    for (currency, network) in [
        (Currency::Bitcoin, Network::Mainnet),
        (Currency::Signet, Network::Signet),
    ] {
        let foreign = strangers_invoice(currency);
        let wrong = ParseInvoiceError::WrongNetwork { network };
        assert_eq!(parse_invoice(&foreign).unwrap_err(), wrong);
        let mut unchecked = payment(&strangers_invoice(Currency::Regtest));
        unchecked.invoice = foreign.parse().unwrap();
        let refused = sandbox.buyer().pay(&unchecked).unwrap_err();
        assert_eq!(refused, SendError::WrongNetwork(wrong));
    }
    assert!(matches!(
        parse_invoice("lnbcrt1"),
        Err(ParseInvoiceError::Unreadable { .. })
    ));
    assert_eq!(sandbox.buyer().payments(0, 9), []);
}

#[tokio::test]
async fn paying_oneself_is_refused_unless_allowed_and_then_costs_the_way_round() {
    let (sandbox, _dir) = network().await;
    let buyer = sandbox.buyer();
    let asked = invoice(buyer, Some(sat(50)));

    let mut terms = payment(&asked.bolt11);
    assert_eq!(buyer.pay(&terms).unwrap_err(), SendError::SelfPayment);

    terms.self_payment = SelfPayment::Allow;
    terms.fee_max = Msat::ZERO;
    let too_dear = buyer.pay(&terms).unwrap().ended().await;
    assert_eq!(failure(&too_dear), FailureReason::NoRoute);

    terms.fee_max = sat(10);
    let paid = buyer.pay(&terms).unwrap().ended().await;
    assert!(preimage(&paid).matches(&asked.hash));
    let [attempt] = paid.attempts.as_slice() else {
        panic!("{:?}", paid.attempts);
    };
    assert_eq!(attempt.hops.len(), 2);
    assert_eq!(attempt.hops[0].node, sandbox.seller().info().pubkey);
    let PaymentStatus::Succeeded { fee, .. } = paid.status else {
        panic!("{:?}", paid.status);
    };
    assert_eq!(attempt.fee, fee);
    assert!(!fee.is_zero() && fee <= sat(10), "{fee}");
}

#[tokio::test]
async fn a_neighbour_costs_nothing_to_reach() {
    let (sandbox, _dir) = network().await;
    let seller = sandbox.seller().info().pubkey;

    let estimate = sandbox.buyer().estimate_fee(seller, sat(100)).unwrap();

    assert_eq!(estimate.fee, Msat::ZERO);
    assert!(estimate.time_lock_blocks >= 80, "{estimate:?}");
}

#[tokio::test]
async fn payments_beyond_the_channels_slots_wait_for_their_turn() {
    let (sandbox, _dir) = network_with(ChannelPlan {
        count: 1,
        capacity: Amount::from_sat(1_000_000),
        push_amount: Amount::from_sat(100_000),
        max_accepted_htlcs: 2,
    })
    .await;

    let watches: Vec<_> = (0..32)
        .map(|_| {
            let asked = invoice(sandbox.seller(), Some(sat(1_000)));
            sandbox.buyer().pay(&payment(&asked.bolt11)).unwrap()
        })
        .collect();

    let mut hashes = HashSet::new();
    for watch in watches {
        let paid = watch.ended().await;
        assert!(preimage(&paid).matches(&paid.hash));
        hashes.insert(paid.hash);
    }
    assert_eq!(hashes.len(), 32);
}

#[tokio::test]
async fn a_watch_can_be_had_at_any_time() {
    let (sandbox, _dir) = network().await;
    let asked = invoice(sandbox.seller(), Some(sat(1)));
    assert!(sandbox.buyer().watch_payment(&asked.hash).is_none());

    let mut watch = sandbox.buyer().pay(&payment(&asked.bolt11)).unwrap();
    let also = sandbox.buyer().watch_payment(&asked.hash).unwrap();
    assert_eq!(watch.current().status, PaymentStatus::InFlight);
    let mut last = watch.current();
    while let Some(next) = watch.changed().await {
        last = next;
    }

    preimage(&last);
    assert_eq!(also.ended().await, last);
    let late = sandbox.buyer().watch_payment(&asked.hash).unwrap();
    assert_eq!(late.ended().await, last);
}

/// What a wallet holds once nothing is in flight: the last messages of a payment follow
/// its preimage.
async fn settled_balance(wallet: &tollway_sandbox::wallet::Wallet) -> Msat {
    loop {
        let balance = wallet.channel_balance();
        if balance.unsettled.is_zero() {
            return balance.local;
        }
        tokio::task::yield_now().await;
    }
}

fn strangers_invoice(currency: Currency) -> String {
    let key = SecretKey::from_slice(&[7; 32]).unwrap();
    let preimage = Preimage::new([9; 32]);
    InvoiceBuilder::new(currency)
        .description("from afar".into())
        .payment_hash(sha256::Hash::from_byte_array(
            *preimage.payment_hash().as_bytes(),
        ))
        .payment_secret(PaymentSecret([3; 32]))
        .duration_since_epoch(Clock::default().since_epoch())
        .min_final_cltv_expiry_delta(80)
        .amount_milli_satoshis(1_000)
        .build_signed(|message| Secp256k1::new().sign_ecdsa_recoverable(message, &key))
        .unwrap()
        .to_string()
}
