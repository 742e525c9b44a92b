//! Paying customers: few, patient, and served whatever else happens.
//!
//! Each sends its next request a moment after the last response. A request counts for the phase in
//! which it began. It fails when it has no complete 200 in time; a connection that was closed
//! before the request was sent on it is replaced, as every client does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::Target;
use super::socket::Side;
use super::tls::Tls;
use crate::latency::{Latencies, Percentiles};

/// The phases of a siege.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Before,
    During,
    After,
    /// No request begins any more.
    Closed,
}

impl Phase {
    const COUNTED: [(Self, &'static str); 3] = [
        (Self::Before, "before"),
        (Self::During, "during"),
        (Self::After, "after"),
    ];

    const fn number(self) -> u8 {
        match self {
            Self::Before => 0,
            Self::During => 1,
            Self::After => 2,
            Self::Closed => 3,
        }
    }
}

/// The figures of one phase.
#[derive(Debug, Serialize)]
pub(super) struct PhaseFigures {
    name: &'static str,
    requests: usize,
    /// Why requests failed, and how many.
    failures: BTreeMap<String, usize>,
    #[serde(flatten)]
    latency: Percentiles,
    max_us: u128,
}

/// Running customers.
pub(super) struct Customers {
    phase: Arc<AtomicU8>,
    tasks: JoinSet<Vec<Exchange>>,
}

/// One request of a customer.
struct Exchange {
    phase: u8,
    taken: Duration,
    failure: Option<String>,
}

/// How a customer connects.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One HTTP/1.1 connection.
    Http1,
    /// One HTTP/1.1 connection per request.
    Http1Fresh,
    /// One HTTP/2 connection.
    Http2,
    /// The same for gRPC calls.
    Grpc,
    /// One HTTP/1.1 connection with TLS per request.
    HttpsFresh,
    /// One HTTP/2 connection with TLS.
    Https2,
}

impl Customers {
    /// Lets them begin.
    ///
    /// # Errors
    ///
    /// When the certificate of the proxy cannot be read.
    pub(super) fn open(target: &Arc<Target>, grpc: bool) -> Result<Self> {
        let [http1, http2] =
            ["http/1.1", "h2"].map(|protocol| Tls::new(&target.certificate, protocol));
        let tls = Arc::new([http1?, http2?]);
        let phase = Arc::new(AtomicU8::new(Phase::Before.number()));
        let mut tasks = JoinSet::new();
        let mut kinds = vec![Kind::Http1, Kind::Http1, Kind::Http1Fresh, Kind::Http2];
        kinds.extend([Kind::HttpsFresh, Kind::Https2]);
        if grpc {
            kinds.extend([Kind::Grpc, Kind::Grpc]);
        }
        for kind in kinds {
            let (target, phase) = (Arc::clone(target), Arc::clone(&phase));
            let tls = Arc::clone(&tls);
            tasks.spawn(async move {
                let [http1, http2] = &*tls;
                let customer = Customer {
                    kind,
                    target: &target,
                    http1,
                    http2,
                };
                keep_asking(&customer, &phase).await
            });
        }
        Ok(Self { phase, tasks })
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase.number(), Ordering::Relaxed);
    }

    /// Waits for the last responses and returns the figures.
    ///
    /// # Errors
    ///
    /// When there was no request in a phase.
    pub(super) async fn close(mut self) -> Result<Vec<PhaseFigures>> {
        self.enter(Phase::Closed);
        let mut exchanges = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            exchanges.extend(ended?);
        }
        Phase::COUNTED
            .iter()
            .map(|(phase, name)| {
                figures(
                    name,
                    exchanges
                        .iter()
                        .filter(|exchange| exchange.phase == phase.number()),
                )
            })
            .collect()
    }
}

fn figures<'a>(
    name: &'static str,
    exchanges: impl Iterator<Item = &'a Exchange>,
) -> Result<PhaseFigures> {
    let mut latencies = Latencies::default();
    let mut failures = BTreeMap::new();
    let mut max = Duration::ZERO;
    for exchange in exchanges {
        latencies.add(exchange.taken);
        max = max.max(exchange.taken);
        if let Some(failure) = &exchange.failure {
            let times: &mut usize = failures.entry(failure.clone()).or_default();
            *times = times.saturating_add(1);
        }
    }
    let requests = latencies.count();
    ensure!(requests > 0, "no customer came {name} the attack");
    Ok(PhaseFigures {
        name,
        requests,
        failures,
        latency: latencies.percentiles(),
        max_us: max.as_micros(),
    })
}

