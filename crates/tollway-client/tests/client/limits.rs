//! What a buyer may spend, and who may stop it.

use std::sync::Arc;
use std::sync::Mutex;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use l402::{Limits, Msat, OverLimit, QuoteError};
use tollway_client::{
    Approval, Approve, Client, Error, Event, Hosts, NotPaid, Policy, PurchaseRequest, UncappedFees,
    WalletName,
};
use tollway_lightning::{FeeCap, PayerPromises};

use crate::wallet::{FakeWallet, Order, PROMISES, Reachable};
use crate::{NOON, World, limits, policy, policy_with, sat, text};

#[tokio::test]
async fn each_limit_refuses_by_its_name_and_nothing_is_paid() {
    let world = World::new().await;
    let refusal = async |limits: Limits| {
        let client = world.client_with(policy_with(limits));
        let refused = client.send(world.get("/a")).await.unwrap_err();
        let Error::NotPaid(NotPaid::OverLimit(limit)) = refused else {
            panic!("{refused}")
        };
        limit
    };

    let price = Limits {
        price_max: Msat::from_msat(9_999),
        ..limits()
    };
    assert!(matches!(refusal(price).await, OverLimit::Price { .. }));
    let day = Limits {
        per_day: Some(Msat::from_msat(11_999)),
        ..limits()
    };
    assert!(matches!(refusal(day).await, OverLimit::Daily { .. }));
    let host = Limits {
        per_host: Some(Msat::from_msat(11_999)),
        ..limits()
    };
    assert!(matches!(refusal(host).await, OverLimit::Host { .. }));
    let total = Limits {
        total: Some(Msat::from_msat(11_999)),
        ..limits()
    };
    assert!(matches!(refusal(total).await, OverLimit::Total { .. }));

    assert!(world.wallet.asked().is_empty());
}

#[tokio::test]
async fn a_limit_outlives_the_process_and_a_day_does_not() {
    let world = World::new().await;
    // Room for one purchase of 10 sat with its fee ceiling of 2.
    let frugal = policy_with(Limits {
        per_day: Some(sat(20)),
        ..limits()
    });
    text(
        world
            .client_with(frugal.clone())
            .send(world.get("/a"))
            .await,
    )
    .await;

    let refused = world
        .client_with(frugal.clone())
        .send(world.get("/b"))
        .await
        .unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::OverLimit(_))),
        "{refused}"
    );
    world.wait_secs(86_400);
    world
        .shop
        .sells(|terms| terms.created_at = terms.created_at.plus_secs(86_400));
    assert_eq!(
        text(world.client_with(frugal).send(world.get("/b")).await).await,
        "paid /b"
    );
}

#[tokio::test]
async fn money_in_doubt_counts_until_it_is_known_to_be_back() {
    let world = World::new().await;
    let frugal = policy_with(Limits {
        total: Some(sat(20)),
        ..limits()
    });
    let client = world.client_with(frugal);
    world.wallet.order(Order::Stall);
    client.send(world.get("/a")).await.unwrap_err();

    let refused = client.send(world.get("/b")).await.unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::OverLimit(_))),
        "{refused}"
    );
    let reason = "no route".to_owned();
    let failed = tollway_lightning::PaymentState::Failed { reason };
    world.wallet.set(world.wallet.asked()[0], failed);
    client.resume().await.unwrap();
    assert_eq!(text(client.send(world.get("/b")).await).await, "paid /b");
}

#[tokio::test]
async fn a_fee_over_the_ceiling_is_reported_and_counted_in_full() {
    let world = World::new().await;
    world.wallet.order(Order::Overcharge(sat(30)));
    let client = world.client();

    text(client.send(world.get("/a")).await).await;

    let charged = client.book().charged("127.0.0.1", NOON).unwrap();
    assert_eq!(charged.total, sat(40));
    let is_emitted = world.events().into_iter().any(|event| {
        matches!(event, Event::Paid { fee, fee_max, .. } if fee == sat(30) && fee_max == sat(2))
    });
    assert!(is_emitted);
}

#[tokio::test]
async fn a_wallet_that_cannot_limit_fees_pays_nothing_unless_that_is_allowed() {
    let world = World::new().await;
    let promises = PayerPromises {
        fee_cap: FeeCap::NotEnforced,
        ..PROMISES
    };
    let wallet = FakeWallet::new(world.shop.preimages()).with_promises(promises);
    let wallet = Arc::new(wallet);
    let asked = Asked::new(Approval::Approved);
    let client = |uncapped_fees| {
        let policy = Policy {
            uncapped_fees,
            ..policy()
        };
        let name = WalletName::new("fake:uncapped");
        let builder = world.builder(policy).approve(asked.clone());
        builder.wallet(wallet.clone(), name).build()
    };

    let careful = client(Policy::default().uncapped_fees);
    let refused = careful.send(world.get("/a")).await.unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::FeeNotCapped { .. })),
        "{refused}"
    );
    assert!(refused.to_string().contains("fake:uncapped"), "{refused}");
    assert!(wallet.asked().is_empty() && asked.offers.lock().unwrap().is_empty());
    assert!(careful.book().purchases().unwrap().is_empty());

    wallet.order(Order::Overcharge(sat(30)));
    let trusting = client(UncappedFees::Allow);
    assert_eq!(text(trusting.send(world.get("/a")).await).await, "paid /a");
    let charged = trusting.book().charged("127.0.0.1", NOON).unwrap();
    assert_eq!(charged.total, sat(40));
}

