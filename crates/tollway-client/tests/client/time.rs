//! Time limits: of a body, of a whole request, and of the book.
//!
//! The clock is stopped only after everything that needs a socket has been awaited: a stopped
//! clock jumps to its next timer as soon as nothing else can run.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, poll};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tollway_client::{
    Approval, Approve, Client, Connections, Error, Event, PurchaseRequest, Receipt, TransportError,
};

use crate::shop::Delivers;
use crate::{World, policy, sat, text};

#[tokio::test]
async fn a_body_that_stalls_ends_with_an_error_that_states_what_was_paid() {
    let world = World::new().await;
    world
        .shop
        .sells(|terms| terms.delivers = Delivers::FirstByte);
    let client = world.client();

    let paid_now = end_of_body(&client, &world).await;
    let paid_before = end_of_body(&client, &world).await;

    let Error::PaidButUndelivered { receipt, source } = paid_now else {
        panic!("{paid_now}")
    };
    assert_eq!(receipt.payment.price, sat(10));
    for error in [*source, paid_before] {
        assert!(
            matches!(error, Error::Transport(TransportError::Stalled { limit, .. }) if limit == Connections::default().idle_timeout),
            "{error}"
        );
    }
    assert_eq!(world.wallet.asked().len(), 1);
}

#[test]
fn a_slow_response_is_waited_for_by_default() {
    let defaults = Connections::default();

    // A language model may send no byte for minutes, and its response is paid for.
    let minutes = Duration::from_secs(4 * 60);
    assert!(defaults.head_timeout > minutes && defaults.idle_timeout > minutes);
    assert_eq!(defaults.request_timeout, None);
}

#[tokio::test]
async fn a_body_that_drips_ends_when_the_request_is_out_of_time_and_not_before() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.delivers = Delivers::Drips);
    let connections = Connections {
        request_timeout: Some(LIMIT),
        idle_timeout: LIMIT / 5,
        ..Connections::default()
    };
    let client = world.builder(policy()).connections(connections).build();
    let mut body = client.send(world.get("/a")).await.unwrap().into_body();

    for _drop in 0..5 {
        let mut frame = pin!(body.frame());
        assert!(poll!(&mut frame).is_pending());
        tokio::time::pause();
        tokio::time::advance(LIMIT / 6).await;
        tokio::time::resume();
        world.shop.drip();
        frame.await.unwrap().unwrap();
    }
    tokio::time::pause();
    tokio::time::advance(LIMIT / 6).await;
    let error = body.frame().await.unwrap().unwrap_err();

    assert!(is_out_of_time(&error), "{error}");
    assert!(error.receipt().is_some());
    assert!(body.frame().await.is_none(), "an error is the end");
}

#[tokio::test]
async fn a_request_that_is_out_of_time_before_paying_pays_nothing() {
    let world = World::new().await;
    let (undecided, mut asked) = Undecided::new();
    let client = hasty_builder(&world).approve(undecided).build();
    let sent = world.send(&client, "/a");
    asked.recv().await.unwrap();

    tokio::time::pause();
    let error = sent.await.unwrap().unwrap_err();

    assert!(
        is_out_of_time(&error) && error.receipt().is_none(),
        "{error}"
    );
    assert!(world.wallet.asked().is_empty());
    assert!(client.book().purchases().unwrap().is_empty());
}

