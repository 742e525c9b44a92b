//! Requests to pay that are lost and may arrive late.
//!
//! The wallet pays one hash at most once and keeps what failed, as LND does. A late arrival is
//! [`FakeWallet::settle`](crate::wallet::FakeWallet::settle) of a payment it never began.

use std::sync::Arc;

use l402::{Limits, Msat, PaymentHash};
use tollway_client::book::Resolution;
use tollway_client::{Book, Error, Resumption, WalletName};
use tollway_lightning::{PayerPromises, Repeat};

use crate::wallet::{FEE, FakeWallet, Order, PROMISES};
use crate::{World, limits, policy, policy_with, sat, text};

#[tokio::test]
async fn an_offer_that_did_not_leave_does_not_end_the_one_before() {
    let world = World::new().await;
    let lost = world.lose("/a").await;
    world.wallet.order(Order::Miss);

    let unsent = world.client().send(world.get("/a")).await.unwrap_err();

    assert_eq!(world.in_doubt(&unsent), lost);
    world.arrives_late(lost).await;
}

#[tokio::test]
async fn a_failure_found_after_a_lost_request_may_be_of_the_request_before() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.repeats = Some(1));
    world.wallet.order(Order::Fail);
    let failed = world.client().send(world.get("/a")).await.unwrap_err();
    assert!(matches!(failed, Error::PaymentFailed { .. }), "{failed}");

    let lost = world.lose("/a").await;

    world.shop.sells(|terms| terms.repeats = None);
    world.client().resume().await.unwrap();
    world.arrives_late(lost).await;
}

#[tokio::test]
async fn a_failure_of_the_only_request_is_final() {
    let world = World::new().await;
    let lost = world.lose("/a").await;
    let reason = "no route".to_owned();
    let failed = tollway_lightning::PaymentState::Failed { reason };
    world.wallet.set(lost, failed);

    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );

    assert_eq!(world.wallet.asked().len(), 2);
    assert_ne!(world.wallet.asked()[1], lost);
}

#[tokio::test]
async fn a_failure_in_reply_to_a_later_request_does_not_end_the_lost_one() {
    let world = World::new().await;
    let lost = world.lose("/a").await;
    world.wallet.order(Order::Fail);

    let failed = world.client().send(world.get("/a")).await.unwrap_err();

    assert_eq!(world.in_doubt(&failed), lost);
    let Error::PaymentUnknown { blocks_until, .. } = failed else {
        panic!("{failed}")
    };
    assert_eq!(blocks_until, Some(crate::NOON.plus_secs(660)));
    world.arrives_late(lost).await;
}

#[tokio::test]
async fn a_purchase_that_was_paid_has_no_reason() {
    let world = World::new().await;
    let lost = world.lose("/a").await;
    world.wallet.settle(lost);
    for path in ["/a", "/b"] {
        text(world.client().send(world.get(path)).await).await;
    }

    let purchases = world.client().book().purchases().unwrap();

    assert_eq!(purchases.len(), 2);
    assert!(
        purchases.iter().all(|purchase| purchase.reason.is_empty()),
        "{purchases:?}"
    );
}

#[tokio::test]
async fn a_lost_request_is_made_again_however_often_and_nothing_else_is_bought() {
    let world = World::new().await;
    let lost = world.lose("/a").await;
    for _ in 0..3 {
        world.wait_secs(5);
        assert_eq!(world.lose("/a").await, lost);
    }

    world.arrives_late(lost).await;
}

#[tokio::test]
async fn a_limit_that_forbids_the_same_invoice_allows_no_other() {
    let world = World::new().await;
    let lost = world.lose("/a").await;
    world.shop.sells(|terms| terms.amount = Some(sat(1)));
    let tight = Limits {
        price_max: sat(9),
        ..limits()
    };
    for limits in [
        tight,
        Limits {
            per_day: Some(sat(11)),
            ..limits()
        },
        Limits {
            per_host: Some(sat(11)),
            ..limits()
        },
        Limits {
            total: Some(sat(11)),
            ..limits()
        },
    ] {
        world.wait_secs(5);
        let client = world.client_with(policy_with(limits));
        let blocked = client.send(world.get("/a")).await.unwrap_err();

        assert_eq!(world.in_doubt(&blocked), lost);
        assert!(blocked.to_string().contains("limit"), "{blocked}");
        let Error::PaymentUnknown { blocks_until, .. } = blocked else {
            panic!("{blocked}")
        };
        assert!(blocks_until.is_some());
    }

    assert_eq!(world.wallet.asked(), [lost]);
    world.arrives_late(lost).await;
}

