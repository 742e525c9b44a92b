//! Invoices: their content, and that every change is seen once.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use l402::{Invoice, Msat, Network, Preimage};
use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef};
use tollway_sandbox::wallet::{
    AddInvoiceError, InvoiceCursor, InvoiceDescription, InvoiceStatus, InvoiceUpdate, NewInvoice,
};

use crate::{invoice, network, pay, payment, preimage, sat, terms};

#[tokio::test]
async fn an_invoice_says_what_was_asked() {
    let (sandbox, _dir) = network().await;
    let seller = sandbox.seller();

    let made = invoice(seller, Some(Msat::from_msat(2_500)));

    let read = Invoice::parse(&made.bolt11).unwrap();
    assert_eq!(read.network(), Network::Regtest);
    assert_eq!(read.amount(), Some(Msat::from_msat(2_500)));
    assert_eq!(read.payment_hash(), made.hash);
    assert_eq!(read.expires_at(), made.expires_at());
    let parsed = Bolt11Invoice::from_str(&made.bolt11).unwrap();
    assert_eq!(parsed.get_payee_pub_key(), seller.info().pubkey);
    assert_eq!(parsed.payment_secret().0, made.payment_secret);
    assert_eq!(
        parsed.min_final_cltv_expiry_delta(),
        u64::from(made.cltv_delta)
    );
    assert!(made.preimage.matches(&made.hash));
    assert_eq!(made.status, InvoiceStatus::Open);
    assert_eq!(seller.invoice(&made.hash), Some(made));
}

#[tokio::test]
async fn a_preimage_given_by_the_caller_is_the_one_that_is_bought() {
    let (sandbox, _dir) = network().await;
    let chosen = Preimage::new([42; 32]);
    let mut with_preimage = terms(Some(sat(3)));
    with_preimage.preimage = Some(chosen.clone());

    let made = sandbox.seller().add_invoice(with_preimage).unwrap();
    let paid = pay(sandbox.buyer(), &made).await;

    assert_eq!(made.hash, chosen.payment_hash());
    assert_eq!(preimage(&paid), &chosen);
}

#[tokio::test]
async fn a_preimage_is_asked_for_once() {
    let (sandbox, _dir) = network().await;
    let mut same = terms(Some(sat(3)));
    same.preimage = Some(Preimage::new([42; 32]));
    let hash = sandbox.seller().add_invoice(same.clone()).unwrap().hash;

    let refused = sandbox.seller().add_invoice(same).unwrap_err();

    assert_eq!(refused, AddInvoiceError::Duplicate { hash });
    assert_eq!(
        refused.to_string(),
        "invoice with payment hash already exists"
    );
    assert_eq!(sandbox.seller().invoices(0, 9).len(), 1);
}

#[tokio::test]
async fn a_described_elsewhere_invoice_carries_the_hash_and_is_payable() {
    let (sandbox, _dir) = network().await;
    let made = sandbox
        .seller()
        .add_invoice(NewInvoice {
            description: InvoiceDescription::Hash {
                hash: [5; 32],
                memo: "for me only".into(),
            },
            ..terms(Some(sat(3)))
        })
        .unwrap();

    let parsed = Bolt11Invoice::from_str(&made.bolt11).unwrap();
    let Bolt11InvoiceDescriptionRef::Hash(hash) = parsed.description() else {
        panic!("{}", parsed.description());
    };
    assert_eq!(AsRef::<[u8]>::as_ref(&hash.0), [5; 32]);
    preimage(&pay(sandbox.buyer(), &made).await);
}

#[tokio::test]
async fn what_does_not_fit_an_invoice_is_refused_and_not_kept() {
    let (sandbox, _dir) = network().await;
    let memo = |len| InvoiceDescription::Memo("m".repeat(len));
    let with = |description| NewInvoice {
        description,
        ..terms(Some(sat(1)))
    };

    let too_long = sandbox.seller().add_invoice(with(memo(640))).unwrap_err();
    let too_much = sandbox
        .seller()
        .add_invoice(terms(Some(Msat::MAX)))
        .unwrap_err();

    assert!(
        matches!(too_long, AddInvoiceError::Unwritable(_)),
        "{too_long}"
    );
    assert!(matches!(too_much, AddInvoiceError::AmountTooLarge { .. }));
    assert_eq!(sandbox.seller().invoice_cursor(), InvoiceCursor::default());
    assert!(sandbox.seller().add_invoice(with(memo(639))).is_ok());
}

