//! The access log.
//!
//! One line per request, under the target `tollway::access` at level `debug`, written when
//! the head of the response is known. It holds no query, credential or body. While the log
//! is off, a request costs one comparison.

use std::net::IpAddr;
use std::time::Instant;

use http::request::Parts;
use http::{Method, StatusCode};
use l402::PaymentHash;

/// What was decided about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    /// The payment of the token that bought it. Not a secret, and what both sides know a token
    /// by: `tollway token revoke` takes its beginning.
    pub(crate) payment_hash: Option<PaymentHash>,
}

impl Verdict {
    /// The verdict on a request that no token bought.
    pub(crate) const fn of(name: &'static str) -> Self {
        Self {
            name,
            payment_hash: None,
        }
    }
}

/// One request for the access log; empty while the log is off.
#[derive(Debug)]
pub(crate) struct AccessLine(Option<Box<Entry>>);

#[derive(Debug)]
struct Entry {
    began: Instant,
    method: Method,
    path: String,
    service: String,
    client: Option<IpAddr>,
}

impl AccessLine {
    /// Records a request, if the log is on. `service` is `(none)` when no service matches.
    pub(crate) fn begin(head: &Parts, service: &str, client: Option<IpAddr>) -> Self {
        let is_read = tracing::enabled!(target: "tollway::access", tracing::Level::DEBUG);
        Self(is_read.then(|| {
            Box::new(Entry {
                began: Instant::now(),
                method: head.method.clone(),
                path: head.uri.path().to_owned(),
                service: service.to_owned(),
                client,
            })
        }))
    }

    /// Writes the line when the head of the response is known.
    pub(crate) fn end(self, status: StatusCode, verdict: Verdict) {
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
            verdict = verdict.name,
            token = verdict.payment_hash.as_ref().map(beginning),
            client = entry.client.map(tracing::field::display),
        );
    }
}

/// Returns as much of a payment hash as names a token.
fn beginning(hash: &PaymentHash) -> String {
    let mut text = hash.to_string();
    text.truncate(BEGINNING_DIGITS);
    text
}

const BEGINNING_DIGITS: usize = 16;