#[tokio::test]
async fn the_same_invoice_is_paid_with_the_fee_ceiling_in_force() {
    let world = World::new().await;
    world.lose("/a").await;
    let frugal = Limits {
        fee_max: Msat::ZERO,
        ..limits()
    };

    text(
        world
            .client_with(policy_with(frugal))
            .send(world.get("/a"))
            .await,
    )
    .await;

    assert_eq!(world.wallet.fee_ceilings(), [sat(2), Msat::ZERO]);
}

#[tokio::test]
async fn an_invoice_that_is_offered_again_counts_on_that_day() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.expiry_secs = 7 * 86_400);
    let one_a_day = || {
        policy_with(Limits {
            per_day: Some(sat(20)),
            ..limits()
        })
    };
    let lost = world.lose("/a").await;
    world.wait_secs(86_400);

    text(world.client_with(one_a_day()).send(world.get("/a")).await).await;
    let refused = world.client_with(one_a_day()).send(world.get("/b")).await;

    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::NotPaid(_)), "{refused}");
    assert_eq!(world.wallet.settled(), [lost]);
}

#[tokio::test]
async fn what_the_wallet_does_not_know_has_failed_once_its_invoice_cannot_be_paid() {
    let world = World::new().await;
    let lost = world.lose("/a").await;
    let client = world.client();

    for (secs, is_over) in [(600, false), (59, false), (1, true)] {
        world.wait_secs(secs);
        let resumed = client.resume().await.unwrap();
        let outcome = &resumed[0].outcome;
        assert_eq!(
            matches!(outcome, Resumption::NotPaid { .. }),
            is_over,
            "{outcome:?}"
        );
    }

    world
        .shop
        .sells(|terms| terms.created_at = terms.created_at.plus_secs(660));
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert!(!world.wallet.settled().contains(&lost));
}

#[tokio::test]
async fn a_wallet_that_may_pay_twice_is_not_asked_again_and_nothing_else_is_bought() {
    let world = World::new().await;
    let promises = PayerPromises {
        repeat: Repeat::MayPayAgain,
        ..PROMISES
    };
    let wallet = FakeWallet::new(world.shop.preimages()).with_promises(promises);
    let wallet = Arc::new(wallet);
    let client = || {
        let name = WalletName::new("fake:buyer");
        world.builder(policy()).wallet(wallet.clone(), name).build()
    };
    wallet.order(Order::Forget);
    client().send(world.get("/a")).await.unwrap_err();

    let blocked = client().send(world.get("/a")).await.unwrap_err();

    let Error::PaymentUnknown {
        blocks_until: Some(until),
        ..
    } = blocked
    else {
        panic!("{blocked}")
    };
    assert_eq!(wallet.asked().len(), 1);
    world.wait_secs(until.as_secs() - crate::NOON.as_secs());
    world.shop.sells(|terms| terms.created_at = until);
    assert_eq!(text(client().send(world.get("/a")).await).await, "paid /a");
    assert_eq!(wallet.asked().len(), 2);
}

#[tokio::test]
async fn the_token_of_a_purchase_that_was_recorded_as_failed_is_restored_with_its_preimage() {
    let world = World::new().await;
    let hash = world.lose("/a").await;
    let book = Book::open(world.path());
    book.resolve(&hash, Resolution::NotPaid).unwrap();
    let preimage = world.shop.preimages().lock().unwrap()[&hash].clone();
    let proof = Resolution::Paid { preimage, fee: FEE };

    book.resolve(&hash, proof.clone()).unwrap();

    assert!(book.resolve(&hash, Resolution::NotPaid).is_err());
    assert!(book.resolve(&hash, proof).is_err(), "once");
    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );
    assert_eq!(world.wallet.asked(), [hash]);
}

impl World {
    /// Sends a request whose payment is lost on the way to the wallet; returns its hash.
    async fn lose(&self, path: &str) -> PaymentHash {
        self.wallet.order(Order::Forget);
        let lost = self.client().send(self.get(path)).await;
        self.in_doubt(&lost.unwrap_err())
    }

    fn in_doubt(&self, error: &Error) -> PaymentHash {
        let Error::PaymentUnknown { payment, .. } = error else {
            panic!("{error}")
        };
        payment.payment_hash
    }

    /// Lets the lost request of `/a` arrive; it is then the only payment, and its token is
    /// used.
    async fn arrives_late(&self, lost: PaymentHash) {
        self.wallet.settle(lost);
        assert_eq!(
            text(self.client().send(self.get("/a")).await).await,
            "paid /a"
        );
        assert_eq!(self.wallet.settled(), [lost]);
    }
}
