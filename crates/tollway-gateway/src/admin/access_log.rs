//! The access log.
//!
//! One line per request, under the target `tollway::access` at level `debug`, written when
//! the head of the response is known. It holds no query, credential or body. While the log
//! is off, a request costs one comparison.

use std::time::Instant;

use http::request::Parts;
use http::{Method, StatusCode};

/// One request for the access log; empty while the log is off.
#[derive(Debug)]
pub(crate) struct AccessLine(Option<Box<Entry>>);

#[derive(Debug)]
struct Entry {
    began: Instant,
    method: Method,
    path: String,
    service: String,
}

impl AccessLine {
    /// Records a request, if the log is on. `service` is empty when no service matches.
    pub(crate) fn begin(head: &Parts, service: &str) -> Self {
        let is_read = tracing::enabled!(target: "tollway::access", tracing::Level::DEBUG);
        Self(is_read.then(|| {
            Box::new(Entry {
                began: Instant::now(),
                method: head.method.clone(),
                path: head.uri.path().to_owned(),
                service: service.to_owned(),
            })
        }))
    }

    /// Writes the line when the head of the response is known.
    pub(crate) fn end(self, status: StatusCode, verdict: &'static str) {
        let Some(entry) = self.0 else {
            return;
        };
        tracing::debug!(
            target: "tollway::access",
            method = entry.method.as_str(),
            path = entry.path,
            status = status.as_u16(),
            latency_us = entry.began.elapsed().as_micros(),
            service = entry.service,
            verdict,
        );
    }
}
