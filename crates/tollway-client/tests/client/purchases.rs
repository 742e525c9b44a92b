//! One purchase, and what may go wrong with it.

use std::sync::Arc;

use http::{Request, StatusCode};
use l402::{Msat, PurchaseState, QuoteError};
use lightning_invoice::Currency;
use tollway_client::{
    Body, Error, Event, NotPaid, Paying, Policy, Presented, RefusalReason, WalletName,
};
use tollway_lightning::WalletError;

use crate::shop::{Honours, Lines};
use crate::wallet::{FEE, FakeWallet, Order, Reachable};
use crate::{NOON, World, policy, sat, text};

#[tokio::test]
async fn a_demand_is_paid_once_and_the_credential_serves_the_next_request() {
    let world = World::new().await;
    let client = world.client();

    assert_eq!(
        text(client.send(world.get("/a/1")).await).await,
        "paid /a/1"
    );
    assert_eq!(
        text(client.send(world.get("/a/1")).await).await,
        "paid /a/1"
    );
    assert_eq!(
        text(world.client().send(world.get("/a/1/b")).await).await,
        "paid /a/1/b"
    );

    assert_eq!(world.wallet.asked().len(), 1);
    assert_eq!(world.shop.invoices(), 1, "one invoice for one payment");
    assert_eq!(
        world.shop.seen().len(),
        4,
        "two for the purchase, one for each later request"
    );
}

#[tokio::test]
async fn what_needs_no_payment_touches_no_wallet_and_no_journal() {
    let world = World::new().await;

    assert_eq!(
        text(world.client().send(world.get("/free")).await).await,
        "free"
    );

    assert!(!world.path().join("client.sqlite").exists());
}

#[tokio::test]
async fn the_purchase_is_on_disk_before_the_wallet_is_asked() {
    let world = World::new().await;
    let client = world.client();
    world.wallet.hold();
    let sent = world.send(&client, "/a");
    world.wallet.until_begun(1).await;

    let open = world.client().book().open_purchases().unwrap();

    assert_eq!(open.len(), 1);
    assert_eq!(open[0].0.payment_hash(), world.wallet.asked()[0]);
    assert_eq!(open[0].0.state, PurchaseState::Paying);
    world.wallet.release();
    assert_eq!(text(sent.await.unwrap()).await, "paid /a");
    assert!(client.book().open_purchases().unwrap().is_empty());
}

#[tokio::test]
async fn a_second_402_is_an_error_and_never_a_second_payment() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.honours = Honours::Nothing);
    let client = world.client();

    let refused = client.send(world.get("/a")).await.unwrap_err();

    let Error::PaidButRefused {
        receipt, status, ..
    } = refused
    else {
        panic!("{refused}")
    };
    assert_eq!(world.wallet.settled(), [receipt.payment.payment_hash]);
    assert_eq!(receipt.paid(), Msat::from_msat(10_001));
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(
        client.book().credentials().unwrap().len(),
        1,
        "what was paid for is kept"
    );
}

#[tokio::test]
async fn a_connection_that_closes_after_paying_is_replaced_once_and_the_payment_is_used() {
    let world = World::new().await;
    world.shop.hangs_up_once_paid(1);

    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );

    let lines: Vec<_> = world
        .shop
        .seen()
        .into_iter()
        .map(|seen| seen.authorization)
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1], lines[2], "the same credential");
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_request_lost_after_paying_is_free_the_second_time() {
    let world = World::new().await;
    world.shop.hangs_up_once_paid(2);
    let client = world.client();

    let lost = client.send(world.get("/a")).await.unwrap_err();

    assert!(matches!(lost, Error::PaidButUndelivered { .. }), "{lost}");
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_failed_payment_costs_nothing_and_may_be_tried_again() {
    let world = World::new().await;
    world.wallet.order(Order::Fail);
    let client = world.client();

    let failed = client.send(world.get("/a")).await.unwrap_err();

    assert!(matches!(failed, Error::PaymentFailed { .. }), "{failed}");
    assert_eq!(
        client.book().charged("127.0.0.1", NOON).unwrap(),
        l402::Charged::NOTHING
    );
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
}

#[tokio::test]
async fn a_wallet_that_lost_the_answer_is_looked_up_and_not_paid_again() {
    let world = World::new().await;
    world.wallet.order(Order::PayAndForget);
    let client = world.client();

    let lost = client.send(world.get("/a")).await.unwrap_err();
    let again = client.send(world.get("/a")).await.unwrap_err();

    let Error::PaymentUnknown { payment, .. } = lost else {
        panic!("{lost}")
    };
    assert!(
        matches!(again, Error::PaymentUnknown { .. }),
        "nothing else is bought: {again}"
    );
    world.wallet.set_reachable(Reachable::Yes);
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked(), [payment.payment_hash]);
}

