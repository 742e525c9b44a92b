//! Which credential is shown to whom, and what a refusal does to it.

use http::header::AUTHORIZATION;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use l402::{Limits, PaymentHash};
use tollway_client::book::{BrakeCause, BrakeScope};
use tollway_client::{
    AfterRefusal, Body, ClearText, Connections, Error, Event, Hosts, NotPaid, Paying, Policy,
    Presented, RefusalReason, TransportError,
};

use crate::shop::{Delivers, Honours, Lines, Shop};
use crate::{NOON, World, limits, policy, policy_with, sat, text};

#[tokio::test]
async fn an_lsat_only_seller_gets_lsat_back_today_and_tomorrow() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.lines = Lines::LsatOnly);

    for _day in 0..2 {
        assert_eq!(
            text(world.client().send(world.get("/a")).await).await,
            "paid /a"
        );
    }

    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn of_two_challenges_the_newer_scheme_is_answered() {
    let world = World::new().await;
    text(world.client().send(world.get("/a")).await).await;

    assert!(world.shop.seen()[1].authorization[0].starts_with("L402 "));
}

#[tokio::test]
async fn a_refused_credential_leads_to_one_purchase_and_is_not_lost() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.max_uses = Some(1));
    let client = world.client();
    text(client.send(world.get("/a")).await).await;

    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");

    assert_eq!(world.wallet.asked().len(), 2);
    assert_eq!(client.book().credentials().unwrap().len(), 2);
    assert_eq!(
        world.shop.seen().len(),
        4,
        "the refusal's own challenge is paid"
    );
}

#[tokio::test]
async fn a_credential_refused_with_401_is_replaced_once() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    world.shop.sells(|terms| {
        terms.status = StatusCode::UNAUTHORIZED;
        terms.honours = Honours::Nothing;
        terms.reason = Some("revoked");
    });

    let refused = client.send(world.get("/a")).await.unwrap_err();

    assert!(matches!(refused, Error::PaidButRefused { .. }), "{refused}");
    assert_eq!(world.wallet.asked().len(), 2);
}

#[tokio::test]
async fn an_applications_own_refusal_is_served_and_costs_nothing() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;

    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        world
            .shop
            .sells(|terms| terms.honours = Honours::OwnRefusal(status));
        for _again in 0..3 {
            let response = client.send(world.get("/a")).await.unwrap();
            assert_eq!(response.status(), status);
        }
    }

    world
        .shop
        .sells(|terms| terms.honours = Honours::SameService);
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn credentials_bound_to_a_query_or_a_method_are_bought_once_each() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.honours = Honours::SameQuery);
    let client = world.client();
    let post = || {
        let post = Request::post(world.shop.url("/q?id=1"));
        post.body(Body::from("x")).unwrap()
    };

    for _round in 0..2 {
        for path in ["/q?id=1", "/q?id=2"] {
            assert_eq!(text(client.send(world.get(path)).await).await, "paid /q");
        }
        assert_eq!(text(client.send(post()).await).await, "paid /q");
    }

    assert_eq!(world.wallet.asked().len(), 3);
}

#[tokio::test]
async fn a_refusal_is_forgotten_after_a_while() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    let first = world.wallet.asked()[0];
    world.shop.sells(|terms| {
        terms.honours = Honours::Nothing;
        terms.reason = Some("forged");
    });
    client.send(world.get("/a")).await.unwrap_err();
    assert!(client.book().forget(&world.wallet.asked()[1]).unwrap());
    world
        .shop
        .sells(|terms| terms.honours = Honours::SameService);

    world.wait_secs(600);

    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked().len(), 2, "{first} is tried again");
}

