//! Counters and histograms, in the Prometheus text format.
//!
//! Each worker has its own counters, which no other thread writes; they are summed when
//! scraped. A request costs a few uncontended additions.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tollway_server::ReasonCode;

use crate::admin::metrics::{self, Metric, STATUS_CLASSES};

/// All counters of a gateway.
#[derive(Debug)]
pub(crate) struct Telemetry {
    workers: usize,
    services: Mutex<BTreeMap<String, Arc<ServiceStats>>>,
    connections: Vec<Gauge>,
    draining: AtomicBool,
}

impl Telemetry {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            workers,
            services: Mutex::default(),
            connections: (0..workers).map(|_| Gauge::default()).collect(),
            draining: AtomicBool::new(false),
        })
    }

    /// Returns the counters of a service; the same ones for the same name.
    pub(crate) fn service(&self, name: &str) -> Arc<ServiceStats> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let stats = services
            .entry(name.to_owned())
            .or_insert_with(|| ServiceStats::new(self.workers));
        Arc::clone(stats)
    }

    /// Returns the counters of requests no service matches.
    pub(crate) fn unrouted(&self) -> Arc<ServiceStats> {
        self.service(metrics::NO_SERVICE)
    }

    pub(crate) fn set_connections(&self, worker: usize, open: usize) {
        if let Some(gauge) = self.connections.get(worker) {
            gauge
                .0
                .store(i64::try_from(open).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Returns the number of requests being served.
    pub(crate) fn in_flight(&self) -> usize {
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let all = services.values().map(|stats| stats.in_flight());
        usize::try_from(all.sum::<i64>()).unwrap_or(0)
    }

    /// Writes all metrics in the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        let services = self
            .services
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut page = MetricsText::default();
        render_requests(&mut page, &services);
        render_refusals(&mut page, &services);
        render_latency(&mut page, &services);
        page.head(&metrics::REQUESTS_IN_FLIGHT);
        for (name, stats) in &services {
            let labels = [("service", name.as_str())];
            page.line(metrics::REQUESTS_IN_FLIGHT.name, &labels, stats.in_flight());
        }
        page.head(&metrics::CONNECTIONS_OPEN);
        let open = self.connections.iter().map(Gauge::value).sum::<i64>();
        page.line(metrics::CONNECTIONS_OPEN.name, &[], open);
        page.text
    }
}

/// The counters of one service, by worker.
#[derive(Debug)]
pub(crate) struct ServiceStats {
    cores: Vec<Arc<CoreStats>>,
}

impl ServiceStats {
    fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            cores: (0..workers.max(1)).map(|_| Arc::default()).collect(),
        })
    }

    /// Returns the counters of one worker.
    pub(crate) fn core(&self, worker: usize) -> Arc<CoreStats> {
        self.cores
            .get(worker)
            .or_else(|| self.cores.first())
            .map(Arc::clone)
            .unwrap_or_default()
    }

    fn in_flight(&self) -> i64 {
        let cores = self.cores.iter();
        cores.map(|core| core.in_flight.value()).sum()
    }

    fn total(&self, counter: impl Fn(&CoreStats) -> &Counter) -> u64 {
        self.cores
            .iter()
            .fold(0, |sum, core| sum.wrapping_add(counter(core).value()))
    }
}

/// Counters of one worker for one service. Aligned so that workers share no cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CoreStats {
    classes: [Counter; STATUS_CLASSES.len()],
    latency: Histogram,
    pub(crate) challenges: Counter,
    pub(crate) in_flight: Gauge,
    /// Locked: a refusal is rare enough, and there are many reasons.
    refusals: Mutex<BTreeMap<ReasonCode, u64>>,
}

impl CoreStats {
    pub(crate) fn responded(&self, status: StatusCode) {
        let class = usize::from(status.as_u16().div_euclid(100)).saturating_sub(1);
        if let Some(counter) = self.classes.get(class) {
            counter.up();
        }
    }

    pub(crate) fn refused(&self, reason: ReasonCode) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let count = refusals.entry(reason).or_default();
        *count = count.saturating_add(1);
    }

    pub(crate) fn upstream_responded(&self, after: Duration) {
        self.latency.observe(after);
    }
}

/// A number that only increases.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn up(&self) {
        self.add(1);
    }

    fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Histogram {
    /// One for each of [`BOUNDS_MICROS`], and one for larger values.
    buckets: [Counter; BOUNDS_MICROS.len() + 1],
    sum_micros: Counter,
}

impl Histogram {
    fn observe(&self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS
            .iter()
            .take_while(|bound| micros > **bound)
            .count();
        if let Some(counter) = self.buckets.get(bucket) {
            counter.up();
        }
        self.sum_micros.add(micros);
    }
}

/// Metrics being written in the Prometheus text format.
#[derive(Debug, Default)]
pub(crate) struct MetricsText {
    pub(crate) text: String,
}