#[tokio::test]
async fn a_payment_on_its_way_blocks_its_path_until_it_settles() {
    let world = World::new().await;
    world.wallet.order(Order::Stall);
    let client = world.client();

    for _again in 0..2 {
        let doubt = client.send(world.get("/a")).await.unwrap_err();
        assert!(matches!(doubt, Error::PaymentUnknown { .. }), "{doubt}");
    }
    world.wait_secs(1_000_000);
    let doubt = client.send(world.get("/a")).await.unwrap_err();
    assert!(
        matches!(doubt, Error::PaymentUnknown { .. }),
        "no time makes it final: {doubt}"
    );
    assert_eq!(client.book().open_purchases().unwrap().len(), 1);

    world.wallet.settle(world.wallet.asked()[0]);
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_preimage_of_another_payment_is_no_proof() {
    let world = World::new().await;
    world.wallet.order(Order::Lie);

    // The look-up that follows finds the true one.
    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );

    world.wallet.order(Order::Lie);
    world.wallet.set_reachable(Reachable::No);
    let doubt = world.client().send(world.get("/b")).await.unwrap_err();
    assert!(matches!(doubt, Error::PaymentUnknown { .. }), "{doubt}");
}

#[tokio::test]
async fn a_wallet_that_breaks_down_is_offered_the_same_invoice_and_no_other() {
    let world = World::new().await;
    world.wallet.order(Order::Panic);
    let client = world.client();

    let cut_off = client.send(world.get("/a")).await.unwrap_err();

    assert!(matches!(cut_off, Error::PaymentUnknown { .. }), "{cut_off}");
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    let asked = world.wallet.asked();
    assert_eq!(asked, [asked[0], asked[0]]);
}

#[tokio::test]
async fn a_demand_that_is_not_fit_to_be_paid_is_refused_before_anything_is_written() {
    let world = World::new().await;
    let client = world.client();
    let refusal = async |path: &str| {
        let refused = client.send(world.get(path)).await.unwrap_err();
        let Error::NotPaid(refusal) = refused else {
            panic!("{refused}")
        };
        refusal
    };

    world.shop.sells(|terms| terms.amount = None);
    assert!(matches!(
        refusal("/a").await,
        NotPaid::Quote(QuoteError::NoAmount)
    ));
    world.shop.sells(|terms| terms.amount = Some(Msat::ZERO));
    assert!(matches!(
        refusal("/a").await,
        NotPaid::Quote(QuoteError::NoAmount)
    ));
    world.shop.sells(|terms| terms.amount = Some(sat(1)));
    world.shop.sells(|terms| terms.caveat = Some("max_uses=0"));
    assert!(matches!(
        refusal("/a").await,
        NotPaid::Quote(QuoteError::NoUses)
    ));
    let deadline = NOON.plus_secs(2);
    world.shop.sells(|terms| {
        terms.caveat = None;
        terms.valid_until = Some(deadline);
    });
    assert!(matches!(
        refusal("/a").await,
        NotPaid::Quote(QuoteError::TokenExpiring { seconds_left: 2 })
    ));
    world.shop.sells(|terms| {
        terms.valid_until = None;
        terms.caveat = Some("path_prefix=/b");
    });
    assert!(matches!(
        refusal("/a").await,
        NotPaid::Misfit {
            reason: RefusalReason::WrongPath
        }
    ));
    world.shop.sells(|terms| {
        terms.caveat = None;
        terms.lines = Lines::Mismatched;
    });
    assert!(matches!(
        refusal("/a").await,
        NotPaid::Quote(QuoteError::HashMismatch { .. })
    ));
    world.shop.sells(|terms| {
        terms.lines = Lines::Both;
        terms.currency = Currency::Bitcoin;
    });
    assert!(matches!(
        refusal("/a").await,
        NotPaid::Quote(QuoteError::WrongNetwork { .. })
    ));
    world.shop.sells(|terms| terms.currency = Currency::Regtest);
    world.wait_secs(600);
    assert!(matches!(
        refusal("/a").await,
        NotPaid::Quote(QuoteError::Expired { seconds_ago: 0 })
    ));
    world.shop.sells(|terms| terms.lines = Lines::Broken);
    assert!(matches!(refusal("/a").await, NotPaid::Challenge(_)));

    assert!(world.wallet.asked().is_empty());
    assert!(client.book().purchases().unwrap().is_empty());
}