#[tokio::test]
async fn after_paid_and_refused_nothing_more_is_bought_there_without_a_word_from_the_buyer() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.honours = Honours::Nothing);
    let client = world.client();
    let refused = client.send(world.get("/a")).await.unwrap_err();
    let paid = refused.receipt().unwrap().clone();

    for _again in 0..3 {
        let refused = world.client().send(world.get("/a")).await.unwrap_err();
        let Error::NotPaid(NotPaid::PaidBefore(brake)) = refused else {
            panic!("{refused}")
        };
        assert_eq!(brake.payment_hash, paid.payment.payment_hash);
    }
    assert_eq!(world.wallet.asked().len(), 1);

    let insisting = world.client_with(Policy {
        after_refusal: AfterRefusal::BuyAgain,
        ..policy()
    });
    let refused = insisting.send(world.get("/a")).await.unwrap_err();
    assert!(matches!(refused, Error::PaidButRefused { .. }), "{refused}");
    assert_eq!(world.wallet.asked().len(), 2);
}

#[tokio::test]
async fn a_credential_that_is_accepted_later_ends_the_brake() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.honours = Honours::Nothing);
    world.client().send(world.get("/a")).await.unwrap_err();

    world
        .shop
        .sells(|terms| terms.honours = Honours::SameService);

    let client = world.client();
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked().len(), 1);
    let credential = client.book().credentials().unwrap().remove(0);
    client.book().forget(&credential.payment_hash()).unwrap();
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
}

#[tokio::test]
async fn a_seller_that_redirects_to_a_new_path_each_time_is_paid_once() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.honours = Honours::Nothing);
    for number in 0..3 {
        let (from, to) = (format!("/go/{number}"), format!("/new/{number}"));
        world.shop.redirects(&from, 302, &to);
        let refused = world.client().send(world.get(&from)).await.unwrap_err();
        assert_eq!(refused.receipt().is_some(), number == 0, "{refused}");
    }

    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_brake_ends_only_when_what_was_refused_is_served() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/cheap")).await).await;
    world.shop.sells(|terms| terms.honours = Honours::Nothing);
    client.send(world.get("/a")).await.unwrap_err();
    let honours = |honours| world.shop.sells(|terms| terms.honours = honours);

    honours(Honours::SameService);
    text(client.send(world.get("/cheap")).await).await;
    for status in [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND] {
        honours(Honours::OwnRefusal(status));
        let response = client.send(world.get("/a")).await.unwrap();
        assert_eq!(response.status(), status);
    }

    honours(Honours::Nothing);
    let refused = client.send(world.get("/a")).await.unwrap_err();
    assert!(
        matches!(refused, Error::NotPaid(NotPaid::PaidBefore(_))),
        "{refused}"
    );
    assert_eq!(world.wallet.asked().len(), 2);
}

#[tokio::test]
async fn a_403_for_a_credential_bought_just_now_stops_buying_from_its_seller() {
    for status in [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED] {
        let world = World::new().await;
        world
            .shop
            .sells(|terms| terms.honours = Honours::OwnRefusal(status));
        let response = world.client().send(world.get("/a")).await.unwrap();
        assert_eq!(response.status(), status);

        world.shop.sells(|terms| terms.honours = Honours::Nothing);
        let stopped = async |path| {
            let refused = world.client().send(world.get(path)).await.unwrap_err();
            let Error::NotPaid(NotPaid::PaidBefore(brake)) = refused else {
                panic!("{refused}")
            };
            brake.scope
        };
        let service = BrakeScope::Services(vec!["a".to_owned()]);
        for path in ["/a", "/a/below"] {
            assert_eq!(stopped(path).await, service);
        }
        assert_eq!(world.wallet.asked().len(), 1);

        world.client().send(world.get("/b")).await.unwrap_err();
        assert_eq!(world.wallet.asked().len(), 2, "another service");
        assert_eq!(stopped("/c").await, BrakeScope::Origin);
        assert_eq!(world.wallet.asked().len(), 2);
    }
}

