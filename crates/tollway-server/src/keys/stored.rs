//! Root keys that are stored one by one, cached.
//!
//! Strangers can present any number of tokens that were never sold here, each of which has to
//! be looked up. Three bounds keep that away from the store: one look-up at a time for one
//! token, a bounded number of look-ups at a time for all, and two caches of fixed size, one for
//! keys that were found and one for those that were not, so that the latter cannot displace the
//! former. What was not found is forgotten after a while: another process may have sold it.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use l402::ApertureKey;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use super::{KeySource, RingRef};

/// Finds stored root keys. Implemented by databases; see [`StoredKeys`].
pub trait KeyStore: Debug + Send + Sync {
    /// Returns the key a token was minted under; `None` when the store has none for it.
    ///
    /// # Errors
    ///
    /// [`KeyStoreError`] when that cannot be found out.
    fn find<'a>(
        &'a self,
        identifier: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<ApertureKey>, KeyStoreError>>;
}

/// Why a stored key could not be looked up. Our failure, never the client's.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreError {
    /// As many look-ups as allowed are running.
    #[error("{LOOKUPS_MAX} keys are being looked up; the store is too slow")]
    Busy,
    /// The store failed.
    #[error("the key store failed")]
    Store(#[source] Arc<dyn Error + Send + Sync>),
}

/// A source of keys that adds those of a [`KeyStore`] to a ring.
pub struct StoredKeys<R> {
    ring: R,
    store: Arc<dyn KeyStore>,
    cache: Mutex<Cache>,
    lookups: Semaphore,
}

impl<R: KeySource> StoredKeys<R> {
    /// Creates a source that mints with the ring of `ring` and verifies with `store` as well.
    ///
    /// Keeps at most `keys_max` keys, and as many tokens that have none.
    #[must_use]
    pub fn new(ring: R, store: Arc<dyn KeyStore>, keys_max: usize) -> Self {
        Self {
            ring,
            store,
            cache: Mutex::new(Cache {
                found: Bounded::new(keys_max),
                missing: Bounded::new(keys_max),
                running: HashMap::new(),
            }),
            lookups: Semaphore::new(LOOKUPS_MAX),
        }
    }

    async fn look_up(&self, identifier: &[u8]) -> Result<Option<ApertureKey>, KeyStoreError> {
        let running = match self.cache().get(identifier) {
            Cached::Known(key) => return Ok(key),
            Cached::Running(running) => running,
        };
        let flight = Flight {
            cache: &self.cache,
            identifier,
        };
        let found = running.get_or_try_init(|| self.ask(identifier)).await;
        let found = found.cloned();
        if let Ok(key) = &found {
            self.cache().keep(identifier, key.clone());
        }
        drop(flight);
        found
    }

    async fn ask(&self, identifier: &[u8]) -> Result<Option<ApertureKey>, KeyStoreError> {
        let _room = self
            .lookups
            .try_acquire()
            .map_err(|_| KeyStoreError::Busy)?;
        self.store.find(identifier).await
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        lock(&self.cache)
    }
}

impl<R: KeySource> KeySource for StoredKeys<R> {
    fn ring(&self) -> RingRef<'_> {
        self.ring.ring()
    }

    fn has_stored_keys(&self) -> bool {
        true
    }

    fn stored<'a>(
        &'a self,
        identifier: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<ApertureKey>, KeyStoreError>> {
        Box::pin(self.look_up(identifier))
    }
}

impl<R: Debug> Debug for StoredKeys<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKeys")
            .field("ring", &self.ring)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A look-up that several requests wait for. An error is not kept: the next one asks again.
type Running = Arc<OnceCell<Option<ApertureKey>>>;

struct Cache {
    found: Bounded<ApertureKey>,
    missing: Bounded<Instant>,
    running: HashMap<Box<[u8]>, Running>,
}

enum Cached {
    Known(Option<ApertureKey>),
    Running(Running),
}

impl Cache {
    fn get(&mut self, identifier: &[u8]) -> Cached {
        if let Some(key) = self.found.get(identifier) {
            return Cached::Known(Some(key.clone()));
        }
        let missing = self.missing.get(identifier);
        if missing.is_some_and(|since| since.elapsed() < MISSING_FOR) {
            return Cached::Known(None);
        }
        let running = self.running.entry(identifier.into()).or_default();
        Cached::Running(Arc::clone(running))
    }

    fn keep(&mut self, identifier: &[u8], key: Option<ApertureKey>) {
        match key {
            Some(key) => self.found.insert(identifier, key),
            None => self.missing.insert(identifier, Instant::now()),
        }
    }
}

/// One request's share in a look-up. The last one to leave ends it, also when it is cancelled.
struct Flight<'a> {
    cache: &'a Mutex<Cache>,
    identifier: &'a [u8],
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut cache = lock(self.cache);
        // One count is the map's, one that of the request that leaves.
        let is_last = cache
            .running
            .get(self.identifier)
            .is_some_and(|running| Arc::strong_count(running) <= 2);
        if is_last {
            cache.running.remove(self.identifier);
        }
    }
}

