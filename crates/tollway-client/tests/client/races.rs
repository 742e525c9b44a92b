//! Several requests, clients and processes want the same thing at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use l402::Limits;
use tollway_client::{Error, Event, NotPaid};

use crate::shop::{Delivers, Honours};
use crate::uses::presented;
use crate::{World, limits, policy, policy_with, sat, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_for_the_same_thing_share_one_purchase() {
    let world = World::new().await;
    let client = world.client();

    let all = join_all((0..16).map(|_| async { text(client.send(world.get("/a")).await).await }));

    assert!(all.await.iter().all(|body| body == "paid /a"));
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_want_the_same_thing_share_one_purchase() {
    let world = World::new().await;
    let clients: Vec<_> = (0..6).map(|_| world.client()).collect();
    world.wallet.hold();
    let all = join_all(clients.iter().map(|client| client.send(world.get("/a"))));
    let (all, ()) = tokio::join!(all, async {
        world.wallet.until_begun(1).await;
        world.wallet.release();
    });

    for response in all {
        assert_eq!(text(response).await, "paid /a");
    }
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_for_different_paths_of_a_service_share_one_purchase() {
    let world = World::new().await;
    let client = world.client();

    let one = (0..16).map(|number| {
        let (client, request) = (client.clone(), world.get(&format!("/s/{number}")));
        async move { text(client.send(request).await).await }
    });
    let all = join_all(one).await;

    assert!(all.iter().all(|body| body.starts_with("paid /s/")));
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_want_different_paths_of_a_service_share_one_purchase() {
    let world = World::new().await;
    let clients: Vec<_> = (0..6).map(|_| world.client()).collect();
    world.wallet.hold();
    let one = clients
        .iter()
        .enumerate()
        .map(|(number, client)| client.send(world.get(&format!("/s/{number}"))));
    let (all, ()) = tokio::join!(join_all(one), async {
        world.wallet.until_begun(1).await;
        world.wallet.release();
    });

    for response in all {
        assert!(text(response).await.starts_with("paid /s/"));
    }
    assert_eq!(world.wallet.asked().len(), 1);
    let is_warning = |event: &Event| matches!(event, Event::Resumed { .. });
    assert!(!world.events().iter().any(is_warning));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_credential_good_for_one_request_goes_to_the_one_who_paid() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.max_uses = Some(1));
    let client = world.client();

    let all = join_all((0..8).map(|_| async { text(client.send(world.get("/a")).await).await }));

    assert!(all.await.iter().all(|body| body == "paid /a"));
    assert_eq!(world.wallet.asked().len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn between_processes_too_a_credential_good_for_one_request_goes_to_the_one_who_paid() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.max_uses = Some(1));
    let clients: Vec<_> = (0..6).map(|_| world.client()).collect();

    let all = join_all(
        clients
            .iter()
            .map(|client| async { text(client.send(world.get("/a")).await).await }),
    );

    assert!(all.await.iter().all(|body| body == "paid /a"));
    assert_eq!(world.wallet.asked().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_buyers_cannot_both_spend_the_last_satoshi() {
    let world = World::new().await;
    // Three purchases of 10 sat and a fee of 1 msat fit, and a fourth with its ceiling of 2 does not.
    let frugal = policy_with(Limits {
        total: Some(sat(36)),
        ..limits()
    });
    let clients: Vec<_> = (0..8).map(|_| world.client_with(frugal.clone())).collect();
    let world = Arc::new(world);

    let all = join_all(clients.iter().enumerate().map(|(number, client)| {
        let request = world.get(&format!("/{number}"));
        async move { client.send(request).await }
    }));
    let all = all.await;

    let paid = all.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(paid, 3, "{all:?}");
    assert_eq!(world.wallet.settled().len(), 3);
    for refused in all.into_iter().filter_map(Result::err) {
        assert!(
            matches!(refused, Error::NotPaid(NotPaid::OverLimit(_))),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_cost_no_more_than_one_after_another() {
    for (honours, paid) in [(Honours::Nothing, 2), (Honours::SameService, 8)] {
        let world = World::new().await;
        world.shop.sells(|terms| terms.honours = honours);
        world.wallet.hold();
        let sent = (0..8).map(|number| {
            let (client, request) = (world.client(), world.get(&format!("/{number}")));
            tokio::spawn(async move {
                let body = client.send(request).await?.into_body();
                body.collect().await.map(|_body| ())
            })
        });
        let sent: Vec<_> = sent.collect();
        all_decided(&world, 8).await;
        world.wallet.release();

        let ended = join_all(sent).await;
        let served = ended.iter().filter(|ended| matches!(ended, Ok(Ok(()))));
        let served = served.count();

        assert_eq!(world.wallet.asked().len(), paid);
        assert_eq!(served, if honours == Honours::Nothing { 0 } else { 8 });
    }
}

#[tokio::test]
async fn a_seller_that_does_not_respond_delays_no_other_request_for_its_service() {
    for max_uses in [None, Some(3)] {
        let world = World::new().await;
        world.shop.sells(|terms| {
            terms.max_uses = max_uses;
            terms.delivers = Delivers::Nothing;
        });
        let mut impatient = policy();
        impatient.pauses.first_response = Duration::ZERO;
        let client = world.client_with(impatient.clone());
        let hangs = world.send(&client, "/s/1");
        presented(&world, 1).await;
        world.shop.sells(|terms| terms.delivers = Delivers::Whole);

        // Of the same process, and of another.
        for client in [client.clone(), world.client_with(impatient)] {
            assert_eq!(
                text(client.send(world.get("/s/2")).await).await,
                "paid /s/2"
            );
        }

        hangs.abort();
        assert_eq!(world.wallet.asked().len(), 1);
    }
}

/// Waits until as many requests are paying or wait for those that do.
async fn all_decided(world: &World, count: usize) {
    let decided = || {
        let is_decided =
            |event: &Event| matches!(event, Event::Paying { .. } | Event::Waiting { .. });
        world.events().into_iter().filter(is_decided).count()
    };
    while decided() < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_purchase_elsewhere_does_not_wait() {
    let world = World::new().await;
    let client = world.client();
    world.wallet.hold();
    let first = world.send(&client, "/a");
    world.wallet.until_begun(1).await;

    let second = world.send(&client, "/b");
    world.wallet.until_begun(2).await;

    world.wallet.release();
    assert_eq!(text(first.await.unwrap()).await, "paid /a");
    assert_eq!(text(second.await.unwrap()).await, "paid /b");
}
