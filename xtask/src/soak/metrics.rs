//! Metrics of the gateway, read from its admin port.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Values by name and labels.
#[derive(Debug)]
pub(super) struct Metrics(String);

impl Metrics {
    /// Reads all of them.
    ///
    /// # Errors
    ///
    /// When the gateway does not respond.
    pub(super) fn read(admin: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        ensure!(response.starts_with("HTTP/1.1 200"), "{response}");
        let (_, body) = response.split_once("\r\n\r\n").context("no body")?;
        Ok(Self(body.to_owned()))
    }

    /// Returns the sum over all labels; 0 when there is no such metric.
    pub(super) fn sum(&self, name: &str) -> u64 {
        self.values(name).map(|(_, value)| value).sum()
    }

    /// Returns the sums for each value of one label, without those that are 0.
    pub(super) fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::<String, u64>::new();
        let begin = format!("{label}=\"");
        for (labels, value) in self.values(name).filter(|(_, value)| *value > 0) {
            let rest = labels.split_once(&begin).map(|(_, rest)| rest);
            if let Some((word, _)) = rest.and_then(|rest| rest.split_once('"')) {
                let sum = sums.entry(word.to_owned()).or_default();
                *sum = sum.saturating_add(value);
            }
        }
        sums
    }

    /// Returns the labels and the value of each line of a metric.
    fn values(&self, name: &str) -> impl Iterator<Item = (&str, u64)> {
        self.0
            .lines()
            .filter_map(move |line| line.strip_prefix(name))
            .filter(|rest| rest.starts_with([' ', '{']))
            .filter_map(|rest| rest.rsplit_once(' '))
            .filter_map(|(labels, value)| Some((labels, value.parse().ok()?)))
    }
}

/// The classes of a status, as the metrics name them.
pub(super) const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
impl Metrics {
    pub(super) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_the_sum_over_its_labels() {
        let metrics = Metrics::of(
            "# HELP a_total Text.\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\na_total_more 9\n",
        );

        assert_eq!(metrics.sum("a_total"), 5);
        assert_eq!(metrics.sum("none"), 0);
    }

    #[test]
    fn a_metric_is_summed_for_each_value_of_a_label() {
        let metrics = Metrics::of(
            "a{s=\"1\",x=\"b\"} 2\na{s=\"2\",x=\"b\"} 3\na{s=\"1\",x=\"c\"} 0\na{s=\"1\",x=\"d\"} 1\n",
        );

        let sums = metrics.by_label("a", "x");

        assert_eq!(sums, BTreeMap::from([("b".into(), 5), ("d".into(), 1)]));
    }
}