#[tokio::test]
async fn a_demand_of_another_kind_is_handed_to_the_caller() {
    let world = World::new().await;
    for (lines, status) in [(Lines::None, 402), (Lines::Basic, 401), (Lines::Basic, 402)] {
        world.shop.sells(|terms| {
            terms.lines = lines;
            terms.status = StatusCode::from_u16(status).unwrap();
        });
        let response = world.client().send(world.get("/a")).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
    assert!(world.wallet.asked().is_empty());
}

#[tokio::test]
async fn the_same_challenge_sold_twice_is_paid_once() {
    let world = World::new().await;
    world.shop.sells(|terms| {
        terms.repeats = Some(1);
        terms.max_uses = Some(1);
    });
    let client = world.client();
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");

    let refused = client.send(world.get("/a")).await.unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::AlreadyPaid { .. })),
        "{refused}"
    );
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn with_paying_off_the_price_is_named_and_nothing_is_paid() {
    let world = World::new().await;
    let client = world.client_with(Policy {
        paying: Paying::Off,
        ..policy()
    });

    let refused = client.send(world.get("/a")).await.unwrap_err();

    assert!(refused.to_string().contains("10 sat"), "{refused}");
    assert!(matches!(
        refused,
        Error::NotPaid(NotPaid::PayingIsOff { .. })
    ));
    assert!(world.wallet.asked().is_empty());
}

#[tokio::test]
async fn a_body_that_cannot_be_sent_again_is_refused_before_paying() {
    let world = World::new().await;
    let once = http_body_util::Full::from("streamed");
    let once = Body::once(http_body_util::BodyExt::map_err(
        once,
        |never| match never {},
    ));
    let request = Request::post(world.shop.url("/a")).body(once).unwrap();

    let refused = world.client().send(request).await.unwrap_err();

    assert!(
        matches!(refused, Error::NotPaid(NotPaid::BodyNotReplayable { .. })),
        "{refused}"
    );
    assert!(world.wallet.asked().is_empty());
}

#[tokio::test]
async fn the_paid_request_carries_the_whole_body_again() {
    let world = World::new().await;
    let file = world.path().join("upload");
    std::fs::write(&file, "from a file").unwrap();

    for (path, body, expected) in [
        ("/a", Body::from("from memory"), "from memory"),
        ("/b", Body::file(&file), "from a file"),
    ] {
        let request = Request::post(world.shop.url(path)).body(body).unwrap();
        text(world.client().send(request).await).await;
        let seen = world.shop.seen();
        for seen in &seen[seen.len() - 2..] {
            assert_eq!(seen.body, expected);
            assert_eq!(seen.headers["content-length"], expected.len().to_string());
        }
    }
}

