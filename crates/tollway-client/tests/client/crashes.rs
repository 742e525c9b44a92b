//! The process dies between two steps, and another takes over.

use std::process::Stdio;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use l402::{Network, PaymentHash};
use tokio::io::AsyncBufReadExt as _;
use tokio::sync::{Barrier, watch};
use tollway_client::book::{Owner, Resolution};
use tollway_client::{AfterRefusal, Book, Error, Event, NotPaid, Policy, Resumption, WalletName};
use tollway_lightning::{
    FeeCap, Paid, PayError, Payer, PayerPromises, PaymentState, PaymentTerms, WalletError,
    WalletIdentity,
};

use crate::shop::Honours;
use crate::wallet::{self, FEE, FakeWallet, Order as Orders};
use crate::{World, policy, sat, text};

#[tokio::test]
async fn killed_between_recording_and_paying_the_same_invoice_is_paid_at_once_by_the_next_process()
{
    let world = World::new().await;
    let hash = world.record_only("/a").await;

    let client = world.client();

    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked(), [hash], "the same payment, once");
    assert_eq!(world.charged(), sat(10).checked_add(FEE).unwrap());
    let is_emitted = |event: &Event| matches!(event, Event::Reoffered { payment_hash, price } if *payment_hash == hash && *price == sat(10));
    assert!(world.events().iter().any(is_emitted));
}

#[tokio::test]
async fn killed_between_recording_and_paying_resuming_pays_nothing_and_keeps_the_reservation() {
    let world = World::new().await;
    world.record_only("/a").await;

    let client = world.client();
    let resumed = client.resume().await.unwrap();

    assert!(
        matches!(resumed[0].outcome, Resumption::Open { .. }),
        "{resumed:?}"
    );
    assert_eq!(world.charged(), sat(12), "its request may still arrive");
    assert!(world.wallet.asked().is_empty());
}

#[tokio::test]
async fn an_open_purchase_is_not_offered_again_to_a_wallet_that_cannot_limit_fees() {
    let world = World::new().await;
    world.record_only("/a").await;
    let promises = PayerPromises {
        fee_cap: FeeCap::NotEnforced,
        ..wallet::PROMISES
    };
    let wallet = FakeWallet::new(world.shop.preimages()).with_promises(promises);
    let wallet = Arc::new(wallet);
    let name = WalletName::new("fake:buyer");
    let client = world.builder(policy()).wallet(wallet.clone(), name).build();

    let refused = client.send(world.get("/a")).await.unwrap_err();

    assert!(matches!(refused, Error::PaymentUnknown { .. }), "{refused}");
    assert!(refused.to_string().contains("fake:buyer"), "{refused}");
    assert!(wallet.asked().is_empty());
}

#[tokio::test]
async fn an_expired_invoice_is_not_offered_again_but_bought_anew() {
    let world = World::new().await;
    let hash = world.record_only("/a").await;
    world.wait_secs(700);
    world
        .shop
        .sells(|terms| terms.created_at = terms.created_at.plus_secs(700));

    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );

    assert_eq!(world.wallet.asked().len(), 1);
    assert!(!world.wallet.asked().contains(&hash));
}

#[tokio::test]
async fn a_purchase_of_another_wallet_is_named_with_what_to_do_and_blocks_until_its_invoice_expires()
 {
    let world = World::new().await;
    let hash = world.record_only("/a").await;
    let wallet = Arc::new(FakeWallet::new(world.shop.preimages()).with_node(3));
    let other = || {
        let builder = world.builder(policy());
        let name = WalletName::new("fake:other");
        builder.wallet(wallet.clone(), name).build()
    };

    let blocked = other().send(world.get("/a")).await.unwrap_err();

    let Error::PaymentUnknown {
        payment,
        reason,
        blocks_until: Some(until),
        ..
    } = blocked
    else {
        panic!("{blocked}")
    };
    assert_eq!(payment.payment_hash, hash);
    assert!(reason.contains("fake:buyer"), "{reason}");
    world.wait_secs(until.as_secs() - crate::NOON.as_secs());
    world.shop.sells(|terms| terms.created_at = until);
    assert_eq!(text(other().send(world.get("/a")).await).await, "paid /a");
    assert_eq!(
        other().book().open_purchases().unwrap().len(),
        1,
        "its amount stays reserved"
    );
}

#[tokio::test]
async fn an_open_purchase_can_be_resolved_by_hand() {
    let world = World::new().await;
    let paid = world.record_only("/a").await;
    let book = Book::open(world.path());
    let preimage = world.shop.preimages().lock().unwrap()[&paid].clone();
    let proof = Resolution::Paid { preimage, fee: FEE };

    book.resolve(&paid, proof.clone()).unwrap();

    assert!(book.resolve(&paid, proof).is_err(), "once");
    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );
    assert!(world.wallet.asked().is_empty());

    let unpaid = world.record_only("/b").await;
    book.resolve(&unpaid, Resolution::NotPaid).unwrap();
    assert!(book.open_purchases().unwrap().is_empty());
}

