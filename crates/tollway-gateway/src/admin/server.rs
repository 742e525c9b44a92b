//! Admin port: `/metrics` for Prometheus, `/healthz` and `/readyz` for load balancers.
//!
//! `/healthz` is 200 for as long as this port is served, also while the gateway finishes what is
//! in flight: a process that stops need not be restarted. `/readyz` is 503 from the beginning of a
//! stop, while an upstream is down, and while a ledger cannot count uses. A wallet that fails does
//! not change it: what is paid for is served without.
//!
//! A name of another site that resolves to this machine must not let a page of that site read
//! what is here, so `Host` has to be an address or a name that no other site can have.
//!
//! Served on a port and a thread of its own: a scrape costs the workers nothing. Revenue
//! figures come from the ledger.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tollway_server::ledger::{Period, Sales, Stores};

use crate::admin::metrics;
use crate::admin::telemetry::{MetricsText, Telemetry};
use crate::config::Price;
use crate::request::route::Routes;

/// What the admin port reports.
#[derive(Clone, Debug)]
pub(crate) struct AdminState {
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) routes: Arc<ArcSwap<Routes>>,
}

/// Serves until `stop` is sent or dropped.
pub(crate) fn run(
    listener: StdListener,
    state: AdminState,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        tokio::select! {
            () = accept(listener, state) => {}
            _ = stop => {}
        }
        Ok(())
    })
}

async fn accept(listener: TcpListener, state: AdminState) {
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let state = state.clone();
        let service = service_fn(move |request| {
            let state = state.clone();
            async move { Ok::<_, Infallible>(state.respond(&request).await) }
        });
        // Ends with the connection, and with this thread's runtime.
        tokio::spawn(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

impl AdminState {
    async fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            _ if !is_for_this_machine(request) => text(
                StatusCode::FORBIDDEN,
                "ask with an IP address, `localhost` or a host name without a dot\n",
            ),
            _ if !is_safe => text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"),
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            "/metrics" => text(StatusCode::OK, self.metrics().await),
            _ => text(StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz\n"),
        }
    }

    /// Whether to send requests here, and all reasons why not.
    fn readiness(&self) -> Response<Full<Bytes>> {
        let routes = self.routes.load();
        let is_draining = self.telemetry.is_draining();
        let draining = is_draining.then(|| "draining\n".to_owned());
        let services = routes.services().into_iter();
        let down = services
            .filter(|service| service.health.is_down())
            .map(|service| format!("upstream of {} is down\n", service.name));
        let stores = stores(&routes).into_iter();
        let fails = stores
            .filter(|stores| !stores.uses.is_working())
            .map(|_| "the ledger cannot be written\n".to_owned());
        let reasons: String = draining.into_iter().chain(down).chain(fails).collect();
        if reasons.is_empty() {
            text(StatusCode::OK, "ok\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, reasons)
        }
    }

    async fn metrics(&self) -> String {
        let mut page = MetricsText {
            text: self.telemetry.render(),
        };
        let mut sales = Vec::new();
        let mut events_lost = 0_u64;
        let routes = self.routes.load_full();
        render_health(&mut page, &routes);
        for stores in stores(&routes) {
            events_lost = events_lost.wrapping_add(stores.events.dropped());
            let Some(reports) = &stores.reports else {
                continue;
            };
            match reports.sales(Period::AllTime).await {
                Ok(some) => sales.extend(some),
                // Omitted: zero would be wrong.
                Err(error) => {
                    tracing::warn!(%error, "sales are missing from the metrics: the ledger failed")
                }
            }
        }
        render_sales(&mut page, &sales);
        page.head(&metrics::LEDGER_EVENTS_LOST);
        page.line(metrics::LEDGER_EVENTS_LOST.name, &[], events_lost);
        page.text
    }
}

/// Returns whether a request names this machine, or no host: a name with a dot can be anybody's.
fn is_for_this_machine(request: &Request<Incoming>) -> bool {
    let named = request.headers().get(header::HOST).map(HeaderValue::to_str);
    let authority = match (request.uri().authority(), named) {
        (Some(authority), _) => authority.clone(),
        (None, None) => return true,
        (None, Some(named)) => match named.map(Authority::try_from) {
            Ok(Ok(authority)) => authority,
            Ok(Err(_)) | Err(_) => return false,
        },
    };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok() || !host.trim_end_matches('.').contains('.')
}

/// Returns the stores of each gate, those shared by several routes once.
fn stores(routes: &Routes) -> Vec<&Stores> {
    let mut stores: Vec<&Stores> = Vec::new();
    for route in &routes.routes {
        let Price::Paid { gate, .. } = &route.price else {
            continue;
        };
        let is_known = |known: &&Stores| {
            std::ptr::addr_eq(
                Arc::as_ptr(&known.events),
                Arc::as_ptr(&gate.stores().events),
            )
        };
        if !stores.iter().any(is_known) {
            stores.push(gate.stores());
        }
    }
    stores
}

fn render_health(page: &mut MetricsText, routes: &Routes) {
    page.head(&metrics::UPSTREAM_UP);
    for service in routes.services() {
        let is_up = u8::from(!service.health.is_down());
        let labels = [("service", service.name.as_str())];
        page.line(metrics::UPSTREAM_UP.name, &labels, is_up);
    }
}

fn render_sales(page: &mut MetricsText, sales: &[Sales]) {
    page.head(&metrics::TOKENS_FIRST_USED);
    for sale in sales {
        page.line(
            metrics::TOKENS_FIRST_USED.name,
            &[("service", sale.service.as_str())],
            sale.payments,
        );
    }
    page.head(&metrics::REVENUE);
    for sale in sales {
        let labels = [("service", sale.service.as_str())];
        page.line(metrics::REVENUE.name, &labels, sale.revenue.as_msat());
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
