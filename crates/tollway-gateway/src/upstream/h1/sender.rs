//! Sending of one HTTP/1.1 request: its head, then its body as it arrives from the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http_body::{Body, Frame};
use tokio::time::Sleep;

use crate::request::headers::AddedHeaders;
use crate::upstream::error::ExchangeError;
use crate::upstream::h1::connection::{Output, Wire};
use crate::upstream::h1::request::{RequestLength, write_chunk_size, write_head, write_last_chunk};
use crate::upstream::upload::{Progress, Upload};

/// The part of a request that has not been written.
#[derive(Debug)]
pub(crate) struct Sender {
    rest: Rest,
    upload: Upload,
    permission: Permission,
    /// The trailer fields that the head announces.
    announced: Vec<HeaderName>,
    /// Whether the head has waited for the body once.
    has_waited: bool,
}

/// What is left of the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rest {
    Nothing,
    Bytes(u64),
    Chunks,
}

/// Whether the body may be sent.
#[derive(Debug)]
enum Permission {
    Granted,
    /// The client expects `100 Continue`: the body waits for it, but not for long.
    Awaited(Pin<Box<Sleep>>),
}

/// Why a request is not sent to its end.
#[derive(Debug)]
pub(crate) enum SendFailure {
    /// The client's body ended in a wrong way: no response is delivered.
    Client(ExchangeError),
    /// The upstream takes no more. It may have responded.
    Wire(io::Error),
}

impl Sender {
    pub(crate) fn new() -> Self {
        Self {
            rest: Rest::Nothing,
            upload: Upload::empty(),
            permission: Permission::Granted,
            announced: Vec::new(),
            has_waited: false,
        }
    }

    /// Begins another request: its head is written to `output`.
    pub(crate) fn begin(
        &mut self,
        head: &Parts,
        added: &AddedHeaders,
        upload: Upload,
        output: &mut Output,
    ) {
        let length = length_of(&upload);
        self.rest = match length {
            RequestLength::None => Rest::Nothing,
            RequestLength::Known(len) => Rest::Bytes(len),
            RequestLength::Chunked => Rest::Chunks,
        };
        self.permission = match length != RequestLength::None && expects_continue(&head.headers) {
            true => Permission::Awaited(Box::pin(tokio::time::sleep(CONTINUE_TIME_MAX))),
            false => Permission::Granted,
        };
        self.announced.clear();
        if length == RequestLength::Chunked {
            self.announced.extend(announced_trailers(&head.headers));
        }
        self.upload = upload;
        self.has_waited = false;
        output.begin();
        write_head(head, added, length, &mut output.bytes);
    }

    /// Returns whether all of the body has been taken from the client.
    fn has_all(&self) -> bool {
        self.rest == Rest::Nothing
    }

    /// Returns whether the upstream has been sent no part of the body, because it has not
    /// asked for it.
    pub(crate) fn awaits_continue(&self) -> bool {
        matches!(self.permission, Permission::Awaited(_))
    }

    /// Records that the upstream has asked for the body, with 100 (Continue).
    pub(crate) fn allow_body(&mut self) {
        self.permission = Permission::Granted;
    }

    /// Returns how far the body has been sent.
    pub(crate) fn progress(&self) -> Progress {
        self.upload.progress()
    }

    /// Returns the body after an attempt that failed.
    pub(crate) fn take_back(&mut self) -> Upload {
        std::mem::replace(&mut self.upload, Upload::empty())
    }

    /// Ends the request, which has been sent.
    pub(crate) fn end(&mut self) {
        if !self.upload.is_none() {
            self.upload = Upload::empty();
        }
    }

    /// Drops what is left of the body.
    pub(crate) fn abandon(&mut self) {
        self.upload = Upload::empty();
        self.rest = Rest::Nothing;
    }

