//! Requests of one token at a time: bounded, so that no token holds up another's.

use std::num::NonZeroU32;
use std::sync::Arc;

use l402::SchemeName;
use rusqlite::Connection;
use tollway_server::ledger::{MemoryLedger, SqliteLedger};
use tollway_server::{Admitted, Ending, GateSettings, Peeked, Peer, Rejection, RequestInfo, Usage};

use crate::support::{Shop, get_with, narrowed, paid_get, settings, token_id, uses};

#[tokio::test]
async fn one_request_more_than_a_token_may_have_is_refused_until_one_ends() {
    let shop = shop_with_max(3).await;
    let (credential, other) = (shop.buy().await, shop.buy().await);
    let narrowed = narrowed(&credential, "note=1");
    let invoices = shop.wallet.invoices();

    let mut served: Vec<Admitted> = Vec::new();
    for held in [&credential, &narrowed, &credential] {
        served.push(shop.reserve(&paid_get(held)).await.unwrap());
    }
    for refused in [&credential, &narrowed] {
        let rejection = shop.admit(&paid_get(refused)).await.unwrap_err();
        assert_eq!(rejection.code().as_str(), "too_many_requests");
    }
    assert_eq!(shop.wallet.invoices(), invoices, "nothing is sold again");
    assert!(shop.admit(&paid_get(&other)).await.is_ok());

    let ended = served.pop().unwrap();
    ended.settlement.finish(Ending::Complete, Usage::default());
    let again = shop.reserve(&paid_get(&credential)).await.unwrap();
    let rejection = shop.admit(&paid_get(&credential)).await.unwrap_err();
    assert!(matches!(rejection, Rejection::TooManyRequests(over) if over.max.get() == 3));
    drop((again, served));
    assert!(shop.admit(&paid_get(&credential)).await.is_ok());
}

#[tokio::test]
async fn a_request_that_is_one_too_many_takes_no_use() {
    let mut shop = shop_with_max(1).await;
    shop.terms = shop.terms.with_uses_max(uses(2));
    let parts = paid_get(&shop.buy().await);
    let mut first = shop.reserve(&parts).await.unwrap();
    for _ in 0..5 {
        assert!(shop.admit(&parts).await.is_err());
    }

    first.settlement.commit().await.unwrap();
    drop(first);

    assert!(shop.admit(&parts).await.is_ok());
    assert_eq!(shop.reason(&parts).await.code().as_str(), "exhausted");
}

#[tokio::test]
async fn another_credential_of_the_request_is_taken_instead() {
    let shop = shop_with_max(1).await;
    let (busy, free) = (shop.buy().await, shop.buy().await);
    let _served = shop.reserve(&paid_get(&busy)).await.unwrap();
    let lines = [&busy, &free].map(|credential| credential.authorization(SchemeName::L402));

    let grant = shop.admit(&get_with(&lines)).await.unwrap();

    assert_eq!(grant.identifier().token_id, token_id(&free));
}

#[tokio::test]
async fn looking_at_a_token_is_no_request() {
    let shop = shop_with_max(1).await;
    let parts = paid_get(&shop.buy().await);
    let info = RequestInfo::of(&parts, Peer::default());
    let _served = shop.reserve(&parts).await.unwrap();

    let peeked = shop.gate.peek(&shop.requirement, &info).await.unwrap();

    assert!(matches!(peeked, Peeked::Granted { .. }), "{peeked:?}");
}

#[tokio::test]
async fn any_number_of_requests_when_that_is_set() {
    let settings = GateSettings {
        requests_per_token_max: None,
        ..settings()
    };
    let shop = Shop::with(Arc::new(MemoryLedger::new()), settings).await;
    let parts = paid_get(&shop.buy().await);

    let mut served = Vec::new();
    for _ in 0..2_000 {
        served.push(shop.reserve(&parts).await.unwrap());
    }
}

/// A ledger lets 1,024 wait and sends the others away.
#[tokio::test]
async fn requests_of_one_counted_token_do_not_send_away_those_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let settings = GateSettings {
        requests_per_token_max: None,
        ..settings()
    };
    let ledger = Arc::new(SqliteLedger::open(&path).unwrap());
    let mut shop = Shop::with(ledger, settings).await;
    shop.terms = shop.terms.with_uses_max(uses(10_000));
    let [greedy, modest] = [shop.buy().await, shop.buy().await].map(|bought| paid_get(&bought));
    let shop = Arc::new(shop);
    let reserve = |parts| {
        let shop = Arc::clone(&shop);
        tokio::spawn(async move { shop.reserve(&parts).await.map(drop) })
    };

    let obstacle = Connection::open(&path).unwrap();
    obstacle.execute_batch("BEGIN IMMEDIATE").unwrap();
    let greedy: Vec<_> = (0..4_000).map(|_| reserve(greedy.clone())).collect();
    tokio::task::yield_now().await;
    let modest = reserve(modest);
    tokio::task::yield_now().await;
    obstacle.execute_batch("ROLLBACK").unwrap();

    assert!(modest.await.unwrap().is_ok());
    for request in greedy {
        assert!(request.await.unwrap().is_ok());
    }
}

async fn shop_with_max(max: u32) -> Shop {
    let settings = GateSettings {
        requests_per_token_max: NonZeroU32::new(max),
        ..settings()
    };
    Shop::with(Arc::new(MemoryLedger::new()), settings).await
}