/// The process that is killed below; by itself it does nothing.
#[test]
fn a_process_of_its_own_that_begins_a_purchase() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        let unplugged = Arc::new(Unplugged::default());
        let builder = tollway_client::Client::builder(dir, policy());
        let client = builder
            .wallet(unplugged.clone(), WalletName::new("fake:buyer"))
            .clock(|| crate::NOON)
            .build();
        let request = world.get("/a");
        let _sent = tokio::spawn(async move { client.send(request).await });
        unplugged.until_asked().await;
        println!("{BEGUN}");
        // Until killed.
        std::future::pending::<()>().await;
    });
}

#[cfg(unix)]
#[tokio::test]
async fn an_owner_that_was_killed_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("crashes::a_process_of_its_own_that_begins_a_purchase")
        .env(CHILD_DIR, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().contains(BEGUN) {}
    let book = Book::open(dir.path());
    let owner = || book.open_purchases().unwrap()[0].1;

    assert_eq!(owner(), Owner::Working);
    child.kill().await.unwrap();
    assert_eq!(owner(), Owner::Gone);
}

#[tokio::test]
async fn killed_while_paying_the_credential_is_found_by_the_next_process() {
    let world = World::new().await;
    let hash = world.record_only("/a").await;
    world.wallet.settle(hash);

    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );

    assert!(world.wallet.asked().is_empty(), "looked up, not paid");
    assert_eq!(
        world.client().book().credentials().unwrap()[0].payment_hash(),
        hash
    );
}

#[tokio::test]
async fn what_a_killed_process_paid_for_serves_the_whole_service() {
    let world = World::new().await;
    let hash = world.record_only("/a/1").await;
    world.wallet.settle(hash);

    assert_eq!(
        text(world.client().send(world.get("/a/2")).await).await,
        "paid /a/2"
    );

    assert!(world.wallet.asked().is_empty(), "nothing had to be bought");
}

#[tokio::test]
async fn what_was_paid_is_not_payable_again_when_the_wallet_has_deleted_its_payments() {
    let world = World::new().await;
    let open = world.record_only("/open").await;
    text(world.client().send(world.get("/a")).await).await;
    let paid = world.wallet.asked()[0];
    world.wallet.forget_payments();
    world.shop.sells(|terms| {
        terms.honours = Honours::Nothing;
        terms.repeats = Some(2);
    });
    let insistent = Policy {
        after_refusal: AfterRefusal::BuyAgain,
        ..policy()
    };

    let resumed = world.client().resume().await.unwrap();
    let refused = world.client_with(insistent).send(world.get("/a")).await;

    let resumed: Vec<_> = resumed.iter().map(|r| r.payment_hash).collect();
    assert_eq!(resumed, [open], "what is paid is not looked up");
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, Error::NotPaid(NotPaid::AlreadyPaid { payment_hash }) if payment_hash == paid),
        "{refused}"
    );
    assert_eq!(world.wallet.asked(), [paid]);
    let spent = sat(10).checked_add(FEE).unwrap();
    let in_doubt = sat(12);
    assert_eq!(world.charged(), spent.checked_add(in_doubt).unwrap());
}

#[tokio::test]
async fn open_purchases_are_looked_up_at_the_same_time() {
    let world = World::new().await;
    for path in ["/a", "/b", "/c"] {
        world.record_only(path).await;
    }
    let patient = Arc::new(Together(Barrier::new(3)));
    let client = world
        .builder(policy())
        .wallet(patient, WalletName::new("fake:buyer"))
        .build();

    let resumed = client.resume().await.unwrap();

    assert_eq!(resumed.len(), 3);
}

#[tokio::test]
async fn a_purchase_whose_owner_lives_is_left_to_its_owner() {
    let world = World::new().await;
    let owner = world.client();
    world.wallet.hold();
    let sent = world.send(&owner, "/a");
    world.wallet.until_begun(1).await;
    world.wait_secs(500);

    let resumed = world.client().resume().await.unwrap();

    assert!(
        matches!(resumed[0].outcome, Resumption::Open { .. }),
        "{resumed:?}"
    );
    world.wallet.release();
    assert_eq!(text(sent.await.unwrap()).await, "paid /a");
}

