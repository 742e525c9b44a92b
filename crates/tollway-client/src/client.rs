//! The paying client: what it is made of and how it is made.
//!
//! The rules of buying are elsewhere: what may be paid is decided by `l402::Purchases` and
//! by the [`Policy`], what may be forgotten by the journal. This module owns the parts.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use http::{Request, Response};
use hyper::body::Incoming;
use l402::UnixSeconds;
use tokio_util::task::TaskTracker;
use tollway_lightning::Payer;

use crate::body::Body;
use crate::error::{Error, StorageError};
use crate::event::Event;
use crate::journal::{Journal, WalletName};
use crate::policy::{Approve, KillSwitch, Policy};
use crate::resume::Resumed;
use crate::store::Store;
use crate::transport::{Connections, Transport};

mod answer;
mod buy;
mod call;
mod exchange;
mod flight;
mod purchase;
pub(crate) mod wallet;

use call::Call;
use flight::Flights;
use wallet::Wallet;

/// An HTTP client that pays when it is asked to and allowed to. Clones are one client.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use l402::{Limits, Msat};
/// # use tollway_client::{Body, Client, Policy, journal::WalletName};
/// # async fn example(wallet: Arc<dyn tollway_lightning::Payer>) -> Result<(), Box<dyn std::error::Error>> {
/// let limits = Limits {
///     price_max: "100 sat".parse()?,
///     fee_max: "10 sat".parse()?,
///     per_host: None,
///     per_day: Some("1000 sat".parse()?),
///     total: None,
/// };
/// let client = Client::builder("/home/me/.tollway", Policy::new(limits))
///     .wallet(wallet, WalletName::new("sandbox:buyer"))
///     .build()?;
/// let request = http::Request::get("http://127.0.0.1:8402/weather").body(Body::empty())?;
/// let response = client.send(request).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    transport: Transport,
    pub(crate) store: Store,
    journal: OnceLock<Journal>,
    dir: PathBuf,
    pub(crate) wallet: Option<Arc<Wallet>>,
    pub(crate) policy: Policy,
    approve: Option<Arc<dyn Approve>>,
    observer: Option<Observer>,
    kill_switch: KillSwitch,
    flights: Flights,
    /// Owns the purchases under way; see [`Client::finish`].
    purchases: TaskTracker,
    clock: Clock,
}

type Observer = Arc<dyn Fn(&Event) + Send + Sync>;
type Clock = Arc<dyn Fn() -> UnixSeconds + Send + Sync>;

impl Client {
    /// A client that keeps its journal and its credentials in `dir` and obeys `policy`.
    #[must_use]
    pub fn builder(dir: impl Into<PathBuf>, policy: Policy) -> ClientBuilder {
        ClientBuilder {
            dir: dir.into(),
            policy,
            wallet: None,
            approve: None,
            observer: None,
            connections: Connections::default(),
            clock: Arc::new(system_clock),
        }
    }

    /// Sends a request; if the server asks to be paid and the policy allows it, pays and
    /// sends it once more with the credential. Answers when the head of the response is
    /// there; the body streams.
    ///
    /// A credential in the store is tried first. One that is refused is not tried at that
    /// path again, and at most one payment is made for one call, whatever the server
    /// answers and wherever it redirects. A request that brings its own L402 credential is
    /// sent as it is and never paid for.
    ///
    /// Dropping the future abandons the response but not a payment: that runs in a task of
    /// its own to its end, and the credential is kept. See [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// [`Error`], sorted by what to do next. Only [`Error::MoneyInDoubt`],
    /// [`Error::PaidButRefused`] and [`Error::PaidButUndelivered`] mean that money moved or
    /// may have.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        self.inner.send(Call::new(request)?).await
    }

    /// Finds out what became of every purchase that was cut off, and keeps what was paid
    /// for. Call it at start. Never pays.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]. A wallet that cannot be asked is no error: the purchase stays open.
    pub async fn resume(&self) -> Result<Vec<Resumed>, Error> {
        self.inner.resume(|_order| true).await
    }

    /// Waits until every purchase under way has ended, those of dropped calls included.
    ///
    /// A runtime that shuts down earlier cuts them off; nothing is lost then, but the
    /// outcome is known only after the next [`resume`](Self::resume).
    pub async fn finish(&self) {
        self.inner.purchases.close();
        self.inner.purchases.wait().await;
        self.inner.purchases.reopen();
    }

    /// The credentials kept.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The purchases made and being made.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the journal cannot be opened.
    pub fn journal(&self) -> Result<Journal, StorageError> {
        self.inner.journal()
    }

    /// Stops all spending; see [`KillSwitch`].
    #[must_use]
    pub fn kill_switch(&self) -> KillSwitch {
        self.inner.kill_switch.clone()
    }
}

