//! Keys that change while the gate is open, and keys that are looked up.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{self, BoxFuture};
use l402::{
    ApertureKey, Credential, Denial, Identifier, Macaroon, PaymentHash, Preimage, RootKey, TokenId,
};
use tollway_server::keys::file::{self, KeyFile, KeyFileError, Removal};
use tollway_server::keys::{KeySource, KeyStore, KeyStoreError, LiveKeyRing, StoredKeys};
use tollway_server::ledger::{Revocation, Revocations, SqliteLedger};
use tollway_server::{Outage, Reason, Rejection};

use crate::support::{NOON, Shop, advance_secs, paid_get, ring, settings, token_id};

#[tokio::test]
async fn rotation_takes_effect_while_the_gate_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let keys = Arc::new(LiveKeyRing::open(&path).unwrap());
    let shop = Shop::with_keys(Arc::clone(&keys)).await;
    let stolen = KeyFile::read(&path).unwrap().ring().unwrap();
    let thief = Shop::with_keys(stolen).await;
    let old = shop.buy().await;

    file::rotate(&path, NOON).unwrap();
    keys.refresh();

    let new = shop.buy().await;
    assert_ne!(key_of(&old), key_of(&new), "the new key mints");
    for honoured in [&old, &new] {
        assert!(shop.admit(&paid_get(honoured)).await.is_ok());
    }
    advance_secs(11);
    let later = thief.buy().await;
    assert_eq!(key_of(&old), key_of(&later));
    let reason = shop.reason(&paid_get(&later)).await;
    assert_eq!(reason, Reason::Denied(Denial::Forged));
    assert!(shop.admit(&paid_get(&old)).await.is_ok());
}

#[tokio::test]
async fn a_removed_key_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let keys = Arc::new(LiveKeyRing::open(&path).unwrap());
    let shop = Shop::with_keys(Arc::clone(&keys)).await;
    let credential = shop.buy().await;
    let id = KeyFile::read(&path).unwrap().summaries()[0].id;
    file::rotate(&path, NOON).unwrap();

    file::remove(&path, id, Removal::AtOnce).unwrap();
    keys.refresh();

    let reason = shop.reason(&paid_get(&credential)).await;
    assert_eq!(reason, Reason::Denied(Denial::Forged));
}

#[test]
fn a_key_is_not_removed_while_invoices_of_its_tokens_can_be_paid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    LiveKeyRing::open(&path).unwrap();
    let id = KeyFile::read(&path).unwrap().summaries()[0].id;
    file::rotate(&path, NOON).unwrap();
    let after = |secs| Removal::AfterInvoices {
        now: NOON.plus_secs(secs),
    };

    for (secs, left) in [(0, 610), (609, 1)] {
        let refused = file::remove(&path, id, after(secs)).unwrap_err();
        assert!(
            matches!(refused, KeyFileError::Payable { secs, .. } if secs == left),
            "{refused}"
        );
    }
    assert_eq!(KeyFile::read(&path).unwrap().summaries().len(), 2);
    file::remove(&path, id, after(610)).unwrap();
    assert_eq!(KeyFile::read(&path).unwrap().summaries().len(), 1);
}

#[tokio::test]
async fn a_damaged_key_file_leaves_the_keys_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let keys = Arc::new(LiveKeyRing::open(&path).unwrap());
    let shop = Shop::with_keys(Arc::clone(&keys)).await;
    let credential = shop.buy().await;
    let intact = fs::read(&path).unwrap();

    for damaged in [&intact[..20], b"", b"\xff\xfe"] {
        fs::write(&path, damaged).unwrap();
        keys.refresh();
        assert!(shop.admit(&paid_get(&credential)).await.is_ok());
    }
    fs::remove_file(&path).unwrap();
    keys.refresh();
    assert!(shop.admit(&paid_get(&credential)).await.is_ok());
    assert!(!path.exists(), "a missing key is not made up for");
}

#[test]
fn a_change_of_the_key_file_is_in_force_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let keys = LiveKeyRing::open(&path).unwrap();
    let before = minting_key(&keys);

    file::rotate(&path, NOON).unwrap();

    let deadline = Instant::now() + Duration::from_secs(1);
    while minting_key(&keys) == before {
        assert!(Instant::now() < deadline, "not in force after a second");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_token_revoked_by_another_process_is_refused_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = || SqliteLedger::open(&path).unwrap();
    let gateways = [
        Shop::with(Arc::new(ledger()), settings()).await,
        Shop::with(Arc::new(ledger()), settings()).await,
    ];
    let other = paid_get(&gateways[0].buy().await);
    let credential = gateways[0].buy().await;
    let revoked = paid_get(&credential);

    let third = ledger();
    let revocation = Revocation::Token(token_id(&credential));
    third.revoke(revocation).await.unwrap();
    drop(third);

    let deadline = Instant::now() + Duration::from_secs(1);
    for gateway in &gateways {
        while gateway.admit(&revoked).await.is_ok() {
            assert!(Instant::now() < deadline, "honoured after a second");
            tokio::task::yield_now().await;
        }
        let reason = gateway.reason(&revoked).await;
        assert_eq!(reason, Reason::Denied(Denial::Revoked));
        assert!(gateway.admit(&other).await.is_ok());
    }
}