#[tokio::test]
async fn nothing_is_an_amount_for_the_payer_to_choose() {
    let (sandbox, _dir) = network().await;

    let made = invoice(sandbox.seller(), Some(Msat::ZERO));

    assert_eq!(made.amount, None);
    assert_eq!(Invoice::parse(&made.bolt11).unwrap().amount(), None);
}

#[tokio::test]
async fn an_invoice_without_an_expiry_lasts_a_day() {
    let (sandbox, _dir) = network().await;
    let mut lasting = terms(Some(sat(1)));
    lasting.expiry_secs = None;

    let made = sandbox.seller().add_invoice(lasting).unwrap();

    assert_eq!(made.expiry_secs, 86_400);
    sandbox
        .seller()
        .clock()
        .advance(Duration::from_secs(86_400));
    let seen = &sandbox.seller().invoices(0, 1)[0];
    assert_eq!(seen.status, InvoiceStatus::Canceled);
}

#[tokio::test]
async fn invoices_are_listed_in_the_order_they_were_added() {
    let (sandbox, _dir) = network().await;
    let made: Vec<_> = (1..=4)
        .map(|n| invoice(sandbox.seller(), Some(sat(n))))
        .collect();

    assert_eq!(sandbox.seller().invoices(0, 9), made);
    assert_eq!(sandbox.seller().invoices(1, 2), made[1..3]);
    assert_eq!(sandbox.seller().invoices(4, 9), []);
    assert_eq!(sandbox.seller().invoices(u64::MAX, 9), []);
    assert_eq!(sandbox.buyer().invoice(&made[0].hash), None);
}

#[tokio::test]
async fn a_subscription_sees_each_addition_and_each_settlement_once() {
    let (sandbox, _dir) = network().await;
    let (seller, buyer) = (sandbox.seller(), sandbox.buyer());
    let earlier = invoice(seller, Some(sat(1)));
    pay(buyer, &earlier).await;
    let mut updates = seller.subscribe_invoices(seller.invoice_cursor());

    let made: Vec<_> = (0..20).map(|_| invoice(seller, Some(sat(1)))).collect();
    for one in &made {
        buyer.pay(&payment(&one.bolt11)).unwrap();
    }

    let (mut added, mut settled) = (Vec::new(), Vec::new());
    while settled.len() < made.len() {
        match updates.next().await.unwrap() {
            InvoiceUpdate::Added(record) => {
                assert_eq!(record.status, InvoiceStatus::Open);
                added.push(record.hash);
            }
            InvoiceUpdate::Settled(record) => {
                let InvoiceStatus::Settled { settle_index, .. } = record.status else {
                    panic!("{:?}", record.status);
                };
                settled.push((settle_index, record.hash));
            }
        }
    }
    let expected: Vec<_> = made.iter().map(|record| record.hash).collect();
    assert_eq!(added, expected);
    let indexes: Vec<_> = settled.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, (2..=21).collect::<Vec<_>>());
    let hashes: HashSet<_> = settled.iter().map(|(_, hash)| *hash).collect();
    assert_eq!(hashes, expected.into_iter().collect());
    assert!(!hashes.contains(&earlier.hash), "it was settled before");
}

#[tokio::test]
async fn a_subscription_from_the_start_replays_what_was_missed_and_ends_with_the_network() {
    let (sandbox, _dir) = network().await;
    let made = invoice(sandbox.seller(), Some(sat(1)));
    pay(sandbox.buyer(), &made).await;
    let paid = sandbox.seller().invoice(&made.hash).unwrap();
    let seller = sandbox.seller().clone();
    let mut updates = seller.subscribe_invoices(InvoiceCursor::default());
    let mut only_new = seller.subscribe_invoices(seller.invoice_cursor());

    sandbox.stop().await;

    assert_eq!(updates.next().await, Some(InvoiceUpdate::Added(made)));
    assert_eq!(updates.next().await, Some(InvoiceUpdate::Settled(paid)));
    assert_eq!(updates.next().await, None);
    assert_eq!(only_new.next().await, None);
}
