//! Metrics: what each is called, what it counts, and its labels with every value they take.
//!
//! `/metrics` is written from this table and so is the documentation of it, so neither can have
//! a metric that the other lacks.

/// One metric of `/metrics`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Metric {
    /// Its name. A histogram appends `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// How its value changes.
    pub kind: MetricKind,
    /// What it counts, in the words of its `HELP` line.
    pub help: &'static str,
    /// Its labels, in the order they are written.
    pub labels: &'static [MetricLabel],
}

/// How the value of a metric changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// Only increases, until the gateway is started again.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts observations up to each bound of `le`, in seconds.
    Histogram,
}

impl MetricKind {
    /// Returns the word of a `TYPE` line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label of a metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MetricLabel {
    /// Its name.
    pub name: &'static str,
    /// What it distinguishes.
    pub meaning: &'static str,
    /// Every value it takes; empty where services name them.
    pub values: &'static [&'static str],
}

/// Every metric, in the order they are written.
pub const TABLE: &[Metric] = &[
    REQUESTS_BEGUN,
    REQUESTS,
    REQUESTS_ABORTED,
    RESPONSES_ENDED,
    CHALLENGES,
    REFUSALS,
    UPSTREAM_SECONDS,
    REQUESTS_IN_FLIGHT,
    CONNECTIONS_OPEN,
    UPSTREAM_UP,
    TOKENS_FIRST_USED,
    REVENUE,
    LEDGER_EVENTS_LOST,
];

/// The value of `service` for a request that matches no service. No service can have this name.
pub const NO_SERVICE: &str = "(none)";

pub(crate) const REQUESTS_BEGUN: Metric = Metric {
    name: "tollway_requests_begun_total",
    kind: MetricKind::Counter,
    help: "Requests received. Each is responded to or aborted.",
    labels: &[SERVICE_OR_NONE],
};
pub(crate) const REQUESTS: Metric = Metric {
    name: "tollway_requests_total",
    kind: MetricKind::Counter,
    help: "Requests that were responded to, by service and class of status.",
    labels: &[SERVICE_OR_NONE, STATUS],
};
pub(crate) const REQUESTS_ABORTED: Metric = Metric {
    name: "tollway_requests_aborted_total",
    kind: MetricKind::Counter,
    help: "Requests that ended before a response to them began.",
    labels: &[SERVICE_OR_NONE, ENDED],
};
pub(crate) const RESPONSES_ENDED: Metric = Metric {
    name: "tollway_responses_ended_total",
    kind: MetricKind::Counter,
    help: "Responses that have ended, tunnels included, by how they did.",
    labels: &[SERVICE_OR_NONE, ENDED],
};
pub(crate) const CHALLENGES: Metric = Metric {
    name: "tollway_challenges_total",
    kind: MetricKind::Counter,
    help: "Challenges sent: each offers a token and an invoice that may or may not be paid.",
    labels: &[SERVICE_OR_NONE],
};
pub(crate) const REFUSALS: Metric = Metric {
    name: "tollway_refusals_total",
    kind: MetricKind::Counter,
    help: "Requests that the gate did not admit, by reason.",
    labels: &[SERVICE, REASON],
};
pub(crate) const UPSTREAM_SECONDS: Metric = Metric {
    name: "tollway_upstream_seconds",
    kind: MetricKind::Histogram,
    help: "Seconds from forwarding a request to the first byte of the upstream's response.",
    labels: &[SERVICE_OR_NONE, LE],
};
pub(crate) const REQUESTS_IN_FLIGHT: Metric = Metric {
    name: "tollway_requests_in_flight",
    kind: MetricKind::Gauge,
    help: "Requests being served at this moment, tunnels included.",
    labels: &[SERVICE_OR_NONE],
};
pub(crate) const CONNECTIONS_OPEN: Metric = Metric {
    name: "tollway_connections_open",
    kind: MetricKind::Gauge,
    help: "Client connections open at this moment, read once a second.",
    labels: &[],
};
pub(crate) const UPSTREAM_UP: Metric = Metric {
    name: "tollway_upstream_up",
    kind: MetricKind::Gauge,
    help: "0 while the upstream is known not to accept connections and nothing is sold, otherwise 1.",
    labels: &[SERVICE],
};
pub(crate) const TOKENS_FIRST_USED: Metric = Metric {
    name: "tollway_tokens_first_used_total",
    kind: MetricKind::Counter,
    help: "Tokens presented for the first time: sold and used. Counted over all gateways that share the ledger, since it was created.",
    labels: &[SERVICE],
};
pub(crate) const REVENUE: Metric = Metric {
    name: "tollway_revenue_msat_total",
    kind: MetricKind::Counter,
    help: "Sum of the prices of the tokens presented for the first time, in millisatoshis.",
    labels: &[SERVICE],
};
pub(crate) const LEDGER_EVENTS_LOST: Metric = Metric {
    name: "tollway_ledger_events_lost_total",
    kind: MetricKind::Counter,
    help: "Requests missing from the reports because the ledger could not keep up. Alert if this increases.",
    labels: &[],
};

const SERVICE: MetricLabel = MetricLabel {
    name: "service",
    meaning: "name of the service",
    values: &[],
};
const SERVICE_OR_NONE: MetricLabel = MetricLabel {
    name: "service",
    meaning: "name of the service; `(none)` for requests that match none",
    values: &[],
};
const STATUS: MetricLabel = MetricLabel {
    name: "status",
    meaning: "class of the HTTP status",
    values: &STATUS_CLASSES,
};
const ENDED: MetricLabel = MetricLabel {
    name: "ended",
    meaning: "how it ended",
    values: &Ended::WORDS,
};
const REASON: MetricLabel = MetricLabel {
    name: "reason",
    meaning: "why, as in the `reason` of the response",
    values: &tollway_server::ReasonCode::WORDS,
};
const LE: MetricLabel = MetricLabel {
    name: "le",
    meaning: "upper bound of the bucket, in seconds",
    values: &[
        "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.1", "0.25", "1", "5", "30",
        "+Inf",
    ],
};

/// The values of `status`, in the order of the classes.
pub(crate) const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// How a request and the response to it ended: the values of `ended`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// All of it was handed over.
    Complete,
    /// The client closed its connection or reset its stream.
    ClientLeft,
    /// The upstream failed in the middle of its response.
    UpstreamFailed,
    /// The gateway stopped.
    CutOff,
    /// Nothing moved for too long.
    Stalled,
}

impl Ended {
    /// Their words, by [index](Self::index).
    pub(crate) const WORDS: [&str; 5] = [
        "complete",
        "client_left",
        "upstream_failed",
        "cut_off",
        "stalled",
    ];

    /// Returns its place in [`WORDS`](Self::WORDS).
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Returns its word.
    pub(crate) fn as_str(self) -> &'static str {
        Self::WORDS.get(self.index()).copied().unwrap_or_default()
    }
}
