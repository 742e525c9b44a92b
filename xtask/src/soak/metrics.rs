//! Metrics of the gateway, read from its admin port.

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
        self.0
            .lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter(|rest| rest.starts_with([' ', '{']))
            .filter_map(|rest| rest.rsplit_once(' '))
            .filter_map(|(_, value)| value.parse::<u64>().ok())
            .sum()
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_the_sum_over_its_labels() {
        let metrics = Metrics(
            "# HELP a_total Text.\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\na_total_more 9\n".into(),
        );

        assert_eq!(metrics.sum("a_total"), 5);
        assert_eq!(metrics.sum("none"), 0);
    }
}
