//! The paying client: its parts and how it is made.
//!
//! The rules of buying are elsewhere: [`decide`](crate::decide) chooses the next step of a
//! request, [`l402::step`] the next state of a purchase, the [`Policy`] and the book what may
//! be paid.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use l402::UnixSeconds;
use tokio_util::task::TaskTracker;
use tollway_lightning::Payer;

use crate::body::Body;
use crate::book::{Book, WalletName};
use crate::delivery::{Confirmation, Delivery};
use crate::error::{Error, StorageError};
use crate::event::Event;
use crate::policy::{Approve, KillSwitch, Policy};
use crate::response::ResponseBody;
use crate::transport::{Connections, Transport};

mod answer;
mod bought;
mod buy;
mod call;
mod checks;
mod exchange;
mod pay;
mod progress;
mod proof;
mod refused;
mod resume;
mod send;
mod single_flight;
mod start;
mod wait;
mod wallet;

pub use resume::Resumed;
pub(crate) use wallet::WalletFacts;

use call::Call;
use single_flight::SingleFlight;
use wallet::Wallet;

/// An HTTP client that pays when it is asked to and allowed to. Clones are one client.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use tollway_client::{Body, Client, Policy, WalletName};
/// # async fn example(wallet: Arc<dyn tollway_lightning::Payer>) -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("/home/me/.tollway", Policy::default())
///     .wallet(wallet, WalletName::new("sandbox:buyer"))
///     .build();
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
    book: Book,
    dir: PathBuf,
    wallet: Option<Arc<Wallet>>,
    policy: Policy,
    approve: Option<Arc<dyn Approve>>,
    observer: Option<Observer>,
    kill_switch: KillSwitch,
    flights: SingleFlight,
    confirmation: Confirmation,
    /// Owns the purchases that are being made; see [`Client::finish`].
    tasks: TaskTracker,
    clock: Clock,
}

type Observer = Arc<dyn Fn(&Event) + Send + Sync>;
type Clock = Arc<dyn Fn() -> UnixSeconds + Send + Sync>;

impl Client {
    /// Starts a client that keeps its book in `dir` and obeys `policy`.
    #[must_use]
    pub fn builder(dir: impl Into<PathBuf>, policy: Policy) -> ClientBuilder {
        ClientBuilder {
            dir: dir.into(),
            book: None,
            policy,
            wallet: None,
            approve: None,
            observer: None,
            connections: Connections::default(),
            stop_file: None,
            confirmation: Confirmation::AtEnd,
            clock: Arc::new(system_clock),
        }
    }

    /// Sends a request; if the server asks to be paid and the policy allows it, pays and
    /// sends it once more with the credential. Returns when the head of the response has
    /// arrived; the body streams, within the time limits of [`Connections`].
    ///
    /// A stored credential is presented first. One that is refused is not presented for the
    /// same thing for a while, and at most one payment is made for one call, whatever the
    /// server returns and wherever it redirects. A request that brings its own L402 credential
    /// is sent as it is and never paid for.
    ///
    /// Dropping the future abandons the response but not a payment: that runs in a task of
    /// its own to its end, and the credential is kept. See [`finish`](Self::finish).
    ///
    /// A use of a credential that counts them is delivered when the body of its response has been
    /// read to its end. One that may have been taken and was not delivered is not replaced by a
    /// purchase unless [`AfterRefusal::BuyAgain`](crate::AfterRefusal::BuyAgain) allows it.
    ///
    /// # Errors
    ///
    /// [`Error`], sorted by what to do next. Money has moved where [`Error::receipt`] returns
    /// something, and may have moved for [`Error::PaymentUnknown`].
    pub async fn send(&self, request: Request<Body>) -> Result<Response<ResponseBody>, Error> {
        let deadline = self.inner.transport.deadline();
        let delivery = self.inner.new_delivery();
        let mut call = Call::new(request, deadline, delivery)?;
        let sent = match deadline {
            None => self.inner.send(&mut call).await,
            Some(deadline) => {
                let sent = tokio::time::timeout_at(deadline.at, self.inner.send(&mut call)).await;
                sent.unwrap_or_else(|_elapsed| Err(call.out_of_time(&deadline)))
            }
        };
        if sent.is_err()
            && let Some(written) = call.delivery.end_lost()
        {
            // Failing to leaves the marks, which means the same.
            let _ = written.await;
        }
        sent
    }

