//! The process dies between two steps, and another takes over.

use std::fs;
use std::process::Stdio;

use tokio::io::AsyncBufReadExt as _;
use tollway_client::journal::{Charge, EntryState, Order, Outcome, Owner, Receipt, WalletName};
use tollway_client::{Error, Resumption};
use tollway_lightning::PaymentState;

use crate::wallet::Order as Orders;
use crate::{NOON, World, sat, text};

#[tokio::test]
async fn killed_between_recording_and_paying_nothing_is_paid_and_nothing_stays_set_aside() {
    let world = World::new().await;
    let hash = world.record_only("/a").await;

    // The wallet has not heard of it. That alone proves nothing yet.
    let client = world.client();
    let resumed = client.resume().await.unwrap();
    assert!(
        matches!(resumed[0].outcome, Resumption::Open { .. }),
        "{resumed:?}"
    );
    let doubt = client.send(world.get("/a")).await.unwrap_err();
    assert!(matches!(doubt, Error::MoneyInDoubt { .. }), "{doubt}");

    world.wait_secs(90);
    let resumed = client.resume().await.unwrap();
    assert!(
        matches!(resumed[0].outcome, Resumption::NotPaid { .. }),
        "{resumed:?}"
    );
    assert!(client.journal().unwrap().charges().unwrap().is_empty());
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert!(
        !world.wallet.asked().contains(&hash),
        "that one is never paid"
    );
}

/// The process that is killed below; by itself it does nothing.
#[test]
fn a_process_of_its_own_that_begins_a_purchase() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let journal = tollway_client::journal::Journal::open(dir.as_ref()).unwrap();
    let _ticket = journal.begin(&sample_order(), admit_all).unwrap();
    println!("{BEGUN}");
    // Until killed: the parent never writes.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[cfg(unix)]
