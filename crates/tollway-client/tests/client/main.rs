//! The dangers of buying, each as a test: real sockets, a scripted seller, a scripted wallet.
//!
//! The wallet is a double on purpose: it does on command what a real one does once in a
//! million payments. Real wallets pass the contract tests of `tollway-lightning`.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test helpers fail by panicking"
)]

mod crashes;
mod credentials;
mod doubt;
mod limits;
mod lost_book;
mod purchases;
mod races;
mod shop;
mod time;
mod uses;
mod wallet;
mod wire;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use l402::{Limits, Msat, UnixSeconds};
use tokio::task::JoinHandle;
use tollway_client::{
    Body, Client, ClientBuilder, Error, Event, Pauses, Policy, ResponseBody, WalletName,
};

use shop::Shop;
use wallet::FakeWallet;

/// The moment all clocks stand at unless a test moves them.
const NOON: UnixSeconds = UnixSeconds::new(20_000 * 86_400 + 43_200);

/// A seller, a buyer's wallet and a buyer's directory.
struct World {
    shop: Shop,
    wallet: Arc<FakeWallet>,
    dir: tempfile::TempDir,
    now: Arc<AtomicU64>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl World {
    async fn new() -> Self {
        let shop = Shop::open().await;
        Self {
            wallet: Arc::new(FakeWallet::new(shop.preimages())),
            shop,
            dir: tempfile::tempdir().unwrap(),
            now: Arc::new(AtomicU64::new(NOON.as_secs())),
            events: Arc::default(),
        }
    }

    /// A buyer after a fresh start, with nothing but the directory.
    fn client(&self) -> Client {
        self.client_with(policy())
    }

    fn client_with(&self, policy: Policy) -> Client {
        self.builder(policy).build()
    }

    fn builder(&self, policy: Policy) -> ClientBuilder {
        let (now, events) = (Arc::clone(&self.now), Arc::clone(&self.events));
        Client::builder(self.path(), policy)
            .wallet(self.wallet.clone(), WalletName::new("fake:buyer"))
            .clock(move || UnixSeconds::new(now.load(Ordering::SeqCst)))
            .observe(move |event| events.lock().unwrap().push(event.clone()))
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn wait_secs(&self, secs: u64) {
        self.now.fetch_add(secs, Ordering::SeqCst);
    }

    fn get(&self, path: &str) -> Request<Body> {
        Request::get(self.shop.url(path))
            .body(Body::empty())
            .unwrap()
    }

    /// Sends a request in a task of its own.
    fn send(&self, client: &Client, path: &str) -> JoinHandle<Sent> {
        let (client, request) = (client.clone(), self.get(path));
        tokio::spawn(async move { client.send(request).await })
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

/// Up to 100 sat for one request and 2 sat for routing it.
fn policy() -> Policy {
    policy_with(limits())
}

/// No pause before a second presentation: the wallet of these tests is as fast as its clock.
fn policy_with(limits: Limits) -> Policy {
    Policy {
        pauses: Pauses {
            settlement: Duration::ZERO,
            first_response: Duration::from_secs(60),
        },
        ..Policy::new(limits)
    }
}

fn limits() -> Limits {
    Limits {
        price_max: sat(100),
        fee_max: sat(2),
        per_host: None,
        per_day: None,
        total: None,
    }
}

fn sat(amount: u64) -> Msat {
    Msat::from_sat(amount).unwrap()
}

type Sent = Result<Response<ResponseBody>, Error>;

async fn text(response: Sent) -> String {
    let body = response.unwrap().into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}