    /// Sends as much as possible. Ready when all has been sent.
    pub(crate) fn poll_send(
        &mut self,
        wire: &mut Wire,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendFailure>> {
        loop {
            let is_client_slow = self.poll_fill(&mut wire.output, cx)?.is_pending();
            if is_client_slow && self.waits_for_body(&wire.output) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let left = wire.output.len();
            let written = wire.poll_write(cx);
            if wire.output.len() != left {
                self.upload.touch();
            }
            ready!(written).map_err(SendFailure::Wire)?;
            if self.has_all() {
                return Poll::Ready(Ok(()));
            }
            if is_client_slow {
                return Poll::Pending;
            }
        }
    }

    /// The first part of the body arrives only after it has been polled for: the head waits
    /// for it once, so that both leave in one piece.
    fn waits_for_body(&mut self, output: &Output) -> bool {
        let waits = !output.has_sent && !self.has_waited && !self.awaits_continue();
        self.has_waited |= waits;
        waits
    }

    /// Moves frames from the client to `output`. Ready when there is no room for more, or
    /// none left.
    fn poll_fill(
        &mut self,
        output: &mut Output,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendFailure>> {
        if let Permission::Awaited(sleep) = &mut self.permission {
            ready!(sleep.as_mut().poll(cx));
            self.permission = Permission::Granted;
        }
        // Until something has left, no more is taken than can be taken again.
        while !self.has_all() && output.has_room() && (output.has_sent || !self.upload.has_begun())
        {
            match ready!(Pin::new(&mut self.upload).poll_frame(cx)) {
                Some(Ok(frame)) => self.push(frame, output).map_err(SendFailure::Client)?,
                Some(Err(error)) => {
                    let error = ExchangeError::ClientBody(error);
                    return Poll::Ready(Err(SendFailure::Client(error)));
                }
                None => self.end_body(output)?,
            }
            if !self.has_all() && self.upload.is_end_stream() {
                self.end_body(output)?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn push(&mut self, frame: Frame<Bytes>, output: &mut Output) -> Result<(), ExchangeError> {
        let data = match frame.into_data() {
            Ok(data) if data.is_empty() => return Ok(()),
            Ok(data) => data,
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return self.finish(&trailers, output);
            }
        };
        match &mut self.rest {
            Rest::Nothing => return Err(ExchangeError::ClientLength),
            Rest::Bytes(left) => {
                let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
                *left = left.checked_sub(len).ok_or(ExchangeError::ClientLength)?;
                if *left == 0 {
                    self.rest = Rest::Nothing;
                }
                output.push_data(data, b"");
            }
            Rest::Chunks => {
                write_chunk_size(data.len(), &mut output.bytes);
                output.push_data(data, b"\r\n");
            }
        }
        Ok(())
    }

    fn end_body(&mut self, output: &mut Output) -> Result<(), SendFailure> {
        self.finish(&HeaderMap::new(), output)
            .map_err(SendFailure::Client)
    }

    fn finish(&mut self, trailers: &HeaderMap, output: &mut Output) -> Result<(), ExchangeError> {
        match self.rest {
            Rest::Nothing => {}
            Rest::Bytes(_) => return Err(ExchangeError::ClientLength),
            // What is not copied goes first.
            Rest::Chunks if !output.data.is_empty() => return Ok(()),
            Rest::Chunks => {
                let is_announced = |name: &HeaderName| self.announced.contains(name);
                write_last_chunk(trailers, is_announced, &mut output.bytes);
            }
        }
        self.rest = Rest::Nothing;
        Ok(())
    }
}

fn length_of(upload: &Upload) -> RequestLength {
    if upload.is_end_stream() {
        return RequestLength::None;
    }
    let len = upload.size_hint().exact();
    len.map_or(RequestLength::Chunked, RequestLength::Known)
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn announced_trailers(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    headers
        .get_all(header::TRAILER)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

/// How long a body waits for `100 Continue`, which not every upstream sends.
const CONTINUE_TIME_MAX: Duration = Duration::from_secs(1);
