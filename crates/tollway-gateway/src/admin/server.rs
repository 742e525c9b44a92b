//! Admin port: `/metrics` for Prometheus, `/healthz` and `/readyz` for load balancers.
//!
//! `/healthz` is 503 while the gateway stops, `/readyz` also while an upstream is down.
//!
//! Served on a port and a thread of its own: a scrape costs the workers nothing. Revenue
//! figures come from the ledger.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
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
            _ if !is_safe => text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"),
            "/healthz" if self.telemetry.is_draining() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
            }
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            "/metrics" => text(StatusCode::OK, self.metrics().await),
            _ => text(StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz\n"),
        }
    }

    /// Whether requests can be served: 503 while stopping, or while an upstream is down.
    fn readiness(&self) -> Response<Full<Bytes>> {
        if self.telemetry.is_draining() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        let routes = self.routes.load();
        let services = routes.services().into_iter();
        let down = services.filter(|service| service.health.is_down());
        let lines: String = down
            .map(|service| format!("upstream of {} is down\n", service.name))
            .collect();
        if lines.is_empty() {
            text(StatusCode::OK, "ok\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, lines)
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