#[tokio::test]
async fn a_caller_that_goes_away_mid_payment_loses_nothing() {
    let world = World::new().await;
    let client = world.client();
    world.wallet.hold();
    let sent = world.send(&client, "/a");
    world.wallet.until_begun(1).await;
    sent.abort();
    assert!(sent.await.unwrap_err().is_cancelled());

    world.wallet.release();
    client.finish().await;

    assert_eq!(client.book().credentials().unwrap().len(), 1);
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_runtime_that_ends_mid_payment_leaves_a_purchase_that_can_be_looked_up() {
    let world = World::new().await;
    world.wallet.hold();
    let (client, request) = (world.client(), world.get("/a"));
    let wallet = world.wallet.clone();
    let short_lived = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            tokio::select! {
                _response = client.send(request) => unreachable!("the wallet is held"),
                () = wallet.until_begun(1) => {}
            }
        });
    };
    tokio::task::spawn_blocking(short_lived).await.unwrap();
    world.wallet.release();
    world.wallet.settle(world.wallet.asked()[0]);

    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_damaged_book_stops_buying_with_its_name_in_the_error() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    client.finish().await;
    drop(client);
    std::fs::write(
        world.path().join("client.sqlite"),
        "not a database ".repeat(500),
    )
    .unwrap();

    let stopped = world.client().send(world.get("/b")).await.unwrap_err();

    assert!(matches!(stopped, Error::Storage(_)), "{stopped}");
    assert!(stopped.to_string().contains("client.sqlite"), "{stopped}");
    assert!(
        stopped.to_string().contains("nothing is bought"),
        "{stopped}"
    );
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_missing_credential_is_made_again_from_its_purchase() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    let hash = world.wallet.asked()[0];
    assert!(client.book().forget(&hash).unwrap());

    client.book().restore(&hash).unwrap();

    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_book_that_fails_after_paying_does_not_lose_the_payment() {
    let world = World::new().await;
    let client = world.client();
    world.wallet.hold();
    let sent = world.send(&client, "/a");
    world.wallet.until_begun(1).await;
    let lock = rusqlite::Connection::open(world.path().join("client.sqlite")).unwrap();
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON credentials \
                   BEGIN SELECT raise(ABORT, 'disk is full'); END";
    lock.execute_batch(trigger).unwrap();
    world.wallet.release();

    assert_eq!(
        text(sent.await.unwrap()).await,
        "paid /a",
        "the credential is used all the same"
    );

    let is_emitted = world.events().into_iter().any(
        |event| matches!(event, Event::NotKept { reason, .. } if reason.contains("disk is full")),
    );
    assert!(is_emitted);
    lock.execute_batch("DROP TRIGGER full").unwrap();
    drop(client);
    let resumed = world.client().resume().await.unwrap();
    assert_eq!(resumed[0].outcome, Resumption::Kept);
}

#[tokio::test]
async fn what_was_paid_is_used_once_looked_up_although_the_disk_is_full() {
    let world = World::new().await;
    let hash = world.record_only("/a").await;
    world.wallet.settle(hash);
    let full = rusqlite::Connection::open(world.path().join("client.sqlite")).unwrap();
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON credentials \
                   BEGIN SELECT raise(ABORT, 'disk is full'); END";
    full.execute_batch(trigger).unwrap();

    let served = text(world.client().send(world.get("/a")).await).await;

    assert_eq!(served, "paid /a");
    let look_ups = world.events();
    let reported = look_ups.iter().filter(
        |event| matches!(event, Event::NotKept { reason, .. } if reason.contains("disk is full")),
    );
    assert_eq!(reported.count(), 1);
    assert!(world.wallet.asked().is_empty());
}

#[tokio::test]
async fn an_outcome_that_cannot_be_stored_is_an_error_of_the_book() {
    let world = World::new().await;
    let hash = world.record_only("/a").await;
    let reason = "no route".to_owned();
    world.wallet.set(hash, PaymentState::Failed { reason });
    let full = rusqlite::Connection::open(world.path().join("client.sqlite")).unwrap();
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON purchases \
                   BEGIN SELECT raise(ABORT, 'disk is full'); END";
    full.execute_batch(trigger).unwrap();

    let failed = world.client().send(world.get("/a")).await.unwrap_err();

    assert!(matches!(failed, Error::Storage(_)), "{failed}");
    assert!(world.wallet.asked().is_empty());
}

#[tokio::test]
async fn a_purchase_of_another_wallet_that_blocks_no_more_hides_no_later_one() {
    let world = World::new().await;
    world.record_only("/a").await;
    let later = crate::NOON.plus_secs(700);
    world.wait_secs(700);
    world.shop.sells(|terms| terms.created_at = later);
    let wallet = Arc::new(FakeWallet::new(world.shop.preimages()).with_node(3));
    let client = || {
        let name = WalletName::new("fake:other");
        world.builder(policy()).wallet(wallet.clone(), name).build()
    };
    wallet.order(Orders::Stall);
    client().send(world.get("/a")).await.unwrap_err();
    wallet.settle(wallet.asked()[0]);

    assert_eq!(text(client().send(world.get("/a")).await).await, "paid /a");

    assert_eq!(wallet.asked().len(), 1);
}

