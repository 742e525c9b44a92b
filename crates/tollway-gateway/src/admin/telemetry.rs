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

use crate::admin::metrics::{self, Ended, Metric, STATUS_CLASSES};

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
        usize::try_from(all.sum::<u64>()).unwrap_or(usize::MAX)
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

    /// Returns how many requests have begun and not ended. The ends are read first, so that there
    /// are never more of them.
    fn in_flight(&self) -> u64 {
        let ended = self.total(|core| core.ended.sum().wrapping_add(core.aborted.sum()));
        let begun = self.total(|core| core.begun.value());
        begun.saturating_sub(ended)
    }

    fn total(&self, count: impl Fn(&CoreStats) -> u64) -> u64 {
        self.cores
            .iter()
            .fold(0, |sum, core| sum.wrapping_add(count(core)))
    }
}

/// Counters of one worker for one service. Aligned so that workers share no cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CoreStats {
    pub(crate) begun: Counter,
    responses: Counters<{ STATUS_CLASSES.len() }>,
    aborted: Counters<{ Ended::WORDS.len() }>,
    ended: Counters<{ Ended::WORDS.len() }>,
    latency: Histogram,
    pub(crate) challenges: Counter,
    /// Locked: a refusal is rare enough, and there are many reasons.
    refusals: Mutex<BTreeMap<ReasonCode, u64>>,
}

impl CoreStats {
    /// Counts a response that begins.
    pub(crate) fn responded(&self, status: StatusCode) {
        let class = usize::from(status.as_u16().div_euclid(100)).saturating_sub(1);
        // A status above 599 is taken for a failure.
        self.responses.up(class.min(CLASS_MAX));
    }

    /// Counts the end of a response that had begun.
    pub(crate) fn ended(&self, ended: Ended) {
        self.ended.up(ended.index());
    }

    /// Counts the end of a request that was not responded to.
    pub(crate) fn aborted(&self, ended: Ended) {
        self.aborted.up(ended.index());
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

/// One counter for each word of a label.
#[derive(Debug)]
struct Counters<const N: usize>([Counter; N]);

impl<const N: usize> Counters<N> {
    fn up(&self, index: usize) {
        if let Some(counter) = self.0.get(index) {
            counter.up();
        }
    }

    fn value(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, Counter::value)
    }

    fn sum(&self) -> u64 {
        let values = self.0.iter().map(Counter::value);
        values.fold(0, u64::wrapping_add)
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Histogram {
    /// One for each of [`BOUNDS_MICROS`], and one for larger values.
    buckets: Counters<{ BOUNDS_MICROS.len() + 1 }>,
    sum_micros: Counter,
}

impl Histogram {
    fn observe(&self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS
            .iter()
            .take_while(|bound| micros > **bound)
            .count();
        self.buckets.up(bucket);
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
    render_counts(page, services, &metrics::REQUESTS_BEGUN, |core| {
        core.begun.value()
    });
    page.head(&metrics::REQUESTS);
    for (name, stats) in services {
        for (class, label) in STATUS_CLASSES.iter().enumerate() {
            let responses = stats.total(|core| core.responses.value(class));
            let labels = [("service", name.as_str()), ("status", label)];
            page.line(metrics::REQUESTS.name, &labels, responses);
        }
    }
    render_ends(page, services, &metrics::REQUESTS_ABORTED, |core| {
        &core.aborted
    });
    render_ends(page, services, &metrics::RESPONSES_ENDED, |core| {
        &core.ended
    });
    render_counts(page, services, &metrics::CHALLENGES, |core| {
        core.challenges.value()
    });
}

fn render_counts(
    page: &mut MetricsText,
    services: &Services,
    metric: &Metric,
    count: impl Fn(&CoreStats) -> u64,
) {
    page.head(metric);
    for (name, stats) in services {
        page.line(metric.name, &[("service", name)], stats.total(&count));
    }
}

fn render_ends(
    page: &mut MetricsText,
    services: &Services,
    metric: &Metric,
    ends: impl Fn(&CoreStats) -> &Counters<{ Ended::WORDS.len() }>,
) {
    page.head(metric);
    for (name, stats) in services {
        for (index, word) in Ended::WORDS.iter().enumerate() {
            let count = stats.total(|core| ends(core).value(index));
            page.line(metric.name, &[("service", name), ("ended", word)], count);
        }
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
            seen = seen.wrapping_add(stats.total(|core| core.latency.buckets.value(bucket)));
            let bound = BOUNDS_MICROS
                .get(bucket)
                .map_or("+Inf".to_owned(), |micros| seconds(*micros));
            page.line(
                &format!("{NAME}_bucket"),
                &[("service", name), ("le", &bound)],
                seen,
            );
        }
        let sum = stats.total(|core| core.latency.sum_micros.value());
        page.line(&format!("{NAME}_sum"), &[("service", name)], seconds(sum));
        page.line(&format!("{NAME}_count"), &[("service", name)], seen);
    }
}

fn seconds(micros: u64) -> String {
    Duration::from_micros(micros).as_secs_f64().to_string()
}

const CLASS_MAX: usize = STATUS_CLASSES.len() - 1;
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
    fn what_has_begun_and_not_ended_is_in_flight() {
        let telemetry = Telemetry::new(2);
        let stats = telemetry.service("weather");
        for core in [stats.core(0), stats.core(0), stats.core(1)] {
            core.begun.up();
        }
        stats.core(0).ended(Ended::Complete);
        stats.core(1).aborted(Ended::ClientLeft);

        assert_eq!(telemetry.in_flight(), 1);

        let page = telemetry.render();
        for line in [
            "tollway_requests_begun_total{service=\"weather\"} 3\n",
            "tollway_requests_aborted_total{service=\"weather\",ended=\"client_left\"} 1\n",
            "tollway_responses_ended_total{service=\"weather\",ended=\"complete\"} 1\n",
            "tollway_requests_in_flight{service=\"weather\"} 1\n",
        ] {
            assert!(page.contains(line), "{line} in\n{page}");
        }
    }

    #[test]
    fn no_status_goes_uncounted() {
        let telemetry = Telemetry::new(1);
        let core = telemetry.service("weather").core(0);

        core.responded(StatusCode::from_u16(999).unwrap());

        let line = "tollway_requests_total{service=\"weather\",status=\"5xx\"} 1\n";
        assert!(telemetry.render().contains(line));
    }

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        let mut page = MetricsText::default();

        page.line("m", &[("service", "a\"} 1\nb\\")], 1);

        assert_eq!(page.text, "m{service=\"a\\\"} 1\\nb\\\\\"} 1\n");
    }
}
