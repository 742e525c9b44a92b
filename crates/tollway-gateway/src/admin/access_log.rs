//! The access log.
//!
//! One line per request, under the target `tollway::access` at level `debug`, written once the
//! request has ended, when the last byte of its response was handed over or earlier, and no more
//! of its body is read. It holds no query, credential or body. While the log is off, a request costs one comparison.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use l402::PaymentHash;

use crate::admin::metrics::{Ended, NO_SERVICE};

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
    /// From the beginning to the head of the upstream's response.
    upstream: Option<Duration>,
    verdict: Option<&'static str>,
    /// The payment of the token that was presented, also when the request failed afterwards.
    token: Option<PaymentHash>,
    status: Option<StatusCode>,
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
                upstream: None,
                verdict: None,
                token: None,
                status: None,
            })
        }))
    }

    /// Records that the head of the upstream's response has arrived.
    pub(crate) fn upstream_responded(&mut self) {
        if let Some(entry) = &mut self.0 {
            entry.upstream = Some(entry.began.elapsed());
        }
    }

    /// Records what was decided about the request.
    pub(crate) fn decided(&mut self, verdict: Verdict) {
        if let Some(entry) = &mut self.0 {
            entry.verdict = Some(verdict.name);
            entry.token = verdict.payment_hash.or(entry.token);
        }
    }

    /// Records what the response is.
    pub(crate) fn responded(&mut self, status: StatusCode) {
        if let Some(entry) = &mut self.0 {
            entry.status = Some(status);
        }
    }

    /// Ends the request. Returns its line, if the log is on. `received` are bytes besides the body.
    pub(crate) fn end(
        &mut self,
        id: &HeaderValue,
        received: u64,
        sent: u64,
        ended: Ended,
    ) -> Option<EndedLine> {
        let entry = self.0.take()?;
        Some(EndedLine {
            total: entry.began.elapsed(),
            id: id.clone(),
            received,
            sent,
            ended,
            entry,
        })
    }
}

/// The line of a request that has ended.
#[derive(Debug)]
pub(crate) struct EndedLine {
    entry: Box<Entry>,
    id: HeaderValue,
    /// Without the body.
    received: u64,
    sent: u64,
    total: Duration,
    ended: Ended,
}

impl EndedLine {
    /// Writes the line, with the bytes of the body that were received.
    pub(crate) fn write(self, body: u64) {
        let entry = self.entry;
        tracing::debug!(
            target: "tollway::access",
            method = entry.method.as_str(),
            path = entry.path,
            status = entry.status.map(|status| status.as_u16()),
            service = entry.service,
            verdict = entry.verdict,
            token = entry.token.as_ref().map(beginning),
            client = entry.client.map(tracing::field::display),
            received = self.received.saturating_add(body),
            sent = self.sent,
            upstream_us = entry.upstream.map(|after| after.as_micros()),
            total_us = self.total.as_micros(),
            ended = self.ended.as_str(),
            request_id = self.id.to_str().ok(),
        );
    }
}

/// Writes the line of a request that could not be read as HTTP, and was refused with `status`.
pub(crate) fn unreadable(status: StatusCode, client: Option<IpAddr>) {
    tracing::debug!(
        target: "tollway::access",
        status = status.as_u16(),
        service = NO_SERVICE,
        verdict = "unreadable",
        client = client.map(tracing::field::display),
        ended = Ended::Complete.as_str(),
    );
}

/// Returns as much of a payment hash as names a token.
fn beginning(hash: &PaymentHash) -> String {
    let mut text = hash.to_string();
    text.truncate(BEGINNING_DIGITS);
    text
}

const BEGINNING_DIGITS: usize = 16;
