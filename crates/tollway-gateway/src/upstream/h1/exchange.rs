//! One request and its response on an HTTP/1.1 connection.
//!
//! Both directions are driven by the future or body that waits for the response, at the same
//! time: the response may begin, and end, before the request does. Dropping the connection closes it.
//!
//! Specification: RFC 9110 sections 10.1.1 and 15.2, RFC 9112 section 9.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use http_body::Frame;

use crate::request::headers::AddedHeaders;
use crate::upstream::error::{ExchangeError, Failed, Reach};
use crate::upstream::h1::connection::Wire;
use crate::upstream::h1::decoder::{Decoded, Decoder};
use crate::upstream::h1::response::{ResponseHead, ResponseLength, take_head};
use crate::upstream::h1::sender::{SendFailure, Sender};
use crate::upstream::slots::Slot;
use crate::upstream::stream::Stream;
use crate::upstream::upload::{Progress, Upload};

/// An HTTP/1.1 connection, and the exchange on it.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    sender: Sender,
    sending: Sending,
    decoder: Decoder,
    method: Method,
    /// Whether the upstream keeps the connection open after this exchange.
    keeps_alive: bool,
    /// Whether a byte of the response has been read.
    has_response: bool,
    informational: u8,
    /// Whether an exchange has been completed on it before.
    pub(crate) is_reused: bool,
}

#[derive(Debug)]
enum Sending {
    Active,
    Complete,
    /// The upstream takes no more of the request. Why, until that is reported.
    Failed(Option<io::Error>),
}

impl Connection {
    pub(crate) fn new(stream: Stream, slot: Slot) -> Box<Self> {
        Box::new(Self {
            wire: Wire::new(stream, slot),
            sender: Sender::new(),
            sending: Sending::Complete,
            decoder: Decoder::new(ResponseLength::Known(0)),
            method: Method::GET,
            keeps_alive: true,
            has_response: false,
            informational: 0,
            is_reused: false,
        })
    }

    /// Returns whether an idle connection is still as it was left.
    pub(crate) fn is_usable(&mut self) -> bool {
        self.wire.is_silent()
    }

    /// Begins an exchange. The connection must be idle.
    pub(crate) fn begin(&mut self, head: &Parts, added: &AddedHeaders, upload: Upload) {
        self.sender
            .begin(head, added, upload, &mut self.wire.output);
        self.sending = Sending::Active;
        self.method = head.method.clone();
        self.has_response = false;
        self.informational = 0;
    }

    /// Sends the request and waits for the head of the response, informational ones aside.
    ///
    /// `headers` is cleared and used for the result.
    pub(crate) fn poll_head(
        &mut self,
        headers: &mut HeaderMap,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, Failed>> {
        self.poll_send(cx).map_err(|error| self.failed(error))?;
        if !self.wire.output.has_sent && matches!(self.sending, Sending::Active) {
            return Poll::Pending;
        }
        loop {
            let read = match ready!(self.wire.poll_read(cx)) {
                Ok(read) => read,
                Err(error) => return Poll::Ready(Err(self.lost(ExchangeError::Io(error)))),
            };
            if read == 0 {
                return Poll::Ready(Err(self.lost(ExchangeError::Closed)));
            }
            self.has_response = true;
            while let Some(head) = self.take_head(headers)? {
                if !is_interim(head.status) {
                    return Poll::Ready(self.begin_body(head));
                }
                self.informational = self.informational.saturating_add(1);
                if self.informational > INFORMATIONAL_MAX {
                    let error = ExchangeError::Invalid("it has too many informational responses");
                    return Poll::Ready(Err(self.failed(error)));
                }
                *headers = head.headers;
                if head.status == StatusCode::CONTINUE {
                    self.sender.allow_body();
                    self.poll_send(cx).map_err(|error| self.failed(error))?;
                }
            }
        }
    }

    /// Returns the next frame of the response; `None` at its end.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        if let Err(error) = self.poll_send(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            match self.decoder.decode(&mut self.wire.read) {
                Ok(Decoded::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::More) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            let ended = match ready!(self.wire.poll_read(cx)) {
                Ok(0) => self.decoder.end_of_input(),
                Ok(_) => Ok(()),
                Err(error) => Err(ExchangeError::Io(error)),
            };
            if let Err(error) = ended {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// Waits until the request has been sent, after the response has ended.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.poll_send(cx) {
            Ok(()) if matches!(self.sending, Sending::Active) => Poll::Pending,
            Ok(()) => Poll::Ready(()),
            Err(_client_left) => {
                self.sending = Sending::Failed(None);
                Poll::Ready(())
            }
        }
    }