#[tokio::test]
async fn a_token_with_a_stored_key_is_honoured_beside_those_of_the_ring() {
    let store = Arc::new(OneKey::default());
    let shop = Shop::with_keys(StoredKeys::new(ring(1), Arc::clone(&store) as _, 8)).await;
    let minted = shop.buy().await;
    assert!(shop.admit(&paid_get(&minted)).await.is_ok());
    assert_eq!(store.lookups(), 0, "the ring knows its tokens");

    let stored = stored_token(&store.key, [3; 32]);
    for _ in 0..3 {
        shop.admit(&paid_get(&stored)).await.unwrap();
    }
    assert_eq!(store.lookups(), 1);

    let forged = stored_token(&RootKey::new([8; 32]), [3; 32]);
    let reason = shop.reason(&paid_get(&forged)).await;
    assert_eq!(reason, Reason::Denied(Denial::Forged));
}

#[tokio::test]
async fn nothing_is_looked_up_for_a_token_that_is_not_paid_for() {
    let store = Arc::new(OneKey::default());
    let shop = Shop::with_keys(StoredKeys::new(ring(1), Arc::clone(&store) as _, 8)).await;
    let stored = stored_token(&store.key, [3; 32]);
    let unpaid = Credential::new(stored.macaroon().clone(), Preimage::new([4; 32]));

    assert!(shop.admit(&paid_get(&unpaid)).await.is_err());

    assert_eq!(store.lookups(), 0);
}

#[tokio::test]
async fn a_key_store_that_is_down_is_our_failure() {
    let store = Arc::new(OneKey {
        is_down: true,
        ..OneKey::default()
    });
    let shop = Shop::with_keys(StoredKeys::new(ring(1), Arc::clone(&store) as _, 8)).await;
    let stored = stored_token(&store.key, [3; 32]);

    let rejection = shop.admit(&paid_get(&stored)).await.unwrap_err();

    assert!(
        matches!(rejection, Rejection::Unavailable(Outage::KeyStore(_))),
        "{rejection:?}"
    );
    assert!(shop.admit(&paid_get(&shop.buy().await)).await.is_ok());
}

/// A store with one key for all tokens.
#[derive(Debug)]
struct OneKey {
    key: RootKey,
    is_down: bool,
    lookups: AtomicUsize,
}

impl Default for OneKey {
    fn default() -> Self {
        Self {
            key: RootKey::new([9; 32]),
            is_down: false,
            lookups: AtomicUsize::new(0),
        }
    }
}

impl OneKey {
    fn lookups(&self) -> usize {
        self.lookups.load(Ordering::Relaxed)
    }
}

impl KeyStore for OneKey {
    fn find<'a>(
        &'a self,
        _: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<ApertureKey>, KeyStoreError>> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let error = || KeyStoreError::Store(Arc::new(std::io::Error::other("no route to host")));
        let found = if self.is_down {
            Err(error())
        } else {
            Ok(Some(ApertureKey::new(self.key.clone())))
        };
        Box::pin(future::ready(found))
    }
}

/// A paid token for `weather`, as Aperture mints it.
fn stored_token(key: &RootKey, preimage: [u8; 32]) -> Credential {
    let preimage = Preimage::new(preimage);
    let payment_hash: PaymentHash = preimage.payment_hash();
    let identifier = Identifier {
        payment_hash,
        token_id: TokenId::new([0xff; 32]),
    };
    let token = Macaroon::mint(key, "lsat", &identifier.to_bytes()).unwrap();
    let token = token.with_caveat(b"services=weather:0").unwrap();
    Credential::new(token, preimage)
}

/// The id of the key that minted a token.
fn key_of(credential: &Credential) -> [u8; 4] {
    let [a, b, c, d, ..] = *token_id(credential).as_bytes();
    [a, b, c, d]
}

fn minting_key(keys: &dyn KeySource) -> TokenId {
    keys.ring().token_id(NOON, [0; 20])
}