#[tokio::test]
async fn the_kernel_tells_when_the_owner_was_killed() {
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
    let journal = tollway_client::journal::Journal::open(dir.path()).unwrap();
    let owner = || journal.open_entries().unwrap()[0].owner;

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
        world.client().store().all().unwrap().tokens[0].payment_hash(),
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
async fn killed_between_payment_and_store_the_credential_is_stored_by_the_next_process() {
    let world = World::new().await;
    let hash = world.record_only("/a").await;
    let preimage = world.shop.preimages().lock().unwrap()[&hash].clone();
    let receipt = Receipt {
        preimage,
        fee: sat(1),
    };
    let journal = world.client().journal().unwrap();
    journal.settle(&hash, Outcome::Paid(receipt)).unwrap();
    drop(journal);

    let client = world.client();
    let resumed = client.resume().await.unwrap();

    assert_eq!(resumed[0].outcome, Resumption::Kept);
    assert_eq!(client.store().all().unwrap().tokens[0].payment_hash(), hash);
    assert_eq!(client.resume().await.unwrap(), [], "once is enough");
    assert!(
        client
            .journal()
            .unwrap()
            .unkept_entries()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn killed_between_store_and_journal_the_credential_is_stored_once() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    drop(client);
    // The last line says that the credential is kept. It was never flushed.
    let log = world.path().join("journal.log");
    let text_before = fs::read_to_string(&log).unwrap();
    let without_last: Vec<&str> = text_before.trim_end().lines().collect();
    let (_kept, rest) = without_last.split_last().unwrap();
    fs::write(&log, format!("{}\n", rest.join("\n"))).unwrap();

    let client = world.client();
    client.resume().await.unwrap();

    assert_eq!(client.store().all().unwrap().tokens.len(), 1);
    let entries = client.journal().unwrap().entries().unwrap();
    assert!(matches!(entries[0].state, EntryState::Kept(_)));
}

#[tokio::test]
async fn a_purchase_whose_owner_lives_is_left_to_its_owner() {
    let world = World::new().await;
    let owner = world.client();
    world.wallet.hold();
    let sent = tokio::spawn({
        let (owner, request) = (owner.clone(), world.get("/a"));
        async move { owner.send(request).await }
    });
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
    let sent = tokio::spawn({
        let (client, request) = (client.clone(), world.get("/a"));
        async move { client.send(request).await }
    });
    world.wallet.until_begun(1).await;
    sent.abort();
    assert!(sent.await.unwrap_err().is_cancelled());

    world.wallet.release();
    client.finish().await;

    assert_eq!(client.store().all().unwrap().tokens.len(), 1);
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
async fn a_damaged_journal_stops_buying_and_nothing_else() {
    let world = World::new().await;
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    let log = world.path().join("journal.log");
    let damaged = fs::read_to_string(&log).unwrap().replace("10000", "1");
    fs::write(&log, damaged).unwrap();

    let client = world.client();
    let stopped = client.send(world.get("/b")).await.unwrap_err();

    assert!(stopped.to_string().contains("line 2"), "{stopped}");
    assert!(matches!(stopped, Error::Storage(_)));
    assert_eq!(text(client.send(world.get("/a")).await).await, "paid /a");
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_disk_that_fails_after_paying_does_not_lose_the_payment() {
    let world = World::new().await;
    let client = world.client();
    world.wallet.hold();
    let sent = tokio::spawn({
        let (client, request) = (client.clone(), world.get("/a"));
        async move { client.send(request).await }
    });
    world.wallet.until_begun(1).await;
    let (log, aside) = (world.path().join("journal.log"), world.path().join("aside"));
    fs::rename(&log, &aside).unwrap();
    let tokens = world.path().join("tokens");
    fs::remove_dir_all(&tokens).unwrap();
    fs::write(&tokens, "not a directory").unwrap();
    world.wallet.release();

    assert_eq!(
        text(sent.await.unwrap()).await,
        "paid /a",
        "the credential is used all the same"
    );

    fs::rename(&aside, &log).unwrap();
    fs::remove_file(&tokens).unwrap();
    drop(client);
    let resumed = world.client().resume().await.unwrap();
    assert_eq!(resumed[0].outcome, Resumption::Kept);
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
    let tokens = client.store().all().unwrap().tokens;
    let mut kept: Vec<_> = tokens.iter().map(|token| token.payment_hash()).collect();
    paid.sort();
    kept.sort();
    assert_eq!(paid, kept);
    assert!(client.journal().unwrap().open_entries().unwrap().is_empty());
    let asked = world.wallet.asked();
    assert_eq!(asked.len(), orders.len(), "each was paid at most once");
}

impl World {
    /// What a process leaves behind that dies right after recording a purchase.
    async fn record_only(&self, path: &str) -> l402::PaymentHash {
        let client =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
                .build_http::<http_body_util::Empty<bytes::Bytes>>();
        let response = client
            .get(self.shop.url(path).parse().unwrap())
            .await
            .unwrap();
        let lines = response.headers().get_all("www-authenticate");
        let challenges = l402::read_challenges(lines.iter().map(|line| line.as_bytes())).unwrap();
        let quote = l402::Quote::read(&challenges[0], l402::Network::Regtest, NOON).unwrap();
        let order = Order {
            payment_hash: quote.payment_hash(),
            origin: self.shop.url(path).parse().unwrap(),
            path: path.to_owned(),
            wallet: WalletName::new("fake:buyer"),
            price: quote.price(),
            fee_max: sat(2),
            invoice: quote.invoice().as_str().to_owned(),
            invoice_expires_at: quote.invoice().expires_at(),
            scheme: quote.challenge().name,
            token: quote.challenge().token.clone(),
            begun_at: NOON,
            pay_until: NOON.plus_secs(90),
        };
        let journal = self.client().journal().unwrap();
        let _ticket = journal.begin(&order, admit_all).unwrap();
        quote.payment_hash()
    }
}

fn admit_all(_charges: &[Charge]) -> Result<(), ()> {
    Ok(())
}

fn sample_order() -> Order {
    Order {
        payment_hash: l402::PaymentHash::new([1; 32]),
        origin: "http://127.0.0.1:8402".parse().unwrap(),
        path: "/a".to_owned(),
        wallet: WalletName::new("fake:buyer"),
        price: sat(10),
        fee_max: sat(2),
        invoice: "lnbcrt1".to_owned(),
        invoice_expires_at: NOON.plus_secs(600),
        scheme: l402::SchemeName::L402,
        token: l402::Token::from_bytes(vec![2]),
        begun_at: NOON,
        pay_until: NOON.plus_secs(90),
    }
}

const CHILD_DIR: &str = "TOLLWAY_TEST_CHILD_DIR";
const BEGUN: &str = "purchase begun";