/// A map of bounded size that forgets what was inserted first.
struct Bounded<V> {
    map: HashMap<Box<[u8]>, V>,
    order: VecDeque<Box<[u8]>>,
    max: usize,
}

impl<V> Bounded<V> {
    fn new(max: usize) -> Self {
        Self {
            map: HashMap::new(),
            order: VecDeque::new(),
            max,
        }
    }

    fn get(&self, key: &[u8]) -> Option<&V> {
        self.map.get(key)
    }

    fn insert(&mut self, key: &[u8], value: V) {
        if self.map.insert(key.into(), value).is_none() {
            self.order.push_back(key.into());
        }
        while self.order.len() > self.max {
            if let Some(oldest) = self.order.pop_front() {
                self.map.remove(&oldest);
            }
        }
    }
}

/// Every change under this lock is a single step, so a poisoned one guards a whole value.
fn lock(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Look-ups at a time.
const LOOKUPS_MAX: usize = 32;
/// How long a token that is not in the store is not looked up again.
const MISSING_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future;
    use l402::{KeyRing, MasterKey, RootKey};
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_key_is_looked_up_once() {
        let (keys, store) = keys(8);

        for _ in 0..3 {
            assert!(keys.stored(b"known").await.unwrap().is_some());
            assert!(keys.stored(b"other").await.unwrap().is_none());
        }

        assert_eq!(store.lookups.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn requests_for_one_token_share_a_look_up() {
        let (keys, store) = keys(8);
        store.gate_open.store(0, Ordering::Relaxed);

        let both = future::join(keys.stored(b"known"), keys.stored(b"known"));
        let open = async {
            tokio::task::yield_now().await;
            store.open();
        };
        let ((first, second), ()) = future::join(both, open).await;

        assert!(first.unwrap().is_some() && second.unwrap().is_some());
        assert_eq!(store.lookups.load(Ordering::Relaxed), 1);
        assert!(keys.cache().running.is_empty());
    }

    #[tokio::test]
    async fn a_look_up_that_is_given_up_leaves_nothing_behind() {
        let (keys, store) = keys(8);
        store.gate_open.store(0, Ordering::Relaxed);
        let mut given_up = keys.stored(b"known");
        assert!(futures_util::poll!(&mut given_up).is_pending());

        drop(given_up);

        assert!(keys.cache().running.is_empty());
        store.open();
        assert!(keys.stored(b"known").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn more_look_ups_than_allowed_are_our_failure() {
        let (keys, store) = keys(8);
        store.gate_open.store(0, Ordering::Relaxed);
        let names: Vec<_> = (0..LOOKUPS_MAX).map(|name| name.to_be_bytes()).collect();
        let mut running: Vec<_> = names.iter().map(|name| keys.stored(name)).collect();
        for lookup in &mut running {
            assert!(futures_util::poll!(lookup).is_pending());
        }

        let one_more = keys.stored(b"known").await;

        assert!(matches!(one_more, Err(KeyStoreError::Busy)));
        drop(running);
        store.open();
        assert!(keys.stored(b"known").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn strangers_do_not_displace_the_keys_that_were_found() {
        let (keys, store) = keys(8);
        keys.stored(b"known").await.unwrap();

        for name in 0..100_u32 {
            keys.stored(&name.to_be_bytes()).await.unwrap();
        }

        let lookups = store.lookups.load(Ordering::Relaxed);
        assert!(keys.stored(b"known").await.unwrap().is_some());
        assert_eq!(store.lookups.load(Ordering::Relaxed), lookups);
        assert_eq!(keys.cache().missing.map.len(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_was_not_known_may_be_known_later() {
        let (keys, store) = keys(8);
        keys.stored(b"other").await.unwrap();

        tokio::time::advance(MISSING_FOR).await;
        keys.stored(b"other").await.unwrap();

        assert_eq!(store.lookups.load(Ordering::Relaxed), 2);
    }

    /// A store with one key that responds when it is open.
    #[derive(Debug, Default)]
    struct OneKey {
        lookups: AtomicUsize,
        gate_open: AtomicUsize,
        opened: Notify,
    }

    impl OneKey {
        fn open(&self) {
            self.gate_open.store(1, Ordering::Relaxed);
            self.opened.notify_waiters();
        }
    }

    impl KeyStore for OneKey {
        fn find<'a>(
            &'a self,
            identifier: &'a [u8],
        ) -> BoxFuture<'a, Result<Option<ApertureKey>, KeyStoreError>> {
            self.lookups.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                if self.gate_open.load(Ordering::Relaxed) == 0 {
                    self.opened.notified().await;
                }
                let key = ApertureKey::new(RootKey::new([1; 32]));
                Ok((identifier == b"known").then_some(key))
            })
        }
    }

    fn keys(keys_max: usize) -> (StoredKeys<KeyRing>, Arc<OneKey>) {
        let store = Arc::new(OneKey::default());
        store.open();
        let ring = KeyRing::new(MasterKey::new([1; 32]));
        let keys = StoredKeys::new(ring, Arc::clone(&store) as _, keys_max);
        (keys, store)
    }
}