async fn keep_asking(customer: &Customer<'_>, phase: &AtomicU8) -> Vec<Exchange> {
    let kind = customer.kind;
    let mut exchanges = Vec::new();
    let mut connection = None;
    loop {
        let number = phase.load(Ordering::Relaxed);
        if number == Phase::Closed.number() {
            return exchanges;
        }
        let begun = Instant::now();
        let served = timeout(PATIENCE, exchange(customer, &mut connection)).await;
        let failure = match served {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{kind:?}: {error:#}")),
            Err(_) => Some(format!("{kind:?}: not within {} s", PATIENCE.as_secs())),
        };
        if failure.is_some() || matches!(kind, Kind::Http1Fresh | Kind::HttpsFresh) {
            connection = None;
        }
        exchanges.push(Exchange {
            phase: number,
            taken: begun.elapsed(),
            failure,
        });
        sleep(PAUSE).await;
    }
}

/// One of the customers.
struct Customer<'a> {
    kind: Kind,
    target: &'a Target,
    /// TLS for HTTP/1.1.
    http1: &'a Tls,
    /// TLS for HTTP/2.
    http2: &'a Tls,
}

async fn exchange(customer: &Customer<'_>, kept: &mut Option<Connection>) -> Result<()> {
    let mut connection = match kept.take() {
        Some(kept) => kept.or_another(customer).await?,
        None => Connection::open(customer).await?,
    };
    if let Err(error) = connection.ask(customer).await {
        let unsent = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_canceled);
        if !unsent {
            return Err(error);
        }
        connection = Connection::open(customer).await?;
        connection.ask(customer).await?;
    }
    *kept = Some(connection);
    Ok(())
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    async fn open(customer: &Customer<'_>) -> Result<Self> {
        let Customer {
            kind,
            target,
            http1,
            http2,
        } = customer;
        let address = match kind {
            Kind::Http1 | Kind::Http1Fresh => target.http1,
            Kind::Http2 | Kind::Grpc => target.http2,
            Kind::HttpsFresh | Kind::Https2 => target.https,
        };
        let stream = Side::Customer.connect(address).await.context("connect")?;
        match kind {
            Kind::Http1 | Kind::Http1Fresh => Self::http1(stream).await,
            Kind::Http2 | Kind::Grpc => Self::http2(stream).await,
            Kind::HttpsFresh => Self::http1(http1.connect(stream).await.context("TLS")?).await,
            Kind::Https2 => Self::http2(http2.connect(stream).await.context("TLS")?).await,
        }
    }

    async fn http1<S>(stream: S) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    async fn http2<S>(stream: S) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        Ok(Self::Http2(sender))
    }

    /// Returns this connection, or a new one when it was closed.
    async fn or_another(mut self, customer: &Customer<'_>) -> Result<Self> {
        let ready = match &mut self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        };
        match ready {
            Ok(()) => Ok(self),
            Err(_) => Self::open(customer).await,
        }
    }

    async fn ask(&mut self, customer: &Customer<'_>) -> Result<()> {
        let request = request(customer.kind, customer.target)?;
        let response = match self {
            Self::Http1(sender) => sender.send_request(request).await?,
            Self::Http2(sender) => sender.send_request(request).await?,
        };
        let status = response.status();
        let body = response.into_body().collect().await;
        ensure!(status == http::StatusCode::OK, "status {}", status.as_u16());
        let body = body.map_err(|error| anyhow!("body: {error}"))?;
        if matches!(customer.kind, Kind::Grpc) {
            let trailers = body.trailers().context("no trailers")?;
            let code = trailers.get("grpc-status").context("no grpc-status")?;
            ensure!(code == "0", "grpc-status {code:?}");
        } else {
            let len = body.to_bytes().len();
            ensure!(len == ITEM_BYTES, "{len} bytes");
        }
        Ok(())
    }
}

fn request(kind: Kind, target: &Target) -> Result<Request<Full<Bytes>>> {
    let request = Request::builder().header("authorization", &target.customer);
    Ok(match kind {
        Kind::Http1 | Kind::Http1Fresh | Kind::HttpsFresh => request
            .uri("/item")
            .header("host", "localhost")
            .body(Full::default())?,
        Kind::Http2 => request.uri("http://localhost/item").body(Full::default())?,
        Kind::Https2 => request
            .uri("https://localhost/item")
            .body(Full::default())?,
        Kind::Grpc => request
            .method("POST")
            .uri("http://localhost/grpc/item")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from_static(&[0; 5])))?,
    })
}

/// The length of a page.
pub(crate) const ITEM_BYTES: usize = 128;
/// Shorter than any attack: a customer that waits for its end has failed.
const PATIENCE: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(15);