#[tokio::test]
async fn an_accepted_credential_has_no_refusals_in_a_row() {
    let world = World::new().await;
    let client = world.client_with(Policy {
        after_refusal: AfterRefusal::BuyAgain,
        ..policy()
    });
    text(client.send(world.get("/a")).await).await;
    for bought in 1..4 {
        world.shop.sells(|terms| terms.honours = Honours::Nothing);
        client.send(world.get("/a")).await.unwrap_err();
        assert!(client.book().forget(&world.wallet.asked()[bought]).unwrap());
        world
            .shop
            .sells(|terms| terms.honours = Honours::SameService);
        world.wait_secs(600);
        world
            .shop
            .sells(|terms| terms.created_at = terms.created_at.plus_secs(600));

        text(client.send(world.get("/a")).await).await;

        assert_eq!(
            world.wallet.asked().len(),
            bought + 1,
            "the first is tried again"
        );
    }
}

#[tokio::test]
async fn a_refusal_seen_without_paying_leads_to_no_purchase_later() {
    let world = World::new().await;
    text(world.client().send(world.get("/a")).await).await;
    world.shop.sells(|terms| terms.honours = Honours::Nothing);
    let unpaying = world.client_with(Policy {
        paying: Paying::Off,
        ..policy()
    });
    let refused = unpaying.send(world.get("/a")).await.unwrap_err();
    assert!(
        matches!(refused, Error::NotPaid(NotPaid::PayingIsOff { .. })),
        "{refused}"
    );

    world
        .shop
        .sells(|terms| terms.honours = Honours::SameService);

    text(world.client().send(world.get("/a")).await).await;
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_second_authorization_is_reported_before_anything_is_paid() {
    let world = World::new().await;
    let mut request = world.get("/a");
    let own = HeaderValue::from_static("Bearer app");
    request.headers_mut().insert(AUTHORIZATION, own);

    text(world.client().send(request).await).await;
    text(world.client().send(world.get("/b")).await).await;

    let events = world.events();
    let second = |event: &Event| matches!(event, Event::SecondAuthorization { .. });
    let paying = |event: &Event| matches!(event, Event::Paying { .. });
    assert!(events.iter().position(second) < events.iter().position(paying));
    assert_eq!(events.into_iter().filter(second).count(), 1);
}

#[tokio::test]
async fn of_several_challenges_the_cheapest_is_paid() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.lines = Lines::DearFirst);
    let generous = policy_with(Limits {
        price_max: sat(2_000),
        ..limits()
    });

    text(world.client_with(generous).send(world.get("/a")).await).await;

    let spent = world.client().book().charged("127.0.0.1", NOON).unwrap();
    assert_eq!(Some(spent.total), sat(10).checked_add(crate::wallet::FEE));
}

#[tokio::test]
async fn a_seller_that_hears_of_the_payment_late_is_shown_the_credential_twice() {
    let world = World::new().await;
    world
        .shop
        .sells(|terms| terms.honours = Honours::SecondTime);

    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );

    assert_eq!(world.wallet.asked().len(), 1);
    assert_eq!(world.shop.seen().len(), 3);
}

#[tokio::test]
async fn a_stored_credential_does_not_follow_a_redirect_to_an_origin_that_was_not_asked_for() {
    let world = World::new().await;
    let seller = Shop::open_with(world.shop.preimages()).await;
    let client = world.client();
    let direct = Request::get(seller.url("/a")).body(Body::empty()).unwrap();
    text(client.send(direct).await).await;
    world.shop.redirects("/free/away", 307, &seller.url("/a"));
    let before = seller.seen().len();

    let refused = client.send(world.get("/free/away")).await.unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::Redirected { .. })),
        "{refused}"
    );
    assert!(
        seller.seen()[before..]
            .iter()
            .all(|seen| seen.authorization.is_empty())
    );
    let listed = world.client_with(Policy {
        hosts: Hosts::Only(vec!["127.0.0.1".to_owned()]),
        ..policy()
    });
    assert_eq!(
        text(listed.send(world.get("/free/away")).await).await,
        "paid /a"
    );
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn of_two_challenges_the_affordable_one_is_paid() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.lines = Lines::DearFirst);

    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );
}

