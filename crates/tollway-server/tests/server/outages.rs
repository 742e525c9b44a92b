//! Failures of our own side: nothing is sold that could not be used, and what has stopped is
//! reported.

use std::sync::Arc;
use std::time::Duration;

use l402::{TokenId, UnixSeconds};
use rusqlite::Connection;
use tokio::time::timeout;
use tollway_server::keys::LiveKeyRing;
use tollway_server::ledger::{MemoryLedger, Reserved, Revocation, Revocations, SqliteLedger, Uses};
use tollway_server::{GateSettings, Outage, Rejection};

use crate::support::{NOON, Shop, advance_secs, get, settings, ten_sat, uses};

#[tokio::test]
async fn a_token_that_would_be_revoked_is_not_sold() {
    let shop = Shop::open().await;
    let revocations = shop.gate.revocations();
    revocations
        .revoke_minted_before(NOON.plus_secs(10))
        .await
        .unwrap();

    let rejection = shop.admit(&get("/")).await.unwrap_err();

    let outage = |rejection: &Rejection| {
        matches!(
            rejection,
            Rejection::Unavailable(Outage::AlreadyRevoked { .. })
        )
    };
    assert!(outage(&rejection), "{rejection:?}");
    assert_eq!(shop.wallet.invoices(), 0);
    advance_secs(10);
    let rejection = shop.admit(&get("/")).await.unwrap_err();
    assert!(
        matches!(rejection, Rejection::PaymentRequired(_)),
        "{rejection:?}"
    );
}

#[tokio::test]
async fn nothing_is_sold_by_a_clock_before_1970() {
    let settings = GateSettings {
        // What the default clock returns then.
        clock: || UnixSeconds::new(u64::MAX),
        ..settings()
    };
    let shop = Shop::with(Arc::new(MemoryLedger::new()), settings).await;

    let rejection = shop.admit(&get("/")).await.unwrap_err();

    assert!(
        matches!(rejection, Rejection::Unavailable(Outage::Clock)),
        "{rejection:?}"
    );
    assert_eq!(shop.wallet.invoices(), 0);
}

#[tokio::test]
async fn counted_tokens_are_not_sold_while_uses_cannot_be_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Arc::new(SqliteLedger::open(&path).unwrap());
    let mut shop = Shop::with(Arc::clone(&ledger) as _, settings()).await;
    shop.terms = ten_sat().with_uses_max(uses(5));
    let disk = Connection::open(&path).unwrap();
    disk.execute_batch("ALTER TABLE refusals RENAME TO refusals_away")
        .unwrap();

    // The refusal cannot be recorded.
    let first = shop.admit(&get("/")).await.unwrap_err();
    until(|| !ledger.is_working()).await;
    let second = shop.admit(&get("/")).await.unwrap_err();
    disk.execute_batch("ALTER TABLE refusals_away RENAME TO refusals")
        .unwrap();
    until(|| ledger.is_working()).await;
    let third = shop.admit(&get("/")).await.unwrap_err();

    assert!(matches!(first, Rejection::PaymentRequired(_)), "{first:?}");
    assert!(
        matches!(second, Rejection::Unavailable(Outage::UsesFail)),
        "{second:?}"
    );
    assert!(matches!(third, Rejection::PaymentRequired(_)), "{third:?}");
}

#[tokio::test]
async fn a_ledger_whose_thread_has_panicked_reports_it() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let stopped = ledger.stopped();
    ledger.watch(Box::new(|_revocation| panic!("as a bug would")));

    let revoked = ledger.revoke(Revocation::MintedBefore(NOON)).await;

    timeout(PATIENCE, stopped).await.unwrap();
    // It was kept before its observers were called.
    assert!(revoked.is_ok());
    assert!(!ledger.is_working());
}

#[cfg(unix)]
#[tokio::test]
async fn a_ledger_whose_file_was_removed_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path).unwrap();

    std::fs::remove_file(&path).unwrap();

    timeout(PATIENCE, ledger.stopped()).await.unwrap();
    assert!(
        ledger
            .reserve(TokenId::new([7; 32]), uses(1))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_ring_that_follows_its_file_has_not_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let ring = LiveKeyRing::open(&folder.path().join("master.key")).unwrap();
    let mut stopped = Box::pin(ring.stopped());
    assert!(futures_util::poll!(&mut stopped).is_pending());

    drop(ring);

    timeout(PATIENCE, stopped).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_ledger_reached_by_a_link_keeps_the_reservations_of_others() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("ledger.db");
    let link = other.path().join("ledger.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let ledger = SqliteLedger::open(&path).unwrap();
    let token = TokenId::new([7; 32]);
    let Reserved::Held { reservation, .. } = ledger.reserve(token, uses(1)).await.unwrap() else {
        panic!("not reserved");
    };

    let through_link = SqliteLedger::open(&link).unwrap();

    let second = through_link.reserve(token, uses(1)).await.unwrap();
    assert_eq!(second, Reserved::InUse);
    assert!(ledger.commit(reservation).await.is_ok());
    let locks = std::fs::read_dir(other.path()).unwrap().count();
    assert_eq!(locks, 1, "the lock files are next to the ledger");
}

/// Waits for what the ledger's thread does within a tenth of a second.
async fn until(reached: impl Fn() -> bool) {
    let poll = async {
        while !reached() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, poll).await.unwrap();
}

const PATIENCE: Duration = Duration::from_secs(20);