#[tokio::test]
async fn every_step_is_emitted_in_order_and_without_a_secret() {
    let world = World::new().await;
    text(world.client().send(world.get("/a?key=hunter2")).await).await;
    let hash = world.wallet.asked()[0];
    let preimage = world.shop.preimages().lock().unwrap()[&hash].expose_hex();

    let events = world.events();

    let shown = format!("{events:?}");
    assert!(
        !shown.contains(&preimage) && !shown.contains("hunter2"),
        "{shown}"
    );
    let steps: Vec<&str> = events.iter().map(name).collect();
    assert_eq!(
        steps,
        [
            "sending",
            "responded",
            "challenged",
            "quoted",
            "reserved",
            "paying",
            "paid",
            "kept",
            "sending",
            "responded"
        ]
    );
    assert!(events.contains(&Event::Paid {
        payment_hash: hash,
        price: sat(10),
        fee: FEE,
        fee_max: sat(2)
    }));
}

#[tokio::test]
async fn no_error_and_no_debug_text_holds_a_secret() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.honours = Honours::Nothing);
    let client = world.client();

    let error = client.send(world.get("/a?key=hunter2")).await.unwrap_err();

    let hash = world.wallet.asked()[0];
    let preimage = world.shop.preimages().lock().unwrap()[&hash].expose_hex();
    let credential = world.shop.seen()[1].authorization[0].clone();
    let token = credential.split([' ', ':']).nth(1).unwrap();
    let listing = client.book().credentials().unwrap();
    let entries = client.book().purchases().unwrap();
    let shown = format!("{error} {error:?} {client:?} {listing:?} {entries:?}");
    for secret in [preimage.as_str(), token, "hunter2"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::BookBusy { .. } => "book busy",
        Event::Challenged { .. } => "challenged",
        Event::InUse { .. } => "in use",
        Event::Kept { .. } => "kept",
        Event::NotKept { .. } => "not kept",
        Event::Paid { .. } => "paid",
        Event::Paying { .. } => "paying",
        Event::Quoted { .. } => "quoted",
        Event::Redirected { .. } => "redirected",
        Event::Refused { .. } => "refused",
        Event::Replacing { .. } => "replacing",
        Event::Reoffered { .. } => "offered again",
        Event::SecondAuthorization { .. } => "second authorization",
        Event::Retrying { .. } => "retrying",
        Event::Waiting { .. } => "waiting",
        Event::Reserved { .. } => "reserved",
        Event::Responded { .. } => "responded",
        Event::Resumed { .. } => "resumed",
        Event::Sending { presented, .. } => match presented {
            Presented::Nothing | Presented::Bought(_) => "sending",
            Presented::Stored(_) => "sending stored",
        },
    }
}

#[tokio::test]
async fn a_wallet_that_cannot_be_used_is_an_error_of_its_kind_and_nothing_is_paid() {
    let world = World::new().await;
    let denied = || WalletError::Denied {
        permission: "offchain:write".to_owned(),
        remedy: "use another macaroon".to_owned(),
    };
    let wallet = FakeWallet::new(world.shop.preimages()).closed(denied);
    let name = WalletName::new("fake:closed");
    let client = world
        .builder(policy())
        .wallet(Arc::new(wallet), name)
        .build();

    let error = client.send(world.get("/a")).await.unwrap_err();

    assert!(
        matches!(error, Error::Wallet(WalletError::Denied { .. })),
        "{error}"
    );
    assert!(client.book().purchases().unwrap().is_empty());
}

#[tokio::test]
async fn a_payment_in_doubt_has_the_wallets_error_as_its_source() {
    let world = World::new().await;
    world.wallet.order(Order::PayAndForget);
    let client = world.client();

    for _again in 0..2 {
        let error = client.send(world.get("/a")).await.unwrap_err();

        let source = std::error::Error::source(&error);
        let source = source.and_then(|source| source.downcast_ref());
        assert!(
            matches!(source, Some(WalletError::Unreachable { .. })),
            "{error:?}"
        );
    }
    assert_eq!(world.wallet.asked().len(), 1);
}