impl MetricsText {
    pub(crate) fn head(&mut self, metric: &Metric) {
        let (name, kind, help) = (metric.name, metric.kind.as_str(), metric.help);
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    pub(crate) fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        match labels.is_empty() {
            true => self.push(format_args!("{name} {value}\n")),
            false => self.push(format_args!("{name}{{{}}} {value}\n", labels.join(","))),
        }
    }

    fn push(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _infallible = self.text.write_fmt(text);
    }
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

type Services = BTreeMap<String, Arc<ServiceStats>>;

fn render_requests(page: &mut MetricsText, services: &Services) {
    page.head(&metrics::REQUESTS);
    for (name, stats) in services {
        for (class, label) in STATUS_CLASSES.iter().enumerate() {
            let responses = stats.total(|core| core.classes.get(class).unwrap_or(&core.challenges));
            page.line(
                metrics::REQUESTS.name,
                &[("service", name), ("status", label)],
                responses,
            );
        }
    }
    page.head(&metrics::CHALLENGES);
    for (name, stats) in services {
        let challenges = stats.total(|core| &core.challenges);
        page.line(metrics::CHALLENGES.name, &[("service", name)], challenges);
    }
}

fn render_refusals(page: &mut MetricsText, services: &Services) {
    page.head(&metrics::REFUSALS);
    for (name, stats) in services {
        let mut sums = BTreeMap::<ReasonCode, u64>::new();
        for core in &stats.cores {
            let refusals = core.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            for (reason, count) in refusals.iter() {
                let sum = sums.entry(*reason).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        for (reason, count) in sums {
            let labels = [("service", name.as_str()), ("reason", reason.as_str())];
            page.line(metrics::REFUSALS.name, &labels, count);
        }
    }
}

fn render_latency(page: &mut MetricsText, services: &Services) {
    const NAME: &str = metrics::UPSTREAM_SECONDS.name;
    page.head(&metrics::UPSTREAM_SECONDS);
    for (name, stats) in services {
        let mut seen = 0_u64;
        for bucket in 0..=BOUNDS_MICROS.len() {
            let counter =
                |core: &CoreStats| core.latency.buckets.get(bucket).map_or(0, Counter::value);
            seen = stats
                .cores
                .iter()
                .fold(seen, |sum, core| sum.wrapping_add(counter(core)));
            let bound = BOUNDS_MICROS
                .get(bucket)
                .map_or("+Inf".to_owned(), |micros| seconds(*micros));
            page.line(
                &format!("{NAME}_bucket"),
                &[("service", name), ("le", &bound)],
                seen,
            );
        }
        let sum = stats.total(|core| &core.latency.sum_micros);
        page.line(&format!("{NAME}_sum"), &[("service", name)], seconds(sum));
        page.line(&format!("{NAME}_count"), &[("service", name)], seen);
    }
}

fn seconds(micros: u64) -> String {
    Duration::from_micros(micros).as_secs_f64().to_string()
}

const BOUNDS_MICROS: [u64; 11] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_several_workers_are_summed() {
        let telemetry = Telemetry::new(2);
        let stats = telemetry.service("weather");
        stats.core(0).responded(StatusCode::OK);
        stats.core(1).responded(StatusCode::NO_CONTENT);
        stats.core(1).responded(StatusCode::BAD_GATEWAY);
        stats.core(0).refused(ReasonCode::Denied("forged"));
        stats.core(1).refused(ReasonCode::Denied("forged"));

        let page = telemetry.render();

        for line in [
            "tollway_requests_total{service=\"weather\",status=\"2xx\"} 2\n",
            "tollway_requests_total{service=\"weather\",status=\"5xx\"} 1\n",
            "tollway_refusals_total{service=\"weather\",reason=\"forged\"} 2\n",
        ] {
            assert!(page.contains(line), "{line} in\n{page}");
        }
    }

    #[test]
    fn a_histogram_counts_everything_up_to_each_bound() {
        let telemetry = Telemetry::new(1);
        let core = telemetry.service("weather").core(0);
        core.upstream_responded(Duration::from_micros(500));
        core.upstream_responded(Duration::from_millis(2));
        core.upstream_responded(Duration::from_secs(60));

        let page = telemetry.render();

        for line in [
            "tollway_upstream_seconds_bucket{service=\"weather\",le=\"0.0005\"} 1\n",
            "tollway_upstream_seconds_bucket{service=\"weather\",le=\"0.0025\"} 2\n",
            "tollway_upstream_seconds_bucket{service=\"weather\",le=\"30\"} 2\n",
            "tollway_upstream_seconds_bucket{service=\"weather\",le=\"+Inf\"} 3\n",
            "tollway_upstream_seconds_sum{service=\"weather\"} 60.0025\n",
        ] {
            assert!(page.contains(line), "{line} in\n{page}");
        }
    }

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        let mut page = MetricsText::default();

        page.line("m", &[("service", "a\"} 1\nb\\")], 1);

        assert_eq!(page.text, "m{service=\"a\\\"} 1\\nb\\\\\"} 1\n");
    }
}