impl Inner {
    /// Opened when first needed: a request whose credential is in the store needs none.
    pub(crate) fn journal(&self) -> Result<Journal, StorageError> {
        if let Some(journal) = self.journal.get() {
            return Ok(journal.clone());
        }
        let journal = Journal::open(&self.dir)?;
        Ok(self.journal.get_or_init(|| journal).clone())
    }

    pub(crate) fn now(&self) -> UnixSeconds {
        (self.clock)()
    }

    pub(crate) fn tell(&self, event: &Event) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }
}

/// Makes a [`Client`].
pub struct ClientBuilder {
    dir: PathBuf,
    policy: Policy,
    wallet: Option<Arc<Wallet>>,
    approve: Option<Arc<dyn Approve>>,
    observer: Option<Observer>,
    connections: Connections,
    clock: Clock,
}

impl ClientBuilder {
    /// Pays from this wallet. `name` must mean the same wallet in every process that shares
    /// the directory: by it, open purchases find the wallet that can look them up.
    #[must_use]
    pub fn wallet(mut self, payer: Arc<dyn Payer>, name: WalletName) -> Self {
        self.wallet = Some(Arc::new(Wallet::new(payer, name)));
        self
    }

    /// Asks before each purchase.
    #[must_use]
    pub fn approve(mut self, approve: Arc<dyn Approve>) -> Self {
        self.approve = Some(approve);
        self
    }

    /// Calls `observer` at each step, on the task that takes it. It should return at once.
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Makes connections like this.
    #[must_use]
    pub fn connections(mut self, connections: Connections) -> Self {
        self.connections = connections;
        self
    }

    /// Reads the time from `clock` instead of the system.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> UnixSeconds + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Opens the data directory.
    ///
    /// # Errors
    ///
    /// [`StorageError::Store`] when it cannot be used.
    pub fn build(self) -> Result<Client, StorageError> {
        let inner = Inner {
            transport: Transport::new(self.connections),
            store: Store::open(&self.dir)?,
            journal: OnceLock::new(),
            kill_switch: KillSwitch::new(self.dir.join(STOP_FILE)),
            dir: self.dir,
            wallet: self.wallet,
            policy: self.policy,
            approve: self.approve,
            observer: self.observer,
            flights: Flights::default(),
            purchases: TaskTracker::new(),
            clock: self.clock,
        };
        Ok(Client {
            inner: Arc::new(inner),
        })
    }
}

/// Runs work that waits for the disk where it holds nothing else up.
pub(crate) async fn on_disk<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, StorageError>
where
    T: Send + 'static,
    E: Send + 'static,
    StorageError: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_shutting_down) => Err(StorageError::Interrupted),
    }
}

fn system_clock() -> UnixSeconds {
    // A clock set before 1970 reads as 1970: every invoice is then long unexpired, and the
    // wallet, which has its own clock, refuses.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    UnixSeconds::new(since.map_or(0, |since| since.as_secs()))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("dir", &self.inner.dir)
            .field(
                "wallet",
                &self.inner.wallet.as_ref().map(|wallet| wallet.name()),
            )
            .field("policy", &self.inner.policy)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("dir", &self.dir)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

const STOP_FILE: &str = "stop";