#[tokio::test]
async fn several_services_of_one_origin_keep_their_own_credentials() {
    let world = World::new().await;
    let client = world.client();

    for _round in 0..3 {
        for path in ["/a/1", "/b/1", "/c/1"] {
            assert_eq!(
                text(client.send(world.get(path)).await).await,
                format!("paid {path}")
            );
        }
    }

    assert_eq!(world.wallet.asked().len(), 3);
}

#[tokio::test]
async fn no_credential_is_shown_to_another_service_and_none_is_bought_twice() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/cheap/")).await).await;
    text(client.send(world.get("/dear/a")).await).await;
    let [cheap, dear] = [0, 1].map(|at| world.wallet.asked()[at]);
    let before = world.shop.seen().len();

    text(client.send(world.get("/dear/")).await).await;

    let asked = &world.shop.seen()[before..];
    assert!(
        asked[0].authorization.is_empty(),
        "its challenge is compared"
    );
    assert_eq!(asked.len(), 2);
    assert_eq!(world.wallet.asked(), [cheap, dear]);
    let shown = presented(&world);
    assert_eq!(shown, [cheap, dear, dear]);

    text(client.send(world.get("/dear/below")).await).await;

    assert_eq!(
        world.shop.seen().len() - before,
        3,
        "it is remembered where a token was accepted"
    );
}

#[tokio::test]
async fn every_token_of_the_service_is_tried_before_anything_is_bought() {
    let world = World::new().await;
    let client = world.client();
    world.shop.sells(|terms| terms.honours = Honours::SameQuery);
    for number in 0..5 {
        text(client.send(world.get(&format!("/s/{number}"))).await).await;
    }
    world
        .shop
        .sells(|terms| terms.honours = Honours::SameService);
    world.shop.resells("GET /s/0", "s");

    text(client.send(world.get("/s/new")).await).await;

    assert_eq!(world.wallet.asked().len(), 5, "the oldest was good for it");
}

#[tokio::test]
async fn what_is_bought_again_is_explained_by_what_the_server_states() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.max_uses = Some(1));
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    let first = world.wallet.asked()[0];

    text(client.send(world.get("/a")).await).await;

    let exhausted = (first, RefusalReason::Exhausted);
    assert_eq!(replacing(&world), [exhausted]);
    let before = world.shop.seen().len();
    text(client.send(world.get("/a/below")).await).await;
    let shown = world.shop.seen()[before].authorization.len();
    assert_eq!(shown, 1, "the second token only, then a purchase");
    assert_eq!(world.shop.seen().len() - before, 2);
}

#[tokio::test]
async fn what_is_not_bought_is_explained_too() {
    let world = World::new().await;
    world
        .shop
        .sells(|terms| terms.valid_until = Some(NOON.plus_secs(60)));
    text(world.client().send(world.get("/a")).await).await;
    let first = world.wallet.asked()[0];
    world.wait_secs(60);
    world.shop.sells(|terms| {
        terms.valid_until = None;
        terms.created_at = NOON.plus_secs(60);
    });

    let unpaying = world.client_with(Policy {
        paying: Paying::Off,
        ..policy()
    });
    unpaying.send(world.get("/a/below")).await.unwrap_err();

    let expired = (first, RefusalReason::Expired);
    assert_eq!(replacing(&world), [expired]);
}

#[tokio::test]
async fn a_token_that_is_not_tried_for_a_while_is_explained_by_its_last_refusal() {
    let world = World::new().await;
    text(world.client().send(world.get("/a")).await).await;
    let first = world.wallet.asked()[0];
    world.shop.sells(|terms| {
        terms.honours = Honours::Nothing;
        terms.reason = Some("revoked");
        terms.amount = Some(sat(1_000));
    });
    for _again in 0..2 {
        world.client().send(world.get("/a")).await.unwrap_err();
    }

    let revoked = (first, RefusalReason::Revoked);
    assert_eq!(replacing(&world), [revoked.clone(), revoked]);
    assert_eq!(presented(&world).len(), 2, "bought, and refused once");
}

