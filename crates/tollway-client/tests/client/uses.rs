//! A use that may have been taken and was not delivered is not replaced silently.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tollway_client::book::{BrakeCause, UseCounts};
use tollway_client::{AfterRefusal, Body, Client, Connections, Error, Event, NotPaid, Policy};

use crate::shop::{Delivers, Honours};
use crate::{World, policy, text};

/// A shop whose tokens are good for a number of requests.
async fn counting(uses: u64) -> World {
    let world = World::new().await;
    world.shop.sells(|terms| terms.max_uses = Some(uses));
    world
}

#[tokio::test]
async fn what_is_delivered_whole_leaves_no_mark_and_is_bought_again() {
    let world = counting(1).await;
    for bought in 1..=3 {
        let client = world.client();
        text(client.send(world.get("/a")).await).await;

        assert_eq!(world.wallet.asked().len(), bought);
        for credential in client.book().credentials().unwrap() {
            let delivered = UseCounts {
                delivered: 1,
                ..UseCounts::default()
            };
            assert_eq!(credential.uses, delivered);
        }
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_before_its_response_is_not_bought_again() {
    let world = counting(1).await;
    world.shop.sells(|terms| terms.delivers = Delivers::Nothing);
    let client = world.client();
    let sending = world.send(&client, "/a");
    presented(&world, 1).await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    drop(client);

    stays_stopped(&world).await;
}

#[tokio::test]
async fn a_request_that_runs_out_of_time_is_not_bought_again() {
    for delivers in [Delivers::Nothing, Delivers::FirstByte] {
        let world = counting(1).await;
        world.shop.sells(|terms| terms.delivers = delivers);
        let hasty = Connections {
            request_timeout: Some(Duration::from_secs(3)),
            ..Connections::default()
        };
        let client = world.builder(policy()).connections(hasty).build();
        let undelivered = match client.send(world.get("/a")).await {
            Ok(response) => response.into_body().collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(
            matches!(undelivered, Error::PaidButUndelivered { .. }),
            "{undelivered}"
        );

        stays_stopped(&world).await;
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_is_not_bought_again() {
    let world = counting(1).await;
    world
        .shop
        .sells(|terms| terms.delivers = Delivers::FirstByte);
    let client = world.client();
    let mut body = client.send(world.get("/a")).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);

    stays_stopped(&world).await;
    client.finish().await;
}

#[tokio::test]
async fn a_body_whose_reader_does_not_confirm_it_is_not_bought_again() {
    for confirms in [true, false] {
        let world = counting(1).await;
        let client = world.builder(policy()).confirm_deliveries().build();
        let mut response = client.send(world.get("/a")).await.unwrap();
        let delivery = response.body_mut().take_delivery().unwrap();
        response.into_body().collect().await.unwrap();
        if confirms {
            delivery.confirm().await.unwrap();
            text(world.client().send(world.get("/a")).await).await;
            assert_eq!(world.wallet.asked().len(), 2);
        } else {
            drop(delivery);
            stays_stopped(&world).await;
        }
    }
}

#[tokio::test]
async fn a_buyer_who_insists_ends_the_stop_for_good_with_what_is_delivered() {
    let world = counting(1).await;
    lose_one(&world, "/a").await;
    stays_stopped(&world).await;

    let insisting = world.client_with(Policy {
        after_refusal: AfterRefusal::BuyAgain,
        ..policy()
    });
    text(insisting.send(world.get("/a/other")).await).await;
    assert_eq!(world.wallet.asked().len(), 2);

    text(world.client().send(world.get("/a")).await).await;
    text(world.client().send(world.get("/a")).await).await;
    assert_eq!(world.wallet.asked().len(), 4);
}

#[tokio::test]
async fn one_request_that_ends_does_not_end_the_mark_of_another() {
    for is_delivered in [true, false] {
        let world = counting(2).await;
        let client = world.client();
        world.shop.sells(|terms| terms.delivers = Delivers::Drips);
        let slow = client.send(world.get("/a")).await.unwrap();
        world.shop.sells(|terms| terms.delivers = Delivers::Whole);
        text(client.send(world.get("/a")).await).await;
        if is_delivered {
            let mut slow = slow.into_body();
            world.shop.drip();
            slow.frame().await.unwrap().unwrap();
            // The shop's drip has no end: its reader stops, which is a loss.
            drop(slow);
        } else {
            drop(slow);
        }

        stays_stopped(&world).await;
        assert_eq!(world.wallet.asked().len(), 1);
    }
}

#[tokio::test]
async fn while_a_response_is_waited_for_its_use_is_not_lost() {
    let world = counting(1).await;
    let client = world.client();
    world.shop.sells(|terms| terms.delivers = Delivers::Drips);
    let slow = client.send(world.get("/a")).await.unwrap();
    world.shop.sells(|terms| terms.delivers = Delivers::Whole);

    // Another client of this process, and one with a book of its own, as another process has.
    text(client.send(world.get("/a")).await).await;
    text(world.client().send(world.get("/a")).await).await;

    assert_eq!(world.wallet.asked().len(), 3);
    drop(slow);
    stays_stopped(&world).await;
}

#[tokio::test]
async fn a_token_that_delivered_all_its_uses_has_lost_none() {
    let world = counting(1).await;
    // The shop closes the connection before the use is taken.
    world.shop.hangs_up_once_paid(2);
    world.client().send(world.get("/a")).await.unwrap_err();

    text(world.client().send(world.get("/a")).await).await;
    text(world.client().send(world.get("/a")).await).await;

    assert_eq!(world.wallet.asked().len(), 2);
}

#[tokio::test]
async fn a_request_waits_while_every_use_of_its_token_is_held() {
    let world = counting(3).await;
    text(world.client().send(world.get("/a")).await).await;
    world.shop.holds_uses(3);

    text(world.client().send(world.get("/a")).await).await;
    world.shop.holds_uses(1);
    text(world.client().send(world.get("/a/other")).await).await;

    assert_eq!(world.wallet.asked().len(), 1);
    let credential = world.client().book().credentials().unwrap().remove(0);
    assert_eq!((credential.uses.delivered, credential.uses.lost), (3, 0));
    let waited = world.events().into_iter();
    let waited = waited.filter(|event| matches!(event, Event::InUse { .. }));
    assert_eq!(waited.count(), 2, "one for each request");
}

#[tokio::test]
async fn one_loss_in_many_uses_is_no_reason_to_stop() {
    let world = counting(12).await;
    lose_one(&world, "/a").await;
    let client = world.client();
    for _use in 0..12 {
        text(client.send(world.get("/a")).await).await;
    }

    assert_eq!(world.wallet.asked().len(), 2);
}

#[tokio::test]
async fn a_response_without_a_body_is_delivered_with_its_head() {
    let world = counting(1).await;
    for bought in 1..=3 {
        let head = Request::builder()
            .method(Method::HEAD)
            .uri(world.shop.url("/a"))
            .body(Body::empty())
            .unwrap();
        let client = world.client();
        let response = client.send(head).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        drop(response);
        assert_eq!(world.wallet.asked().len(), bought);
    }
}

#[tokio::test]
async fn a_use_that_buys_a_redirect_is_delivered_with_what_it_leads_to() {
    for is_delivered in [true, false] {
        let world = counting(1).await;
        world
            .shop
            .sells(|terms| terms.honours = Honours::Redirected("/free/away"));
        if !is_delivered {
            world.shop.frees(Delivers::FirstByte);
        }
        let response = world.client().send(world.get("/a")).await.unwrap();
        if is_delivered {
            response.into_body().collect().await.unwrap();
            text(world.client().send(world.get("/a")).await).await;
            assert_eq!(world.wallet.asked().len(), 2);
        } else {
            drop(response);
            stays_stopped(&world).await;
        }
    }
}

#[tokio::test]
async fn a_payment_for_a_redirect_to_another_demand_stops_the_path_that_redirects() {
    let world = counting(1).await;
    world
        .shop
        .sells(|terms| terms.honours = Honours::Redirected("/b"));
    let paid = world.client().send(world.get("/a/go")).await.unwrap_err();
    let address = world.shop.url("/b");
    assert!(
        matches!(&paid, Error::PaidButRefused { redirected_to: Some(to), .. } if *to == address),
        "{paid}"
    );

    for _again in 0..2 {
        let refused = world.client().send(world.get("/a/go")).await.unwrap_err();
        let Error::NotPaid(NotPaid::PaidBefore(brake)) = refused else {
            panic!("{refused}")
        };
        assert_eq!(brake.cause, BrakeCause::Redirected(address.clone()));
    }
    assert_eq!(world.wallet.asked().len(), 1);
    world
        .shop
        .sells(|terms| terms.honours = Honours::SameService);
    for path in ["/b", "/a/other"] {
        text(world.client().send(world.get(path)).await).await;
    }
}

#[tokio::test]
async fn two_payments_for_redirects_to_other_demands_stop_the_origin() {
    let world = World::new().await;
    world
        .shop
        .sells(|terms| terms.honours = Honours::Redirected("/b"));

    for number in 0..4 {
        let path = format!("/{number}");
        world.client().send(world.get(&path)).await.unwrap_err();
    }

    assert_eq!(world.wallet.asked().len(), 2);
}

#[tokio::test]
async fn two_tokens_that_delivered_nothing_stop_the_origin_whatever_they_are_for() {
    let cases = [
        (Some(1), Delivers::FirstByte),
        (Some(1), Delivers::Whole),
        (Some(1_000), Delivers::FirstByte),
        (Some(1_000), Delivers::Whole),
        (None, Delivers::FirstByte),
        (None, Delivers::Whole),
    ];
    for (max_uses, delivers) in cases {
        let world = World::new().await;
        world.shop.sells(|terms| terms.max_uses = max_uses);
        for number in 0..4 {
            world.shop.sells(|terms| terms.delivers = delivers);
            let client = world.client();
            // Dropped, it is not delivered.
            let sent = client.send(world.get(&format!("/{number}"))).await;
            if delivers == Delivers::Whole {
                text(sent).await;
            } else {
                drop(sent);
            }
            client.finish().await;
        }
        let paid = if delivers == Delivers::Whole { 4 } else { 2 };
        assert_eq!(world.wallet.asked().len(), paid);
    }
}

#[tokio::test]
async fn a_stop_after_two_tokens_that_delivered_nothing_ends_with_their_delivery() {
    let world = World::new().await;
    world
        .shop
        .sells(|terms| terms.delivers = Delivers::FirstByte);
    for path in ["/1", "/2"] {
        let client = world.client();
        drop(client.send(world.get(path)).await);
        client.finish().await;
    }
    let stopped = world.client().send(world.get("/3")).await.unwrap_err();
    let Error::NotPaid(NotPaid::PaidBefore(brake)) = stopped else {
        panic!("{stopped}")
    };
    assert!(
        ["/1", "/2"].contains(&brake.path.as_str()),
        "{}",
        brake.path
    );

    world.shop.sells(|terms| terms.delivers = Delivers::Whole);
    for path in ["/1", "/2", "/3"] {
        text(world.client().send(world.get(path)).await).await;
    }

    assert_eq!(world.wallet.asked().len(), 3);
}

#[tokio::test]
async fn two_tokens_that_are_refused_at_each_new_path_and_delivered_nothing_stop_the_origin() {
    let world = World::new().await;
    world.shop.sells(|terms| {
        terms.honours = Honours::SameQuery;
        terms.reason = Some("wrong_path");
        terms.delivers = Delivers::FirstByte;
    });
    for number in 0..4 {
        let client = world.client();
        drop(client.send(world.get(&format!("/s/{number}"))).await);
        client.finish().await;
    }
    assert_eq!(world.wallet.asked().len(), 2);
}

#[tokio::test]
async fn a_token_that_is_not_counted_is_good_once_it_has_delivered_something() {
    let world = World::new().await;
    for path in ["/a", "/b"] {
        lose_one(&world, path).await;
        text(world.client().send(world.get(path)).await).await;
    }

    text(world.client().send(world.get("/c")).await).await;

    assert_eq!(world.wallet.asked().len(), 3);
}

#[tokio::test]
async fn a_token_that_is_not_counted_has_no_marks_once_it_has_delivered_something() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    client.finish().await;
    let written = || {
        let log = world.path().join("client.sqlite-wal");
        std::fs::metadata(log).unwrap().len()
    };
    let before = written();

    for _again in 0..3 {
        text(client.send(world.get("/a")).await).await;
    }

    assert_eq!(written(), before);
}

#[tokio::test]
async fn a_server_error_is_its_applications_once_the_token_has_delivered_something() {
    for delivered in [0, 2] {
        let world = counting(3).await;
        let client = world.client();
        for _use in 0..delivered {
            text(client.send(world.get("/a")).await).await;
        }
        let failing = Honours::OwnRefusal(StatusCode::INTERNAL_SERVER_ERROR);
        world.shop.sells(|terms| terms.honours = failing);
        for _use in delivered..3 {
            let failed = client.send(world.get("/a")).await.unwrap();
            failed.into_body().collect().await.unwrap();
        }
        world
            .shop
            .sells(|terms| terms.honours = Honours::SameService);

        if delivered == 0 {
            stays_stopped(&world).await;
        } else {
            text(world.client().send(world.get("/a")).await).await;
            assert_eq!(world.wallet.asked().len(), 2);
        }
    }
}

/// Buys a token and drops the response to its first use.
async fn lose_one(world: &World, path: &str) {
    world
        .shop
        .sells(|terms| terms.delivers = Delivers::FirstByte);
    let client = world.client();
    drop(client.send(world.get(path)).await.unwrap());
    client.finish().await;
    world.shop.sells(|terms| terms.delivers = Delivers::Whole);
}

/// Waits until as many requests have shown a credential.
pub(crate) async fn presented(world: &World, count: usize) {
    let shown = || {
        let seen = world.shop.seen().into_iter();
        seen.filter(|seen| !seen.authorization.is_empty()).count()
    };
    while shown() < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Requests `/a` several times, and checks that nothing is bought.
async fn stays_stopped(world: &World) {
    world.shop.sells(|terms| terms.delivers = Delivers::Whole);
    let paid = world.wallet.asked().len();
    for _again in 0..2 {
        let refused = stopped(&world.client(), world).await;
        assert_eq!(refused, BrakeCause::Undelivered);
    }
    assert_eq!(world.wallet.asked().len(), paid);
}

async fn stopped(client: &Client, world: &World) -> BrakeCause {
    match client.send(world.get("/a")).await {
        Err(Error::NotPaid(NotPaid::PaidBefore(brake))) => brake.cause,
        other => panic!("{other:?}"),
    }
}