    /// Looks up every purchase that was cut off, and keeps what was paid for. Call it at
    /// start. Never pays; takes a few seconds when the wallet does not know a payment.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]. A wallet that cannot be asked is no error: the purchase stays open.
    pub async fn resume(&self) -> Result<Vec<Resumed>, Error> {
        self.inner.resume().await
    }

    /// Waits until every purchase that is being made has ended, those of dropped calls
    /// included.
    ///
    /// A runtime that shuts down earlier cuts them off; nothing is lost then, but the
    /// outcome is known only after the next look-up.
    pub async fn finish(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.tasks.reopen();
    }

    /// Returns the purchases and credentials. Its calls wait for the disk.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.inner.book
    }

    /// Returns the switch that stops all spending.
    #[must_use]
    pub fn kill_switch(&self) -> KillSwitch {
        self.inner.kill_switch.clone()
    }
}

impl Inner {
    /// Runs work that waits for the disk on a thread of its own, and emits
    /// [`Event::BookBusy`] when that takes long.
    async fn with_book<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Book) -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let book = self.book.clone();
        let mut done = tokio::task::spawn_blocking(move || work(&book));
        let joined = match tokio::time::timeout(BOOK_BUSY_AFTER, &mut done).await {
            Ok(joined) => joined,
            Err(_elapsed) => {
                if let Some(file) = self.book.file() {
                    let file = file.to_owned();
                    self.emit(&Event::BookBusy { file });
                }
                done.await
            }
        };
        joined.map_err(|_shutting_down| StorageError::Interrupted)
    }

    fn new_delivery(&self) -> Delivery {
        Delivery::new(self.book.clone(), self.tasks.clone(), self.confirmation)
    }

    fn now(&self) -> UnixSeconds {
        (self.clock)()
    }

    fn emit(&self, event: &Event) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }
}

/// Makes a [`Client`].
pub struct ClientBuilder {
    dir: PathBuf,
    book: Option<Book>,
    policy: Policy,
    wallet: Option<Arc<Wallet>>,
    approve: Option<Arc<dyn Approve>>,
    observer: Option<Observer>,
    connections: Connections,
    stop_file: Option<PathBuf>,
    confirmation: Confirmation,
    clock: Clock,
}

impl ClientBuilder {
    /// Pays from this wallet. `name` is what a person calls it; which wallet it is, is decided
    /// by its [identity](tollway_lightning::Payer::identity).
    #[must_use]
    pub fn wallet(mut self, payer: Arc<dyn Payer>, name: WalletName) -> Self {
        self.wallet = Some(Arc::new(Wallet::new(payer, name)));
        self
    }

    /// Asks for approval before each purchase.
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

    /// Stops spending while this file exists too, besides `stop` in the client's directory.
    #[must_use]
    pub fn stop_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.stop_file = Some(file.into());
        self
    }

    /// Leaves it to the caller to confirm that a response was delivered, with what
    /// [`ResponseBody::take_delivery`] returns: a body that has arrived may still have to be
    /// written somewhere. Otherwise it counts as delivered when it has been read to its end.
    #[must_use]
    pub const fn confirm_deliveries(mut self) -> Self {
        self.confirmation = Confirmation::ByCaller;
        self
    }

    /// Reads the time from `clock` instead of the system.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> UnixSeconds + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Keeps purchases and credentials in `book` instead of the directory.
    #[must_use]
    pub fn book(mut self, book: Book) -> Self {
        self.book = Some(book);
        self
    }

    /// Makes the client. The book's file is opened when it is first needed.
    #[must_use]
    pub fn build(self) -> Client {
        let inner = Inner {
            transport: Transport::new(self.connections),
            book: self.book.unwrap_or_else(|| Book::open(&self.dir)),
            kill_switch: KillSwitch::new(self.dir.join(STOP_FILE), self.stop_file),
            dir: self.dir,
            wallet: self.wallet,
            policy: self.policy,
            approve: self.approve,
            observer: self.observer,
            flights: SingleFlight::default(),
            confirmation: self.confirmation,
            tasks: TaskTracker::new(),
            clock: self.clock,
        };
        Client {
            inner: Arc::new(inner),
        }
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

/// How long the book may take before [`Event::BookBusy`].
const BOOK_BUSY_AFTER: Duration = Duration::from_secs(1);