#[tokio::test]
async fn payments_equal_credentials_and_open_entries_whatever_the_wallet_does() {
    let world = World::new().await;
    let orders = [
        None,
        Some(Orders::Fail),
        Some(Orders::Stall),
        Some(Orders::Forget),
        Some(Orders::Panic),
        Some(Orders::Lie),
    ];
    for (number, order) in orders.into_iter().enumerate() {
        if let Some(order) = order {
            world.wallet.order(order);
        }
        let _outcome = world.client().send(world.get(&format!("/{number}"))).await;
    }
    for hash in world.wallet.asked() {
        // What was on its way arrives.
        if !world.wallet.settled().contains(&hash) {
            let reason = "gave up".to_owned();
            world.wallet.set(hash, PaymentState::Failed { reason });
        }
    }
    world.wait_secs(1_000);
    let client = world.client();
    client.resume().await.unwrap();

    let mut paid = world.wallet.settled();
    let credentials = client.book().credentials().unwrap();
    let mut kept: Vec<_> = credentials.iter().map(|c| c.payment_hash()).collect();
    paid.sort();
    kept.sort();
    assert_eq!(paid, kept);
    assert!(client.book().open_purchases().unwrap().is_empty());
    let asked = world.wallet.asked();
    assert_eq!(asked.len(), orders.len(), "each was paid at most once");
}

impl World {
    /// What a process leaves that dies right after committing a purchase: the wallet has not
    /// been asked.
    async fn record_only(&self, path: &str) -> PaymentHash {
        let unplugged = Arc::new(Unplugged::default());
        let client = self
            .builder(policy())
            .wallet(unplugged.clone(), WalletName::new("fake:buyer"))
            .build();
        let request = self.get(path);
        let short_lived = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    response = client.send(request) => panic!("{response:?}"),
                    () = unplugged.until_asked() => {}
                }
            });
        };
        tokio::task::spawn_blocking(short_lived).await.unwrap();
        let open = self.client().book().open_purchases().unwrap();
        open.last().unwrap().0.payment_hash()
    }

    fn charged(&self) -> l402::Msat {
        let charged = self.client().book().charged("127.0.0.1", crate::NOON);
        charged.unwrap().total
    }
}

/// A wallet that no request ever reaches.
#[derive(Debug)]
struct Unplugged(watch::Sender<bool>);

impl Default for Unplugged {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Unplugged {
    async fn until_asked(&self) {
        let mut asked = self.0.subscribe();
        asked.wait_for(|asked| *asked).await.unwrap();
    }
}

impl Payer for Unplugged {
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>> {
        async { Ok(Network::Regtest) }.boxed()
    }

    fn identity(&self) -> BoxFuture<'_, Result<WalletIdentity, WalletError>> {
        async { Ok(wallet::identity(2)) }.boxed()
    }

    fn promises(&self) -> BoxFuture<'_, Result<PayerPromises, WalletError>> {
        async { Ok(wallet::PROMISES) }.boxed()
    }

    fn pay(&self, _payment: PaymentTerms) -> BoxFuture<'_, Result<Paid, PayError>> {
        self.0.send_replace(true);
        std::future::pending().boxed()
    }

    fn lookup(
        &self,
        _hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<PaymentState>, WalletError>> {
        async { Ok(None) }.boxed()
    }
}

/// A wallet that replies to look-ups when three are waiting.
#[derive(Debug)]
struct Together(Barrier);

impl Payer for Together {
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>> {
        async { Ok(Network::Regtest) }.boxed()
    }

    fn identity(&self) -> BoxFuture<'_, Result<WalletIdentity, WalletError>> {
        async { Ok(wallet::identity(2)) }.boxed()
    }

    fn promises(&self) -> BoxFuture<'_, Result<PayerPromises, WalletError>> {
        async { Ok(wallet::PROMISES) }.boxed()
    }

    fn pay(&self, _payment: PaymentTerms) -> BoxFuture<'_, Result<Paid, PayError>> {
        std::future::pending().boxed()
    }

    fn lookup(
        &self,
        _hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<PaymentState>, WalletError>> {
        async {
            self.0.wait().await;
            Ok(Some(PaymentState::InFlight))
        }
        .boxed()
    }
}

const CHILD_DIR: &str = "TOLLWAY_TEST_CHILD_DIR";
const BEGUN: &str = "purchase begun";