#[tokio::test]
async fn what_was_used_up_by_a_response_that_did_not_arrive_is_not_bought_again_silently() {
    for status in [None, Some(StatusCode::INTERNAL_SERVER_ERROR)] {
        let world = World::new().await;
        world.shop.sells(|terms| terms.max_uses = Some(1));
        world.shop.sells(|terms| match status {
            None => terms.delivers = Delivers::FirstByte,
            Some(status) => terms.honours = Honours::OwnRefusal(status),
        });
        let hasty = Connections {
            idle_timeout: Duration::from_millis(50),
            ..Connections::default()
        };
        let client = world.builder(policy()).connections(hasty).build();
        let first = client.send(world.get("/a")).await.unwrap();
        let body = first.into_body().collect().await;
        assert_eq!(body.is_ok(), status.is_some());
        world.shop.sells(|terms| {
            terms.honours = Honours::Nothing;
            terms.reason = Some("exhausted");
        });

        for _again in 0..2 {
            let refused = client.send(world.get("/a")).await.unwrap_err();
            assert!(
                matches!(refused, Error::NotPaid(NotPaid::PaidBefore(_))),
                "{refused}"
            );
        }

        assert_eq!(world.wallet.asked().len(), 1);
        world.shop.sells(|terms| {
            terms.honours = Honours::SameService;
            terms.delivers = Delivers::Whole;
        });
        let buying = world.client_with(Policy {
            after_refusal: AfterRefusal::BuyAgain,
            ..policy()
        });
        text(buying.send(world.get("/a")).await).await;
        assert_eq!(world.wallet.asked().len(), 2);
    }
}

#[tokio::test]
async fn a_token_that_is_exhausted_after_a_response_that_took_no_use_is_replaced() {
    for status in [
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ] {
        let world = World::new().await;
        world.shop.sells(|terms| terms.max_uses = Some(2));
        let client = world.client();
        text(client.send(world.get("/a")).await).await;
        world
            .shop
            .sells(|terms| terms.honours = Honours::OwnRefusal(status));
        assert_eq!(client.send(world.get("/a")).await.unwrap().status(), status);
        world
            .shop
            .sells(|terms| terms.honours = Honours::SameService);

        text(client.send(world.get("/a")).await).await;

        assert_eq!(world.wallet.asked().len(), 2);
    }
}

/// The credentials that were presented, in order.
fn presented(world: &World) -> Vec<PaymentHash> {
    let events = world.events();
    let shown = events.iter().filter_map(|event| {
        let Event::Sending { presented, .. } = event else {
            return None;
        };
        match presented {
            Presented::Bought(hash) | Presented::Stored(hash) => Some(*hash),
            Presented::Nothing => None,
        }
    });
    shown.collect()
}

/// The credentials that no longer bought what was asked for, and why.
fn replacing(world: &World) -> Vec<(PaymentHash, RefusalReason)> {
    let events = world.events().into_iter();
    let replaced = events.filter_map(|event| {
        let Event::Replacing {
            payment_hash,
            reason,
            ..
        } = event
        else {
            return None;
        };
        Some((payment_hash, reason))
    });
    replaced.collect()
}

#[tokio::test]
async fn a_shelf_full_of_credentials_costs_a_new_path_one_extra_request() {
    let world = World::new().await;
    let client = world.client();
    for number in 0..5 {
        text(client.send(world.get(&format!("/{number}"))).await).await;
    }
    let before = world.shop.seen().len();

    text(client.send(world.get("/new")).await).await;

    assert_eq!(
        world.shop.seen().len() - before,
        2,
        "its challenge is the one that is paid"
    );
}

#[tokio::test]
async fn a_demand_over_the_limit_does_not_cost_the_credential_at_hand() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    world.shop.sells(|terms| terms.amount = Some(sat(1_000)));

    let refused = client.send(world.get("/b")).await.unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::OverLimit(_))),
        "{refused}"
    );
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
}