#[tokio::test]
async fn a_host_that_is_not_listed_is_not_paid() {
    let world = World::new().await;
    let client = world.client_with(Policy {
        hosts: Hosts::Only(vec!["api.example.com".to_owned()]),
        ..policy()
    });

    let refused = client.send(world.get("/a")).await.unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::HostNotAllowed { .. })),
        "{refused}"
    );
}

#[tokio::test]
async fn the_kill_switch_stops_paying_and_not_reading() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;

    std::fs::write(client.kill_switch().file(), "").unwrap();
    let refused = world.client().send(world.get("/b")).await.unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::Stopped { .. })),
        "{refused}"
    );
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
}

#[tokio::test]
async fn a_declined_offer_is_not_paid_and_an_approved_one_loosens_no_limit() {
    let world = World::new().await;
    let (declining, approving) = (
        Asked::new(Approval::Declined),
        Asked::new(Approval::Approved),
    );
    let client = |asked: &Arc<Asked>, policy| -> Client {
        world.builder(policy).approve(asked.clone()).build()
    };
    let tight = policy_with(Limits {
        total: Some(sat(1)),
        ..limits()
    });

    let declined = client(&declining, policy())
        .send(world.get("/a"))
        .await
        .unwrap_err();
    let over = client(&approving, tight)
        .send(world.get("/a"))
        .await
        .unwrap_err();

    assert!(
        matches!(declined, Error::NotPaid(NotPaid::Declined { .. })),
        "{declined}"
    );
    assert!(
        matches!(over, Error::NotPaid(NotPaid::OverLimit(_))),
        "{over}"
    );
    assert!(world.wallet.asked().is_empty());
    let offer = declining.offers.lock().unwrap()[0].clone();
    assert_eq!(
        (offer.price, offer.fee_max, offer.path.as_str()),
        (sat(10), sat(2), "/a")
    );
}

#[tokio::test]
async fn an_offer_that_expires_during_approval_is_not_paid() {
    let world = World::new().await;
    let slow = Arc::new(Slow(world.now.clone()));
    let client = world.builder(policy()).approve(slow).build();

    let refused = client.send(world.get("/a")).await.unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::Quote(_))),
        "{refused}"
    );
    assert!(world.wallet.asked().is_empty());
}

#[tokio::test]
async fn without_a_wallet_the_price_is_named() {
    let world = World::new().await;
    let client = Client::builder(world.path(), policy())
        .clock(|| NOON)
        .build();

    let refused = client.send(world.get("/a")).await.unwrap_err();

    assert!(matches!(refused, Error::NotPaid(NotPaid::NoWallet { price, .. }) if price == sat(10)));
}

#[tokio::test]
async fn another_wallet_is_never_asked_about_this_ones_payments() {
    let world = World::new().await;
    world.wallet.order(Order::PayAndForget);
    world.client().send(world.get("/a")).await.unwrap_err();
    world.wallet.set_reachable(Reachable::Yes);
    let name = WalletName::new("fake:other");
    let wallet = Arc::new(FakeWallet::new(world.shop.preimages()).with_node(3));
    let other = world.builder(policy()).wallet(wallet, name).build();
    world.wait_secs(500);

    let resumed = other.resume().await.unwrap();

    let outcome = format!("{:?}", resumed[0].outcome);
    assert!(outcome.contains("fake:buyer"), "{outcome}");
    assert_eq!(other.book().open_purchases().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_that_expires_while_approval_is_waited_for_is_not_paid() {
    let world = World::new().await;
    world.shop.sells(|terms| {
        terms.expiry_secs = 3_600;
        terms.valid_until = Some(NOON.plus_secs(600));
    });
    let slow = Slow(Arc::clone(&world.now));
    let client = world.builder(policy()).approve(Arc::new(slow)).build();

    let refused = client.send(world.get("/a")).await.unwrap_err();

    assert!(
        matches!(
            refused,
            Error::NotPaid(NotPaid::Quote(QuoteError::TokenExpired { seconds_ago: 0 }))
        ),
        "{refused}"
    );
    assert!(world.wallet.asked().is_empty());
}

#[derive(Debug)]
struct Asked {
    approval: Approval,
    offers: Mutex<Vec<PurchaseRequest>>,
}

impl Asked {
    fn new(approval: Approval) -> Arc<Self> {
        Arc::new(Self {
            approval,
            offers: Mutex::default(),
        })
    }
}

impl Approve for Asked {
    fn approve(&self, offer: &PurchaseRequest) -> BoxFuture<'_, Approval> {
        self.offers.lock().unwrap().push(offer.clone());
        async { self.approval }.boxed()
    }
}

/// Approves after ten minutes.
#[derive(Debug)]
struct Slow(Arc<std::sync::atomic::AtomicU64>);

impl Approve for Slow {
    fn approve(&self, _offer: &PurchaseRequest) -> BoxFuture<'_, Approval> {
        self.0.fetch_add(600, std::sync::atomic::Ordering::SeqCst);
        async { Approval::Approved }.boxed()
    }
}