    /// Returns whether the response is complete.
    pub(crate) fn has_ended(&self) -> bool {
        self.decoder.is_end()
    }

    /// Returns how much of the response's body is left, where that is known.
    pub(crate) const fn body_left(&self) -> Option<u64> {
        self.decoder.left()
    }

    /// Returns whether the request is still being sent after a complete response.
    pub(crate) fn is_sending(&self) -> bool {
        self.keeps_alive && matches!(self.sending, Sending::Active)
    }

    /// Returns how far the request has been sent.
    pub(crate) fn progress(&self) -> Progress {
        self.sender.progress()
    }

    /// Prepares the connection for another exchange. Returns whether there can be one.
    pub(crate) fn end(&mut self) -> bool {
        let is_complete = self.decoder.is_end() && matches!(self.sending, Sending::Complete);
        self.is_reused = true;
        self.sender.end();
        self.wire.shrink();
        is_complete && self.keeps_alive && self.wire.read.is_empty()
    }

    /// Returns the request's body after an attempt that failed.
    pub(crate) fn take_back(&mut self) -> Upload {
        self.sender.take_back()
    }

    /// Leaves HTTP: returns the stream, and what has been read from it.
    pub(crate) fn into_parts(self) -> (Stream, Vec<u8>, Slot) {
        let (stream, read, slot) = self.wire.into_parts();
        (stream, read.to_vec(), slot)
    }

    /// Sends what can be sent. An upstream that takes no more may have responded, so that is no
    /// error yet.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), ExchangeError> {
        if !matches!(self.sending, Sending::Active) {
            return Ok(());
        }
        match self.sender.poll_send(&mut self.wire, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.sending = Sending::Complete,
            Poll::Ready(Err(SendFailure::Client(error))) => return Err(error),
            Poll::Ready(Err(SendFailure::Wire(error))) => {
                self.sending = Sending::Failed(Some(error));
            }
        }
        Ok(())
    }

    fn take_head(&mut self, headers: &mut HeaderMap) -> Result<Option<ResponseHead>, Failed> {
        take_head(&mut self.wire.read, &mut self.wire.spans, headers)
            .map_err(|error| self.failed(error))
    }

    fn begin_body(&mut self, mut head: ResponseHead) -> Result<ResponseHead, Failed> {
        let framing = head
            .framing(&self.method)
            .map_err(|error| self.failed(error))?;
        self.decoder = Decoder::new(framing.length);
        self.keeps_alive = framing.keeps_alive && head.status != StatusCode::SWITCHING_PROTOCOLS;
        if self.sender.awaits_continue() {
            // The upstream does not want the body, but may still read for it.
            self.keeps_alive = false;
            self.sender.abandon();
            self.sending = Sending::Complete;
        }
        Ok(head)
    }

    /// The failure of a connection that was lost before the head of a response.
    fn lost(&mut self, error: ExchangeError) -> Failed {
        let reach = match (self.wire.output.has_sent, self.has_response) {
            (false, _) => Reach::NotSent,
            (true, false) => Reach::LostBeforeByte,
            (true, true) => Reach::Other,
        };
        let error = match &mut self.sending {
            Sending::Failed(earlier) => earlier.take().map_or(error, ExchangeError::Io),
            Sending::Active | Sending::Complete => error,
        };
        Failed { reach, error }
    }

    fn failed(&self, error: ExchangeError) -> Failed {
        let reach = match self.wire.output.has_sent {
            true => Reach::Other,
            false => Reach::NotSent,
        };
        Failed { reach, error }
    }
}

/// Returns whether another head follows.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Informational responses to one request.
const INFORMATIONAL_MAX: u8 = 16;
