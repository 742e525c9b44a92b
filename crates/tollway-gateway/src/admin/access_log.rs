//! What is written down of a request?
//!
//! One line, under the target `tollway::access` at level `debug`, when the head of the
//! response is known. It says nothing of queries, credentials or bodies, and while nobody
//! reads it, it costs one comparison.

use std::time::Instant;

use http::request::Parts;
use http::{Method, StatusCode};

/// One request, as the access log writes it; `None` inside while the log is off.
#[derive(Debug)]
pub(crate) struct AccessLine(Option<Box<Asked>>);

#[derive(Debug)]
struct Asked {
    began: Instant,
    method: Method,
    path: String,
    service: String,
}

impl AccessLine {
    /// Notes what was asked, if anybody is going to read it. `service` is empty when none
    /// was found.
    pub(crate) fn begin(head: &Parts, service: &str) -> Self {
        let is_read = tracing::enabled!(target: "tollway::access", tracing::Level::DEBUG);
        Self(is_read.then(|| {
            Box::new(Asked {
                began: Instant::now(),
                method: head.method.clone(),
                path: head.uri.path().to_owned(),
                service: service.to_owned(),
            })
        }))
    }

    /// Writes the line when the head of the response is known.
    pub(crate) fn end(self, status: StatusCode, verdict: &'static str) {
        let Some(asked) = self.0 else {
            return;
        };
        tracing::debug!(
            target: "tollway::access",
            method = asked.method.as_str(),
            path = asked.path,
            status = status.as_u16(),
            latency_us = asked.began.elapsed().as_micros(),
            service = asked.service,
            verdict,
        );
    }
}
