//! One request and its response on an HTTP/2 stream.
//!
//! Both directions are driven by the future or body that waits for the response. Dropping either
//! half before its end resets the stream, and the connection stays as it is.
//!
//! Specification: RFC 9113 sections 5.1.2, 6.8, 8.1 and 8.7.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version, header};
use http_body::{Body as _, Frame};

use crate::request::headers::AddedHeaders;
use crate::upstream::error::{ExchangeError, Failed, Reach};
use crate::upstream::h2::connection::Http2Sender;
use crate::upstream::h2::sender::BodySender;
use crate::upstream::h2::shared::StreamGuard;
use crate::upstream::target::Target;
use crate::upstream::upload::{Progress, Upload};

/// A request on a stream of its own.
#[derive(Debug)]
pub(crate) struct Exchange {
    response: ResponseFuture,
    sender: BodySender,
    guard: StreamGuard,
}

impl Exchange {
    /// Opens a stream, waiting at most `limit` for one to be free.
    ///
    /// # Errors
    ///
    /// Why there is none, and the body, of which nothing was taken.
    pub(crate) async fn open(
        mut connection: Http2Sender,
        guard: StreamGuard,
        request: Request<()>,
        upload: Upload,
        limit: Duration,
    ) -> Result<Self, (Failed, Upload)> {
        let is_empty = upload.is_end_stream();
        let (response, stream) = match connection.requests.send_request(request, is_empty) {
            Ok(opened) => opened,
            Err(error) => {
                if is_of_connection(&error) {
                    connection.has_ended.set(true);
                }
                return Err((failed_to_open(error), upload));
            }
        };
        let sender = BodySender::new(stream, upload);
        let opened = poll_fn(|cx| connection.requests.poll_ready(cx));
        match tokio::time::timeout(limit, opened).await {
            Ok(Ok(())) => Ok(Self {
                response,
                sender,
                guard,
            }),
            Ok(Err(error)) => {
                connection.has_ended.set(true);
                Err((failed_to_open(error), sender.into_upload()))
            }
            Err(_) => {
                let failed = Failed {
                    reach: Reach::NotSent,
                    error: ExchangeError::Busy,
                };
                Err((failed, sender.into_upload()))
            }
        }
    }

    /// Sends the body and waits for the head of the response.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<RecvStream>, Failed>> {
        let sent = self.sender.poll_send(cx);
        let _is_sending = sent.map_err(|error| Failed {
            reach: Reach::Other,
            error,
        })?;
        Pin::new(&mut self.response).poll(cx).map_err(failed)
    }

    /// Returns the body of the response, with what is left of the request's.
    pub(crate) fn into_body(self, received: RecvStream, headers: &HeaderMap) -> Body {
        self.guard.mark_responded();
        Body {
            received,
            sender: self.sender,
            left: content_length(headers),
            has_data: true,
            guard: self.guard,
        }
    }

    /// Returns whether the connection has served a request before.
    pub(crate) fn is_reused(&self) -> bool {
        self.guard.is_reused()
    }

    /// Returns the request's body after an attempt that failed.
    pub(crate) fn into_upload(self) -> Upload {
        self.sender.into_upload()
    }
}

/// The body of a response, with what is left of the request's.
#[derive(Debug)]
pub(crate) struct Body {
    received: RecvStream,
    sender: BodySender,
    left: Option<u64>,
    /// Whether there may be data; then come trailers.
    has_data: bool,
    #[expect(dead_code, reason = "counts the stream until it is dropped")]
    guard: StreamGuard,
}

impl Body {
    /// Returns the next frame of the response; `None` at its end, which only the upstream's
    /// `END_STREAM` states: after it, a reset is no error.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        if let Poll::Ready(Err(error)) = self.sender.poll_send(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        if self.has_data {
            match ready!(self.received.poll_data(cx)) {
                Some(Ok(data)) => return Poll::Ready(Some(Ok(self.take(data)))),
                Some(Err(error)) => return Poll::Ready(Some(Err(ExchangeError::Http2(error)))),
                None => self.has_data = false,
            }
        }
        match ready!(self.received.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(ExchangeError::Http2(error)))),
        }
    }

    /// Waits until the request has been sent, after the response has ended.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sender.poll_send(cx).map(drop)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.received.is_end_stream()
    }

    /// Returns how much is left, where that is known.
    pub(crate) const fn left(&self) -> Option<u64> {
        self.left
    }

    /// Returns how far the request has been sent.
    pub(crate) fn progress(&self) -> Progress {
        self.sender.progress()
    }

    /// Returns whether the request is still being sent.
    pub(crate) const fn is_sending(&self) -> bool {
        self.sender.is_active()
    }

    /// Lets the upstream send as much again.
    fn take(&mut self, data: Bytes) -> Frame<Bytes> {
        let _stream_ended = self.received.flow_control().release_capacity(data.len());
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
        }
        Frame::data(data)
    }
}

/// Puts the head of a request into the form of HTTP/2, which names the origin in the request
/// target and has no `Host` line.
pub(crate) fn http2_form(
    head: &Parts,
    added: &AddedHeaders,
    upload: &Upload,
    target: &Target,
) -> Request<()> {
    let mut request = Request::new(());
    *request.headers_mut() = head.headers.clone();
    let headers = request.headers_mut();
    headers.remove(header::HOST);
    for (name, value) in added.forwarded() {
        headers.insert(name, value.clone());
    }
    // The body is sent at once: there is nothing to wait for.
    headers.remove(header::EXPECT);
    if upload.size_hint().exact().is_none() {
        headers.remove(header::CONTENT_LENGTH);
    }
    let mut uri = head.uri.clone().into_parts();
    uri.scheme = Some(target.scheme.clone());
    uri.authority = Some(authority(&added.host, target));
    *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
    *request.method_mut() = head.method.clone();
    *request.version_mut() = Version::HTTP_2;
    request
}

/// Returns what HTTP/2 has in place of `Host`.
fn authority(host: &HeaderValue, target: &Target) -> Authority {
    let other = Some(host).filter(|host| **host != target.host);
    let other = other.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    other.unwrap_or_else(|| target.authority.clone())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn failed_to_open(error: h2::Error) -> Failed {
    Failed {
        reach: Reach::NotSent,
        error: ExchangeError::Http2(error),
    }
}

/// Streams above the last of a GOAWAY, and those with REFUSED_STREAM, have not been processed.
fn failed(error: h2::Error) -> Failed {
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    let reach = match error.is_remote() {
        true if is_refused || error.is_go_away() => Reach::Refused,
        _ if error.is_io() => Reach::LostBeforeByte,
        _ => Reach::Other,
    };
    Failed {
        reach,
        error: ExchangeError::Http2(error),
    }
}

fn is_of_connection(error: &h2::Error) -> bool {
    error.is_io() || error.is_go_away()
}
