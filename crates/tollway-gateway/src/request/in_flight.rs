//! A request being served: counted, and logged once it has ended and no more of its body is read.
//!
//! It begins with the head of the request and ends when the last byte of the response has been
//! handed over, or earlier. However it ends, it ends once: when this is dropped. A response body,
//! a tunnel or the future of the request holds it until then.

use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tollway_server::Peer;

use crate::admin::access_log::{AccessLine, Verdict};
use crate::admin::metrics::Ended;
use crate::admin::telemetry::CoreStats;
use crate::conn::client::{ClientConnection, ProxiedClient};
use crate::conn::registry::ActiveRequest;
use crate::request::headers::ForwardedHeaders;
use crate::upstream::upload::Progress;

/// A request being served, until the last byte of its response is handed over.
#[derive(Debug)]
pub(crate) struct InFlight {
    client: Rc<ClientConnection>,
    /// Who made the request, where that is not the remote end of the connection.
    proxied: Option<Box<ProxiedClient>>,
    active: ActiveRequest,
    stats: Arc<CoreStats>,
    request_id: HeaderValue,
    has_responded: bool,
    /// The first report of its end.
    ended: Option<Ended>,
    upload: Progress,
    /// Bytes received from the client besides those of `upload`.
    received: u64,
    /// Bytes of the response body handed over so far.
    sent: u64,
    line: AccessLine,
}

impl InFlight {
    /// Counts a request whose head has been read. `service` is `(none)` when none matches.
    pub(crate) fn begin(
        client: &Rc<ClientConnection>,
        proxied: Option<Box<ProxiedClient>>,
        active: ActiveRequest,
        stats: &Arc<CoreStats>,
        service: &str,
        head: &Parts,
    ) -> Self {
        stats.begun.up();
        let peer = proxied.as_ref().map_or(client.peer, |proxied| proxied.peer);
        Self {
            client: Rc::clone(client),
            proxied,
            active,
            stats: Arc::clone(stats),
            request_id: client.core.request_ids.id_of(&head.headers),
            has_responded: false,
            ended: None,
            upload: Progress::none(),
            received: 0,
            sent: 0,
            line: AccessLine::begin(head, service, peer.address),
        }
    }

    /// Returns it as its connection knows it.
    pub(crate) const fn active(&self) -> &ActiveRequest {
        &self.active
    }

    /// Returns who made it.
    pub(crate) fn peer(&self) -> Peer {
        let proxied = self.proxied.as_ref();
        proxied.map_or(self.client.peer, |proxied| proxied.peer)
    }

    /// Returns what the gateway states about the client.
    pub(crate) fn forwarded(&self) -> &ForwardedHeaders {
        let proxied = self.proxied.as_ref();
        proxied.map_or(&self.client.forwarded, |proxied| &proxied.forwarded)
    }

    /// Returns its `X-Request-Id`.
    pub(crate) const fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    /// Counts what the client uploads.
    pub(crate) fn uploads(&mut self, progress: Progress) {
        self.upload = progress;
    }

    /// Records that the head of the upstream's response has arrived.
    pub(crate) fn upstream_responded(&mut self) {
        self.line.upstream_responded();
    }

    /// Records what was decided about it.
    pub(crate) fn decided(&mut self, verdict: Verdict) {
        self.line.decided(verdict);
    }

    /// Counts the response, whose head is about to be sent.
    pub(crate) fn responded(&mut self, status: StatusCode) {
        self.has_responded = true;
        self.stats.responded(status);
        self.line.responded(status);
    }

    /// Counts bytes of the response body.
    pub(crate) fn sent(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.sent = self.sent.saturating_add(bytes);
    }

    /// Counts the bytes of a tunnel that has ended.
    pub(crate) fn tunnelled(&mut self, received: u64, sent: u64) {
        self.received = self.received.saturating_add(received);
        self.sent = self.sent.saturating_add(sent);
    }

    /// Records how it ended. Only the first report counts; without any, the client has left
    /// or did not read.
    pub(crate) fn end(&mut self, ended: Ended) {
        self.ended.get_or_insert(ended);
    }

    fn ended(&self) -> Ended {
        let is_ours = || self.client.core.cut_off.has_begun() || thread::panicking();
        match self.ended {
            Some(ended) => ended,
            None if is_ours() => Ended::CutOff,
            None if self.active.activity().is_stalled() => Ended::Stalled,
            None => Ended::ClientLeft,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let ended = self.ended();
        match self.has_responded {
            true => self.stats.ended(ended),
            false => self.stats.aborted(ended),
        }
        let id = &self.request_id;
        if let Some(line) = self.line.end(id, self.received, self.sent, ended) {
            self.upload.log(line);
        }
    }
}