#[tokio::test]
async fn a_redirect_to_another_origin_takes_no_credential_along() {
    let world = World::new().await;
    let other = Shop::open_with(world.shop.preimages()).await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    world.shop.redirects("/a/away", 307, &other.url("/free"));
    let mut request = world.get("/a/away");
    request
        .headers_mut()
        .insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
    request
        .headers_mut()
        .insert("cookie", HeaderValue::from_static("secret"));
    request
        .headers_mut()
        .insert("x-api-key", HeaderValue::from_static("secret"));
    request
        .headers_mut()
        .insert("accept", HeaderValue::from_static("text/plain"));

    assert_eq!(text(client.send(request).await).await, "free");

    let there = &other.seen()[0];
    assert!(there.authorization.is_empty(), "{there:?}");
    assert!(!there.headers.contains_key("cookie"));
    assert!(!there.headers.contains_key("x-api-key"));
    assert_eq!(there.headers["accept"], "text/plain");
    assert_eq!(
        world.shop.seen().last().unwrap().authorization.len(),
        2,
        "both were shown here"
    );
}

#[tokio::test]
async fn a_redirect_to_an_onion_service_is_not_followed() {
    let world = World::new().await;
    world.shop.redirects("/a", 302, "http://abc.onion/a");

    let refused = world.client().send(world.get("/a")).await.unwrap_err();

    assert!(
        matches!(refused, Error::Transport(TransportError::Onion { .. })),
        "{refused}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_paid_for_elsewhere_unless_the_seller_is_listed() {
    let world = World::new().await;
    let other = Shop::open_with(world.shop.preimages()).await;
    world.shop.redirects("/a", 302, &other.url("/b"));

    let refused = world.client().send(world.get("/a")).await.unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::Redirected { .. })),
        "{refused}"
    );
    assert!(world.wallet.asked().is_empty());
    let listed = world.client_with(Policy {
        hosts: Hosts::Only(vec!["127.0.0.1".to_owned()]),
        ..policy()
    });
    assert_eq!(text(listed.send(world.get("/a")).await).await, "paid /b");
}

#[tokio::test]
async fn one_call_pays_once_however_often_it_is_redirected() {
    let world = World::new().await;
    let client = world.client();
    world.shop.redirects("/start", 302, "/a/1");
    assert_eq!(
        text(client.send(world.get("/start")).await).await,
        "paid /a/1"
    );

    let loops = world.shop.url("/loop");
    world.shop.redirects("/loop", 307, &loops);
    let stopped = client.send(world.get("/loop")).await.unwrap_err();

    assert!(matches!(stopped, Error::Transport(_)), "{stopped}");
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_credential_the_caller_brings_is_sent_alone_and_never_paid_for() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    let mut request = world.get("/a");
    let own = HeaderValue::from_static("L402 AgE=:00");
    request.headers_mut().insert(AUTHORIZATION, own);

    let response = client.send(request).await.unwrap();

    assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(
        world.shop.seen().last().unwrap().authorization,
        ["L402 AgE=:00"]
    );
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn another_authorization_of_the_caller_stays_beside_the_credential() {
    let world = World::new().await;
    let mut request = world.get("/a");
    request
        .headers_mut()
        .insert(AUTHORIZATION, HeaderValue::from_static("Bearer mine"));

    assert_eq!(text(world.client().send(request).await).await, "paid /a");

    let paid = &world.shop.seen()[1].authorization;
    assert_eq!(paid[0], "Bearer mine");
    assert!(paid[1].starts_with("L402 "));
}

#[tokio::test]
async fn nothing_is_bought_or_shown_in_clear_text_on_a_public_network() {
    let world = World::new().await;
    let exposed = |path: &str| {
        // This machine under an address that is not known to be this machine.
        let url = world.shop.url(path).replace("127.0.0.1", "0.0.0.0");
        Request::get(url).body(Body::empty()).unwrap()
    };
    let reckless = world.client_with(Policy {
        clear_text: ClearText::Anywhere,
        ..policy()
    });

    let refused = world.client().send(exposed("/a")).await.unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::ClearText { .. })),
        "{refused}"
    );
    assert_eq!(text(reckless.send(exposed("/a")).await).await, "paid /a");
    let refused = world.client().send(exposed("/a")).await.unwrap_err();
    assert!(
        matches!(refused, Error::NotPaid(NotPaid::ClearText { .. })),
        "{refused}"
    );
    assert!(
        world.shop.seen().last().unwrap().authorization.is_empty(),
        "nor is it shown"
    );
}

