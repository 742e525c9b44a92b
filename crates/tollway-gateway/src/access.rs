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
    method: Method,
    path: String,
}

impl AccessLine {
    /// Notes what was asked, if anybody is going to read it.
    pub(crate) fn begin(head: &Parts) -> Self {
        let is_read = tracing::enabled!(target: "tollway::access", tracing::Level::DEBUG);
        Self(is_read.then(|| {
            Box::new(Asked {
                method: head.method.clone(),
                path: head.uri.path().to_owned(),
            })
        }))
    }

    /// Writes the line when the head of the response is known.
    pub(crate) fn end(
        self,
        status: StatusCode,
        began: Instant,
        service: &str,
        verdict: &'static str,
    ) {
        let Some(asked) = self.0 else {
            return;
        };
        tracing::debug!(
            target: "tollway::access",
            method = asked.method.as_str(),
            path = asked.path,
            status = status.as_u16(),
            latency_us = began.elapsed().as_micros(),
            service,
            verdict,
        );
    }
}