#[tokio::test]
async fn a_payment_in_flight_when_time_is_up_is_in_doubt_and_its_credential_is_kept() {
    let world = World::new().await;
    let client = hasty(&world);
    world.wallet.hold();
    let sent = world.send(&client, "/a");
    world.wallet.until_begun(1).await;

    tokio::time::pause();
    let error = sent.await.unwrap().unwrap_err();
    tokio::time::resume();

    let Error::PaymentUnknown { payment, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(world.wallet.asked(), [payment.payment_hash]);
    world.wallet.release();
    client.finish().await;
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_paid_request_without_a_response_in_time_states_what_was_paid() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.delivers = Delivers::Nothing);
    let (client, mut events) = observed(hasty_builder(&world));
    let sent = world.send(&client, "/a");
    until(&mut events, |event| matches!(event, Event::Kept { .. })).await;
    until(&mut events, |event| matches!(event, Event::Sending { .. })).await;

    tokio::time::pause();
    let error = sent.await.unwrap().unwrap_err();
    tokio::time::resume();

    assert!(is_out_of_time(&error), "{error}");
    assert_eq!(
        error.receipt().map(Receipt::paid),
        sat(10).checked_add(crate::wallet::FEE)
    );
    world.shop.sells(|terms| terms.delivers = Delivers::Whole);
    client.finish().await;
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_purchase_that_waits_for_the_book_until_time_is_up_is_not_paid_later() {
    let world = World::new().await;
    text(world.client().send(world.get("/first")).await).await;
    let spent = world
        .client()
        .book()
        .charged("127.0.0.1", crate::NOON)
        .unwrap();
    let lock = world.lock_book();
    let (client, mut events) = observed(hasty_builder(&world));
    let sent = world.send(&client, "/a");
    until(&mut events, |event| matches!(event, Event::BookBusy { .. })).await;

    tokio::time::pause();
    tokio::time::advance(LIMIT).await;
    let error = sent.await.unwrap().unwrap_err();
    tokio::time::resume();

    assert!(
        is_out_of_time(&error) && error.receipt().is_none(),
        "{error}"
    );
    drop(lock);
    client.finish().await;
    assert_eq!(world.wallet.asked().len(), 1);
    assert!(client.book().open_purchases().unwrap().is_empty());
    assert_eq!(
        client.book().charged("127.0.0.1", crate::NOON).unwrap(),
        spent
    );
}

#[tokio::test]
async fn a_book_that_another_process_writes_to_is_waited_for_and_named() {
    let world = World::new().await;
    text(world.client().send(world.get("/first")).await).await;
    let lock = world.lock_book();
    let (client, mut events) = observed(world.builder(policy()));
    let sent = world.send(&client, "/a");

    let busy = until(&mut events, |event| matches!(event, Event::BookBusy { .. })).await;
    drop(lock);

    assert_eq!(text(sent.await.unwrap()).await, "paid /a");
    let file = world.path().join("client.sqlite");
    assert_eq!(busy, Event::BookBusy { file });
}

/// Sends `/a`, and reads the body with a clock that jumps.
async fn end_of_body(client: &Client, world: &World) -> Error {
    let mut body = client.send(world.get("/a")).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    tokio::time::pause();
    let error = body.frame().await.unwrap().unwrap_err();
    tokio::time::resume();
    error
}

fn is_out_of_time(error: &Error) -> bool {
    let error = if let Error::PaidButUndelivered { source, .. } = error {
        source
    } else {
        error
    };
    matches!(error, Error::Transport(TransportError::OutOfTime { limit, .. }) if *limit == LIMIT)
}

fn hasty(world: &World) -> Client {
    hasty_builder(world).build()
}

/// A client whose requests are limited; its other limits are longer.
fn hasty_builder(world: &World) -> tollway_client::ClientBuilder {
    let longer = LIMIT.saturating_mul(2);
    world.builder(policy()).connections(Connections {
        request_timeout: Some(LIMIT),
        head_timeout: longer,
        idle_timeout: longer,
        ..Connections::default()
    })
}

fn observed(builder: tollway_client::ClientBuilder) -> (Client, mpsc::UnboundedReceiver<Event>) {
    let (sender, events) = mpsc::unbounded_channel();
    let observe = move |event: &Event| {
        // A test that has seen enough has dropped its end.
        let _ = sender.send(event.clone());
    };
    (builder.observe(observe).build(), events)
}

async fn until(
    events: &mut mpsc::UnboundedReceiver<Event>,
    wanted: impl Fn(&Event) -> bool,
) -> Event {
    loop {
        let event = events.recv().await.unwrap();
        if wanted(&event) {
            return event;
        }
    }
}

impl World {
    /// Holds the write lock of the book, as another process does, until dropped.
    fn lock_book(&self) -> rusqlite::Connection {
        let other = rusqlite::Connection::open(self.path().join("client.sqlite")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }
}

/// An approver that never decides.
#[derive(Debug)]
struct Undecided(mpsc::UnboundedSender<()>);

impl Undecided {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<()>) {
        let (sender, asked) = mpsc::unbounded_channel();
        (Arc::new(Self(sender)), asked)
    }
}

impl Approve for Undecided {
    fn approve(&self, _request: &PurchaseRequest) -> BoxFuture<'_, Approval> {
        self.0.send(()).unwrap();
        std::future::pending().boxed()
    }
}

/// Less than a payment may take.
const LIMIT: Duration = Duration::from_secs(50);