#[tokio::test]
async fn a_refusal_that_the_token_contradicts_is_no_reason_to_buy_another() {
    for reason in [Some("exhausted"), Some("expired"), Some("so there"), None] {
        let world = World::new().await;
        text(world.client().send(world.get("/a")).await).await;
        world.shop.sells(|terms| {
            terms.honours = Honours::Nothing;
            terms.reason = reason;
        });

        for _again in 0..3 {
            let refused = world.client().send(world.get("/a")).await.unwrap_err();
            let Error::NotPaid(NotPaid::PaidBefore(brake)) = refused else {
                panic!("{refused}")
            };
            assert!(
                matches!(brake.cause, BrakeCause::Contradicted(_)),
                "{brake:?}"
            );
        }
        assert_eq!(world.wallet.asked().len(), 1);

        world
            .shop
            .sells(|terms| terms.honours = Honours::SameService);
        world.wait_secs(60);
        let client = world.client();
        text(client.send(world.get("/a")).await).await;
        assert_eq!(world.wallet.asked().len(), 1, "a repaired server");
        let hash = world.wallet.asked()[0];
        client.book().forget(&hash).unwrap();
        world
            .shop
            .sells(|terms| terms.created_at = NOON.plus_secs(60));
        text(client.send(world.get("/a")).await).await;
        assert_eq!(world.wallet.asked().len(), 2, "the brake is released");
    }
}

#[tokio::test]
async fn a_token_that_expires_as_it_says_is_replaced() {
    for (wait_secs, is_replaced) in [(100, false), (900, true)] {
        let world = World::new().await;
        let until = NOON.plus_secs(1_000);
        world.shop.sells(|terms| terms.valid_until = Some(until));
        text(world.client().send(world.get("/a")).await).await;
        world.wait_secs(wait_secs);
        world.shop.sells(|terms| {
            terms.honours = Honours::Nothing;
            terms.reason = Some("expired");
            terms.created_at = NOON.plus_secs(wait_secs);
        });

        world.client().send(world.get("/a")).await.unwrap_err();

        assert_eq!(world.wallet.asked().len() == 2, is_replaced);
    }
}

#[tokio::test]
async fn a_token_that_is_accepted_elsewhere_was_not_forbidden_by_its_seller() {
    let world = World::new().await;
    world.shop.sells(|terms| {
        terms.max_uses = Some(2);
        terms.honours = Honours::OwnRefusal(StatusCode::FORBIDDEN);
    });
    let forbidden = world.client().send(world.get("/s/secret")).await.unwrap();
    assert_eq!(forbidden.status(), StatusCode::FORBIDDEN);
    drop(forbidden);
    world
        .shop
        .sells(|terms| terms.honours = Honours::SameService);

    for path in ["/s/one", "/s/two"] {
        text(world.client().send(world.get(path)).await).await;
    }

    assert_eq!(world.wallet.asked().len(), 2);
}

#[tokio::test]
async fn a_seller_that_names_a_new_service_each_time_collects_twice() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.honours = Honours::Nothing);

    for number in 0..5 {
        let path = format!("/{number}");
        world.client().send(world.get(&path)).await.unwrap_err();
    }

    assert_eq!(world.wallet.asked().len(), 2);
}

#[tokio::test]
async fn a_seller_may_revoke_its_tokens_twice_a_day_and_not_each_that_is_bought() {
    for (reason, max_uses) in [
        ("revoked", None),
        ("forged", None),
        ("revoked", Some(1_000)),
    ] {
        let world = World::new().await;
        world.shop.sells(|terms| {
            terms.honours = Honours::Once;
            terms.reason = Some(reason);
            terms.max_uses = max_uses;
        });
        for _bought in 0..3 {
            text(world.client().send(world.get("/a")).await).await;
        }

        for _again in 0..3 {
            let refused = world.client().send(world.get("/a")).await.unwrap_err();
            assert!(
                matches!(refused, Error::NotPaid(NotPaid::PaidBefore(_))),
                "{refused}"
            );
        }

        assert_eq!(world.wallet.asked().len(), 3);
    }
}

#[tokio::test]
async fn a_token_that_brought_nothing_is_not_bought_again_when_it_is_refused() {
    for (status, max_uses) in [
        (StatusCode::NOT_FOUND, None),
        (StatusCode::TOO_MANY_REQUESTS, None),
        (StatusCode::INTERNAL_SERVER_ERROR, None),
        (StatusCode::BAD_GATEWAY, Some(1)),
        (StatusCode::BAD_GATEWAY, Some(3)),
    ] {
        let world = World::new().await;
        world.shop.sells(|terms| {
            terms.honours = Honours::OwnRefusal(status);
            terms.max_uses = max_uses;
        });
        text(world.client().send(world.get("/a")).await).await;
        world.shop.sells(|terms| {
            terms.honours = Honours::Nothing;
            terms.reason = Some("revoked");
        });

        for _again in 0..3 {
            let refused = world.client().send(world.get("/a?b")).await.unwrap_err();
            let Error::NotPaid(NotPaid::PaidBefore(brake)) = refused else {
                panic!("{refused}")
            };
            assert!(
                matches!(brake.cause, BrakeCause::BroughtNothing(_)),
                "{brake:?}"
            );
        }
        assert_eq!(world.wallet.asked().len(), 1, "{status} {max_uses:?}");
    }
}

#[tokio::test]
async fn a_token_that_was_accepted_late_may_be_revoked() {
    let world = World::new().await;
    world
        .shop
        .sells(|terms| terms.honours = Honours::OwnRefusal(StatusCode::NOT_FOUND));
    text(world.client().send(world.get("/a")).await).await;
    world
        .shop
        .sells(|terms| terms.honours = Honours::SameService);
    text(world.client().send(world.get("/a")).await).await;
    world.shop.sells(|terms| {
        terms.honours = Honours::Nothing;
        terms.reason = Some("revoked");
    });

    world.client().send(world.get("/a")).await.unwrap_err();

    assert_eq!(world.wallet.asked().len(), 2);
}

#[tokio::test]
async fn a_token_that_restricts_no_path_is_not_for_another_query() {
    for reason in ["wrong_path", "wrong_method", "wrong_service"] {
        let world = World::new().await;
        text(world.client().send(world.get("/a?1")).await).await;
        world.shop.sells(|terms| {
            terms.honours = Honours::Nothing;
            terms.reason = Some(reason);
        });

        let refused = world.client().send(world.get("/a?2")).await.unwrap_err();

        assert!(
            matches!(refused, Error::NotPaid(NotPaid::PaidBefore(_))),
            "{refused}"
        );
        assert_eq!(world.wallet.asked().len(), 1, "{reason}");
    }
}

#[tokio::test]
async fn a_copy_may_take_the_uses_of_one_token_and_not_of_each() {
    let world = World::new().await;
    world.shop.sells(|terms| {
        terms.max_uses = Some(1_000);
        terms.honours = Honours::Once;
    });
    // The others of the first token's uses were taken elsewhere.
    for _bought in 0..2 {
        text(world.client().send(world.get("/a")).await).await;
    }

    for _again in 0..2 {
        let refused = world.client().send(world.get("/a")).await.unwrap_err();
        let Error::NotPaid(NotPaid::PaidBefore(brake)) = refused else {
            panic!("{refused}")
        };
        assert_eq!(brake.cause, BrakeCause::ExhaustedEarly);
    }
    assert_eq!(world.wallet.asked().len(), 2);
}
